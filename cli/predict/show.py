"""Chooses the result folder of each input, and prints the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from mgst_data.core import UsageError
from mgst_data.core.errors import printable
from mgst_data.core.locations import is_url
from mgst_data.html.page import ASSETS
from mgst_data.preview.scores import CALLED_FAKE, CANNOT_SAY, NOT_CALLED_FAKE, clock
from mgst_model.predict.prediction import SCORES, TIMELINE, VideoPrediction, rounded

from ..common.inputs import Input, beside
from ..common.show import line, show_table, table

_STYLES = {CALLED_FAKE: "bold red", NOT_CALLED_FAKE: "bold blue", CANNOT_SAY: "bold yellow"}


def folders_of(inputs: Sequence[Input], out: Path | None, *, video: bool) -> list[Path]:
    """Returns the result folder of each input.

    A single input uses ``out`` itself; several inputs use one sub-folder each. Without ``out``, the folder is
    ``VIDEO-scores`` next to the video; for a URL, in the current folder. Inputs found in a folder use sub-folders of
    ``FOLDER-scores`` next to that folder, so that results and videos are not mixed.

    Args:
        inputs: All inputs.
        out: Value of ``--out``; None if it is not given.
        video: Whether a video with the scores is written.

    Raises:
        UsageError: if a result file would overwrite one of the inputs.
    """
    folders: list[Path] = []
    for item in inputs:
        name = f"{item.stem}-scores"
        if out is None:
            folder = beside(item.root, "scores") / item.parents / name if item.root else beside(item.path, "scores")
        else:
            folder = out / item.parents / name if len(inputs) > 1 or item.root else out
        number = 2
        while folder in folders:
            folder = folder.with_name(f"{name}-{number}")
            number += 1
        folders.append(folder)
    sources = {Path(item.path).resolve() for item in inputs if not is_url(item.path)}
    for item, folder in zip(inputs, folders, strict=True):
        drawn = [f"{item.stem}.mp4", f"{item.stem}.png"] if video else []
        for file in (SCORES, TIMELINE, *drawn):
            if (folder / file).resolve() in sources:
                what = "the results would overwrite this input"
                raise UsageError(what, where=folder / file, hint="choose another --out")
    return folders


def shared_assets(inputs: Sequence[Input], out: Path | None) -> Path | None:
    """Returns the folder of the scripts that all pages share; None if each page is a single file of 5 MB.

    Args:
        inputs: All inputs.
        out: Value of ``--out``; None if it is not given.
    """
    roots = {item.root for item in inputs}
    if len(inputs) < 2 or (out is None and (len(roots) > 1 or not inputs[0].root)):
        return None
    return (out or beside(str(inputs[0].root), "scores")) / ASSETS


def summary(found: VideoPrediction, threshold: float, files: Sequence[str]) -> dict[str, Any]:
    """Returns the object that ``--json`` prints for a video.

    Args:
        found: Scores of the video.
        threshold: A score above it is called fake.
        files: Paths or URLs of the files that were written.
    """
    return {
        "video": printable(found.video),
        "score": rounded(found.score),
        "threshold": threshold,
        **found.meaning(threshold=threshold).as_dict(),
        "main_track": found.tracks[found.main].id,
        "highest_track": found.tracks[found.highest].id,
        "tracks": [
            {
                "track": track.id,
                "seconds": [round(float(track.time[0]), 3), round(float(track.time[-1]), 3)],
                "frames": len(track),
                "score": rounded(track.overall),
                **found.meaning(position, threshold=threshold).as_dict(),
            }
            for position, track in enumerate(found.tracks)
        ],
        "files": [printable(path) for path in files],
    }


def print_tracks(found: VideoPrediction, threshold: float, files: Sequence[str]) -> None:
    """Prints a table of the tracked faces, and the paths of the files.

    Args:
        found: Scores of the video.
        threshold: A score above it is called fake.
        files: Paths or URLs of the files that were written.
    """
    made = table("face", "time", "frames", "score", "verdict")
    for number, track in enumerate(found.tracks):
        said = found.meaning(number, threshold=threshold).verdict
        made.add_row(
            f"{track.id} (main)" if number == found.main and len(found.tracks) > 1 else str(track.id),
            f"{clock(float(track.time[0]))} to {clock(float(track.time[-1]))}" if found.seconds else "",
            f"{len(track):,}",
            f"{track.overall:.3f}",
            Text(said, style=_STYLES[said]),
        )
    highest = found.tracks[found.highest]
    more = f"; highest score: face {highest.id}, {highest.overall:.3f}" if found.highest != found.main else ""
    meaning = found.meaning(threshold=threshold)
    line(f"{printable(found.video)}: {meaning.verdict}, score {found.score:.3f}{more}")
    show_table(made)
    for sentence in meaning.sentences[1:]:
        line(sentence)
    for path in files:
        line(printable(path))
