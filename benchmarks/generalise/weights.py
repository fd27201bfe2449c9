"""Describes trained weights for their model card: training data, figures by kind of fake, false positives."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mgst_data.core import REAL, UsageError
from mgst_model.evaluate.predictions import JSON_NAME, Predictions
from mgst_model.networks.checkpoint import load_network, weights_file
from mgst_model.networks.trained_videos import TrainedVideos

from .crops import correlations, properties
from .figures import WANTED, Scores, false_positives, of_kinds, thresholds
from .kit import Kit, Video, counts
from .names import ALL_SWAPS, BRIGHTNESS, CLIPS, FACE_SIZE, STILLS
from .runs import scored

# Real videos that are scored: test clips, and stills of val, which no training sees.
PARTS = {"clips": (CLIPS, "test"), "stills": (STILLS, "val")}
SHARES = (0.5, 0.2, 0.1, 0.05)
# A source with fewer real videos is counted among the others.
FEWEST = 10
# Lower bound of the AUC on swaps that the weights need, to be more than an experiment.
NEEDED = 0.6


def describe(kit: Kit, weights: Path, out: Path, *, device: str) -> dict[str, Any]:
    """Scores val and test, and computes all figures of the model card.

    Args:
        kit: Clips and stills.
        weights: Path of the weights, with the list of their training videos beside them.
        out: Folder for the scores; scores of the same weights are read again.
        device: "auto", "cpu" or "cuda".

    Raises:
        UsageError: if the training videos are unknown, or show people of val or test.
    """
    file = weights_file(weights)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    trained = _trained_on(kit, file)
    loaded = load_network(file)

    def scores(folder: str, split: str) -> Scores:
        kept = out / digest[:12] / f"{folder}-{split}"
        if not (kept / JSON_NAME).exists():
            scored(kit, file, folder, split, device=device).save(kept)
        return Scores.of(kit, folder, split, [Predictions.load(kept)])

    val, test = scores(CLIPS, "val"), scores(CLIPS, "test")
    parts = {"clips": test}
    # A network with a temporal stream cannot score stills.
    if loaded.shortest == 1:
        parts["stills"] = scores(STILLS, "val")
    measured = {name: properties(kit, *PARTS[name]) for name in parts}
    # The threshold that mgst-predict uses.
    threshold = thresholds(val) if loaded.calibration() is None else np.array([loaded.threshold])
    kinds = of_kinds(test)
    low = kinds[ALL_SWAPS]["auc"][1]
    grid = np.linspace(0, 1, 51)
    named = {f"{name} of {PARTS[name][1]}": part for name, part in parts.items()}
    return {
        "weights": {
            "sha256": digest,
            "bytes": file.stat().st_size,
            "parameters": sum(parameter.numel() for parameter in loaded.network.parameters()),
            "network": f"{loaded.config.kind}, {loaded.config.backbone}",
            "size": loaded.size,
            "frames": loaded.frames,
        },
        "trained_on": trained,
        "experimental": low is None or low <= NEEDED,
        "needed": NEEDED,
        "reals": len(test.reals),
        "real_people": len(set(test.reals.groups)),
        "kinds": kinds,
        "threshold": {
            "wanted": WANTED,
            "score": round(float(threshold[0]), 4),
            "clips": len(val.reals),
            "people": len(set(val.reals.groups)),
        },
        "false_positives": {name: false_positives(part, threshold) for name, part in parts.items()},
        "by": {
            "source": _by_source(parts, threshold),
            **{name: _by_thirds(name, parts, measured, threshold) for name in (BRIGHTNESS, FACE_SIZE)},
        },
        "calibration": [_calibrated(share, val, parts) for share in SHARES],
        "scores": [round(float(score), 2) for score in grid],
        "shares_above": {
            f"{len(part.reals)} {name}": [round(float((part.reals.scores > score).mean()), 4) for score in grid]
            for name, part in {"clips of val": val, **named}.items()
        },
        "shortcuts": {name: correlations(part, measured[name]) for name, part in parts.items()},
    }


def _trained_on(kit: Kit, weights: Path) -> dict[str, Any]:
    known = TrainedVideos.load(weights)
    if known is None:
        hint = "give the folder of the training, which has it"
        raise UsageError("the list of training videos is not beside the weights", where=weights, hint=hint)
    videos = [(video.dataset, video.key) for video in known.train]
    strange = [video for video in videos if video not in kit.videos]
    trainable = set(kit.trainable)
    leaks = [video for video in videos if video in kit.videos and video not in trainable]
    leaking = "are of val or test, or show people of them"
    for some, what in ((strange, "are not in the shards"), (leaks, leaking)):
        if some:
            text = f"{len(some)} training videos {what}, for example {'/'.join(some[0])}"
            raise UsageError(text, where=weights, hint="train with experiment_generalise.py, which leaves them out")
    rows = [kit.videos[video] for video in videos]
    return {
        "people": len({kit.groups[video] for video in videos}),
        "clips": sum(row.folder == CLIPS for row in rows),
        "stills": sum(row.folder == STILLS for row in rows),
        "fakes": sum(row.label != REAL for row in rows),
        "sources": len({row.source for row in rows}),
        "licences": counts(rows),
    }


def _by_source(parts: Mapping[str, Scores], threshold: np.ndarray) -> list[dict[str, Any]]:
    """Returns false positives by source, for sources with enough real videos, and for all others together."""
    numbers = Counter(row.source for part in parts.values() for row in part.reals.rows)
    large = sorted(source for source, count in numbers.items() if count >= FEWEST)

    def of(some: set[str]) -> dict[str, Any]:
        chosen = {name: [i for i, row in enumerate(p.reals.rows) if row.source in some] for name, p in parts.items()}
        return _rates(parts, chosen, threshold)

    others = f"{len(numbers) - len(large)} others"
    named = [{"name": source, **of({source})} for source in large]
    return [*named, {"name": others, **of(set(numbers) - set(large))}]


def _by_thirds(
    name: str, parts: Mapping[str, Scores], measured: Mapping[str, Mapping[Video, Mapping[str, float]]], threshold: Any
) -> list[dict[str, Any]]:
    """Returns false positives for the lowest, middle and highest third of a property of all real videos."""
    values = {part: np.array([measured[part][video][name] for video in p.reals.videos]) for part, p in parts.items()}
    together = np.concatenate(list(values.values()))
    edges = np.quantile(together[np.isfinite(together)], (0, 1 / 3, 2 / 3, 1)).tolist()
    found = []
    for place, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = {}
        for part, mine in values.items():
            inside[part] = ((low <= mine) & ((mine < high) | (place == 2))).nonzero()[0].tolist()
        found.append({"name": f"{low:.0f} to {high:.0f}", **_rates(parts, inside, threshold)})
    return found


def _rates(parts: Mapping[str, Scores], chosen: Mapping[str, Sequence[int]], threshold: Any) -> dict[str, Any]:
    some = {name: part.reals.at(np.array(chosen[name])) for name, part in parts.items() if chosen[name]}
    return {name: false_positives(part, threshold) for name, part in some.items()}


def _calibrated(share: float, val: Scores, parts: Mapping[str, Scores]) -> dict[str, Any]:
    threshold = thresholds(val, share)
    rates = {name: false_positives(part, threshold) for name, part in parts.items()}
    return {"wanted": share, "score": round(float(threshold[0]), 4), **rates}
