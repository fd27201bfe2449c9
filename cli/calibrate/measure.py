"""Scores real videos, writes the calibration and prints it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgst_data.core import UsageError
from mgst_data.core.devices import choose_device
from mgst_data.core.errors import printable
from mgst_data.shards.outputs import output_folder
from mgst_model.evaluate.reals import PICTURES, RealVideo, calibrate, check_unseen, score_reals
from mgst_model.networks.calibration import Calibration
from mgst_model.networks.checkpoint import FALSE_POSITIVES, load_network, weights_file, write_calibration
from mgst_model.networks.conditions import CONDITIONS
from mgst_model.networks.folding import fold_batch_norms
from mgst_model.networks.hub import is_hub_name
from mgst_model.networks.remote_weights import is_weights_url

from ..common.progress import Work, display
from ..common.show import count, line, show_table, table


@dataclass(frozen=True, slots=True)
class Written:
    """Calibrations that were written.

    Attributes:
        card: Path or URL of the card.
        found: Calibrations by kind: "videos", "pictures".
    """

    card: str
    found: Mapping[str, Calibration]


def measure(
    shards: Sequence[str],
    weights: str | Path,
    *,
    split: str | None,
    device: str,
    batch: int,
    out: str | Path | None,
) -> Written:
    """Scores the real videos of shards, and writes their calibration into the card of the weights.

    Args:
        shards: Folders of shards, by path or URL.
        weights: File or folder of the weights, by path or URL.
        split: Only videos of this split; None for all.
        device: "auto", "cpu" or "cuda".
        batch: Windows per batch.
        out: Path or URL of the folder for a copy of the weights; None to change their card.

    Raises:
        UsageError: if the weights cannot be read, there are no real videos, or the network knows their people.
        ShardError: if a shard is damaged.
        OutputError: if the card cannot be written.
    """
    if out is None and (is_weights_url(weights) or is_hub_name(weights)):
        raise UsageError("a calibration is not written into this place of weights", where=weights, hint="give --out")
    weights = weights_file(weights)
    device = choose_device(device)
    loaded = load_network(weights, device=device)
    for note in check_unseen(weights, shards, split):
        line(f"note: {note}", err=True)
    fold_batch_norms(loaded.network)
    work = Work("scoring real videos", unit="videos")
    with display(work) as shown:

        def saw(done: int, of: int) -> None:
            work.tell("scoring real videos", done=done, total=of)
            shown.tick()

        videos = score_reals(loaded, shards, split=split, batch=batch, device=device, saw=saw)
    found = calibrate(videos)
    for note in _notes(videos, found):
        line(f"note: {note}", err=True)
    with output_folder(out or weights.parent, wanted=lambda _: False) as folder:
        card = write_calibration(weights, found, out=None if out is None else folder.path)
    return Written(folder.name(card), found)


def show(written: Written, *, as_json: bool) -> None:
    """Prints the calibrations.

    Args:
        written: The calibrations.
        as_json: Whether to print one JSON object.
    """
    if as_json:
        about = {kind: _about(one) for kind, one in written.found.items()}
        line(json.dumps({"card": printable(written.card), "calibration": about}, indent=1))
        return
    for kind, one in written.found.items():
        what = count(len(one.real), "real picture" if kind == PICTURES else "real video")
        lowest = f"p-values from {one.lowest_rate:.3f}"
        line(f"{what} of {one.people:,} {'person' if one.people == 1 else 'people'}: {lowest}")
        made = table("false-positive rate", "score above")
        for rate, score in _thresholds(one).items():
            made.add_row(f"{100 * rate:.3g} %", f"{score:.3f}")
        show_table(made)
        limits = table("a verdict is given for", "from", "to")
        for condition in CONDITIONS:
            if condition.name in one.conditions:
                ends = (
                    f"{end:.{condition.digits}f}" if abs(end) < float("inf") else "" for end in one.limits(condition)
                )
                limits.add_row(
                    f"{condition.name.replace('_', ' ')}{f', {condition.unit}' * bool(condition.unit)}", *ends
                )
        show_table(limits)
        line()
    line(printable(written.card))


def _thresholds(one: Calibration) -> dict[float, float]:
    """Returns the thresholds of usual false-positive rates, as far as there are enough people."""
    return {rate: one.threshold(rate) for rate in (0.2, 0.1, 0.05, 0.01) if rate >= one.lowest_rate}


def _about(one: Calibration) -> dict[str, Any]:
    limits = {
        each.name: [None if abs(end) == float("inf") else end for end in one.limits(each)]
        for each in CONDITIONS
        if each.name in one.conditions
    }
    return {
        "videos": len(one.real),
        "people": one.people,
        "lowest_p_value": round(one.lowest_rate, 6),
        "thresholds": {f"{rate:g}": score for rate, score in _thresholds(one).items()},
        "limits": limits,
    }


def _notes(videos: Sequence[RealVideo], found: Mapping[str, Calibration]) -> list[str]:
    notes = []
    if unknown := sum(not video.known for video in videos):
        what = f"it is not known who is in {unknown:,} of {len(videos):,} videos, so each counts as a person"
        notes.append(f"{what}: if people are in several of them, the p-values are too small (run mgst-data people)")
    for kind, one in found.items():
        if one.lowest_rate > FALSE_POSITIVES:
            what = f"{one.people} people in {kind} can hold false-positive rates from {one.lowest_rate:.0%} only"
            notes.append(f"{what}: calibrate with more people")
    return notes
