"""Measures whether p-values hold for people who are not in the calibration: one part calibrates, another is measured.

    python benchmarks/bench_calibration.py --shards runs/weights/shards --work runs/calibration

It writes results/calibration.json. ``--shards`` has the folders of shards ``clips`` and ``stills``, with splits and
persons, as ``make_weights.py`` makes them. Clips of val calibrate, and clips of test are measured. In addition, the
people of all clips, and those of the stills of val, are divided at random into two halves many times: one half
calibrates, the other is measured. Scores are kept in ``--work``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from _common import RESULTS, write_result

from mgst_data.core import seed_for
from mgst_model.evaluate.reals import RealVideo, calibrate, score_reals
from mgst_model.evaluate.resampling import group_interval
from mgst_model.networks.calibration import Calibration
from mgst_model.networks.checkpoint import PACKAGED, LoadedNetwork, load_network
from mgst_model.networks.folding import fold_batch_norms

LEVELS = (0.05, 0.1, 0.2)
DIVISIONS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=Path, required=True, help="folder with the folders of shards clips and stills")
    parser.add_argument("--weights", type=Path, default=PACKAGED, help="weights of a network of single frames")
    parser.add_argument("--work", type=Path, required=True, help="folder for the scores")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the figures")
    arguments = parser.parse_args()
    loaded = load_network(arguments.weights)
    fold_batch_norms(loaded.network)
    arguments.work.mkdir(parents=True, exist_ok=True)
    parts = {
        (name, split): _scored(loaded, arguments.shards / name, split, arguments.work / f"{name}-{split}.json")
        for name, split in (("stills", "val"), ("clips", "val"), ("clips", "test"))
    }
    val, test, stills = parts["clips", "val"], parts["clips", "test"], parts["stills", "val"]
    known = calibrate(val)["videos"]
    clips = [*val, *(_renumbered(video, 1_000_000) for video in test)]
    figures = {
        "clips of val, measured on test": _measured(known, test),
        "halves of all clips": _halves(clips, "clips"),
        "halves of the stills of val": _halves(stills, "stills"),
    }
    print(write_result("calibration", figures, folder=arguments.results))


def _scored(loaded: LoadedNetwork, shards: Path, split: str, kept: Path) -> list[RealVideo]:
    if not kept.exists():
        found = score_reals(loaded, [str(shards)], split=split)
        kept.write_text(json.dumps([asdict(video) for video in found], indent=1) + "\n")
    return [RealVideo(**row) for row in json.loads(kept.read_text())]


def _measured(known: Calibration, videos: Sequence[RealVideo]) -> dict[str, Any]:
    """Returns the share of small p-values and of videos without a verdict, with intervals over people."""
    people = [video.person for video in videos]
    p_values = np.array([known.p_value(video.score) or 1.0 for video in videos])
    answered = np.array([not known.doubts(video.conditions) for video in videos])

    def share(small: np.ndarray) -> list[float]:
        found = group_interval(lambda places: float(small[places].mean()), people)
        return [round(value, 4) for value in found]

    return {
        "calibration": {"videos": len(known.real), "people": known.people},
        "measured": {"videos": len(videos), "people": len(set(people))},
        "p_value_at_most": {f"{level:g}": share(p_values <= level + 1e-9) for level in LEVELS},
        "answered": share(answered),
        "answered_and_p_value_at_most": {
            f"{level:g}": share(answered & (p_values <= level + 1e-9)) for level in LEVELS
        },
    }


def _halves(videos: Sequence[RealVideo], name: str) -> dict[str, Any]:
    """Divides the people many times, and returns the mean shares over one random video of each measured person."""
    random = np.random.default_rng(seed_for(0, "halves", name))
    by_person: dict[int, list[RealVideo]] = {}
    for video in videos:
        by_person.setdefault(video.person, []).append(video)
    people = sorted(by_person)
    small, answered = {level: [] for level in LEVELS}, []
    for _ in range(DIVISIONS):
        order = [people[i] for i in random.permutation(len(people))]
        half = len(order) // 2
        (known,) = calibrate(video for person in order[:half] for video in by_person[person]).values()
        drawn = [by_person[person][int(random.integers(len(by_person[person])))] for person in order[half:]]
        p_values = np.array([known.p_value(video.score) or 1.0 for video in drawn])
        for level in LEVELS:
            small[level].append(float((p_values <= level + 1e-9).mean()))
        answered.append(float(np.mean([not known.doubts(video.conditions) for video in drawn])))
    return {
        "people": len(people),
        "videos": len(videos),
        "divisions": DIVISIONS,
        "p_value_at_most": {f"{level:g}": round(float(np.mean(some)), 4) for level, some in small.items()},
        "answered": round(float(np.mean(answered)), 4),
    }


def _renumbered(video: RealVideo, by: int) -> RealVideo:
    """Returns a video of another folder, whose persons have other numbers."""
    return RealVideo(**{**asdict(video), "person": video.person + by})


if __name__ == "__main__":
    main()
