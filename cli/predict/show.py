"""What a prediction comes to: files beside the video, a table, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from rich.text import Text

from mgst_data.core import UsageError
from mgst_data.core.errors import printable
from mgst_data.preview.annotate import Annotator
from mgst_data.preview.scores import ScoredTrack, clock, timeline, verdict
from mgst_data.preview.stream import write_video
from mgst_data.shards import encode_image
from mgst_data.shards.storage import output_errors, write_atomic
from mgst_data.video.batches import ahead
from mgst_data.video.files import is_url
from mgst_model.networks.checkpoint import LoadedNetwork

from . import show
from .face_runs import video_reader
from .inputs import Input, beside
from .predictions import Prediction, Window

SCORES, TIMELINE = "scores.json", "timeline.png"
_BATCH = 32
# Pictures that are drawn while one is encoded.
_AHEAD = 4
Saw = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be written.

    Attributes:
        folder: Made if it does not exist.
        stem: What the names of its files begin with.
        video: Whether the video is written anew, with what was found in it.
        threshold: Scores above it say "fake".
    """

    folder: Path
    stem: str
    video: bool
    threshold: float


def folders_of(inputs: Sequence[Input], out: Path | None, *, video: bool) -> list[Path]:
    """Where the files of each input go.

    Into ``out``; without it into ``VIDEO-scores`` beside the video. Several inputs get a folder each in ``out``, and
    those found in a folder get theirs in ``FOLDER-scores`` beside it, so that no results lie among the videos.

    Args:
        inputs: What is scored; files of a URL go into the current folder.
        out: As asked for, or None.
        video: Whether videos are written anew.

    Raises:
        UsageError: if a file would take the place of one of the videos.
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
                what = "this input would be overwritten by the results"
                raise UsageError(what, where=folder / file, hint="choose another --out")
    return folders


def write(found: Prediction, loaded: LoadedNetwork, wanted: Wanted, *, saw: Saw = lambda _: None) -> list[Path]:
    """Writes ``scores.json`` and, of a video, ``timeline.png`` and ``<stem>.mp4``; of a picture ``<stem>.png``.

    Args:
        found: What was found.
        loaded: The network.
        wanted: What to write, and where.
        saw: Called now and then with the number of frames that have been drawn.

    Returns:
        The files.

    Raises:
        OutputError: if the folder cannot be written.
    """
    with output_errors(wanted.folder):
        wanted.folder.mkdir(parents=True, exist_ok=True)
    files = [wanted.folder / SCORES]
    write_atomic(files[0], record(found, loaded, wanted.threshold).encode())
    stem = wanted.folder / wanted.stem
    if found.seconds:
        title = f"{Path(found.video).name}: score over time (higher: more likely fake)"
        picture = timeline(found.tracks, seconds=found.seconds, threshold=wanted.threshold, title=title)
        files.append(wanted.folder / TIMELINE)
        write_atomic(files[-1], encode_image(picture, image_format="png"))
    if not wanted.video:
        return files
    # Read a second time, as frames are never kept; drawn in a thread while others are encoded.
    drawn = ahead(_annotated(found, wanted.threshold, saw), _AHEAD)
    if found.seconds:
        files.append(stem.with_name(stem.name + ".mp4"))
        write_video(files[-1], drawn, fps=found.fps or 25.0)
    else:
        files.append(stem.with_name(stem.name + ".png"))
        for _, picture in drawn:
            write_atomic(files[-1], encode_image(picture, image_format="png"))
    return files


def record(found: Prediction, loaded: LoadedNetwork, threshold: float) -> str:
    """All scores as JSON: one line for each window and for each list of a track."""
    main = found.tracks[found.main]
    about = {
        "video": printable(found.video),
        "frames": found.frames,
        "fps": round(found.fps, 4),
        "seconds": round(found.seconds, 3),
        "size": list(found.size),
        "model": dict(loaded.info) | {"frames": loaded.frames, "size": loaded.size, "precision": found.precision},
        "caution": loaded.caution,
        "threshold": threshold,
        "score": _rounded(main.overall),
        "verdict": verdict(main.overall, threshold),
        "main_track": main.id,
        "highest_track": found.tracks[found.highest].id,
        "unscored_frames": found.unscored,
        "notes": [printable(note) for note in found.notes],
    }
    lines = [f" {json.dumps(name)}: {json.dumps(value, allow_nan=False)},\n" for name, value in about.items()]
    tracks = (_track(track, windows, threshold) for track, windows in zip(found.tracks, found.windows, strict=True))
    return "{\n" + "".join(lines) + ' "tracks": [\n' + ",\n".join(tracks) + "\n ]\n}\n"


def summary(found: Prediction, threshold: float, files: list[Path]) -> dict[str, Any]:
    """What ``--json`` prints of a video."""
    return {
        "video": printable(found.video),
        "score": _rounded(found.score),
        "verdict": verdict(found.score, threshold),
        "main_track": found.tracks[found.main].id,
        "highest_track": found.tracks[found.highest].id,
        "tracks": [
            {
                "track": track.id,
                "seconds": [round(float(track.time[0]), 3), round(float(track.time[-1]), 3)],
                "frames": len(track),
                "score": _rounded(track.overall),
                "verdict": verdict(track.overall, threshold),
            }
            for track in found.tracks
        ],
        "files": [printable(path) for path in files],
    }


def print_tracks(found: Prediction, threshold: float, files: list[Path]) -> None:
    """Prints a table of the faces and where the files are."""
    made = show.table("face", "time", "frames", "score", "verdict")
    for number, track in enumerate(found.tracks):
        said = verdict(track.overall, threshold)
        made.add_row(
            f"{track.id} (main)" if number == found.main and len(found.tracks) > 1 else str(track.id),
            f"{clock(float(track.time[0]))} to {clock(float(track.time[-1]))}" if found.seconds else "",
            f"{len(track):,}",
            f"{track.overall:.3f}",
            Text(said, style="bold red" if said == "fake" else "bold blue"),
        )
    highest = found.tracks[found.highest]
    more = f"; highest: face {highest.id} with {highest.overall:.3f}" if found.highest != found.main else ""
    show.line(f"{printable(found.video)}: {verdict(found.score, threshold)}, score {found.score:.3f}{more}")
    show.show_table(made)
    for path in files:
        show.line(printable(path))


def _annotated(found: Prediction, threshold: float, saw: Saw) -> Generator[tuple[float, UInt8[np.ndarray, "h w 3"]]]:
    draw: Annotator | None = None
    done = 0
    for batch in video_reader().chunks(found.video, _BATCH):
        pictures = batch.frames.permute(0, 2, 3, 1).numpy()
        if draw is None:
            height, width = pictures.shape[1:3]
            draw = Annotator(found.tracks, size=(height, width), seconds=found.seconds, threshold=threshold)
        for picture, index, time in zip(pictures, batch.index.tolist(), batch.pts.tolist(), strict=True):
            yield time, draw(picture, index, time)
        done += len(batch)
        saw(done)


def _track(track: ScoredTrack, windows: list[Window], threshold: float) -> str:
    spans = [
        {
            "frames": [int(track.frame[begin]), int(track.frame[end - 1])],
            "seconds": [round(float(track.time[begin]), 3), round(float(track.time[end - 1]), 3)],
        }
        for begin, end in track.spans()
    ]
    about = {
        "track": track.id,
        "score": _rounded(track.overall),
        "verdict": verdict(track.overall, threshold),
        "spans": spans,
        "frame": track.frame.tolist(),
        "time": [round(time, 3) for time in track.time.tolist()],
        "frame_score": [_rounded(score) for score in track.score.tolist()],
    }
    head = "".join(f"   {json.dumps(name)}: {json.dumps(value, allow_nan=False)},\n" for name, value in about.items())
    body = ",\n".join("    " + json.dumps(_window(window), allow_nan=False) for window in windows)
    return "  {\n" + head + '   "windows": [\n' + body + "\n   ]\n  }"


def _window(window: Window) -> dict[str, Any]:
    about: dict[str, Any] = {"frames": [window.first, window.last], "score": _rounded(window.score)}
    if window.patches is not None:
        about["patch_score"] = [[_rounded(score, 3) for score in row] for row in window.patches.tolist()]
    return about


def _rounded(score: float, digits: int = 4) -> float:
    return round(score, digits)
