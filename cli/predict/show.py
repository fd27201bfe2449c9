"""Chooses the result folder of each input, and prints the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from mgst_data.core import MgstError, UsageError
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


@dataclass(frozen=True, slots=True)
class Result:
    """What the command shows of one input. It is small, so that another process can send it.

    Attributes:
        about: The object that ``--json`` prints.
        error: Why the input has no scores; None if it has.
        headline: Line above the table of faces.
        rows: Rows of the table of faces: face, time, frames, score, verdict.
        sentences: Lines below the table.
        notes: Defects of the video.
    """

    about: dict[str, Any]
    error: MgstError | None = None
    headline: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    sentences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @staticmethod
    def of(found: VideoPrediction, threshold: float, files: Sequence[str]) -> Result:
        """Returns the result of an input that was scored.

        Args:
            found: Scores of the input.
            threshold: A score above it is called fake.
            files: Paths or URLs of the files that were written.
        """
        rows = []
        for number, track in enumerate(found.tracks):
            mark = " (main)" if number == found.main and len(found.tracks) > 1 else ""
            time = f"{clock(float(track.time[0]))} to {clock(float(track.time[-1]))}" if found.seconds else ""
            said = found.meaning(number, threshold=threshold).verdict
            rows.append((f"{track.id}{mark}", time, f"{len(track):,}", f"{track.overall:.3f}", said))
        highest = found.tracks[found.highest]
        more = f"; highest score: face {highest.id}, {highest.overall:.3f}" if found.highest != found.main else ""
        meaning = found.meaning(threshold=threshold)
        return Result(
            about=summary(found, threshold, files),
            headline=f"{printable(found.video)}: {meaning.verdict}, score {found.score:.3f}{more}",
            rows=tuple(rows),
            sentences=meaning.sentences[1:],
            notes=tuple(map(printable, found.notes)),
        )

    @staticmethod
    def failed(path: str, error: MgstError) -> Result:
        """Returns the result of an input that cannot be scored.

        Args:
            path: The input.
            error: Why it cannot.
        """
        return Result({"video": printable(path), "error": str(error), "reason": error.reason}, error)


def print_result(result: Result, *, first: bool, faces: bool) -> None:
    """Prints the notes or the error of an input to stderr, and its faces and files to stdout.

    Args:
        result: The result.
        first: Whether it is the first one of the run.
        faces: Whether to print faces and files.
    """
    if result.error is not None:
        line(f"error: {result.error}", err=True)
        return
    for note in result.notes:
        line(f"note: {note}", err=True)
    if not faces:
        return
    if not first:
        line("")
    made = table("face", "time", "frames", "score", "verdict")
    for *cells, said in result.rows:
        made.add_row(*cells, Text(said, style=_STYLES[said]))
    line(result.headline)
    show_table(made)
    for text in (*result.sentences, *result.about["files"]):
        line(text)
