"""Writes the demo data set: FaceForensics++ on a small scale."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import av
import cv2
import numpy as np

from mgst_data.core import OutputError, UsageError, seed_for
from mgst_data.core.records import DEMO
from mgst_data.datasets.find import DEMO_MARK
from mgst_data.demo.film import METHODS, Frame, Person, swap
from mgst_data.video.h264 import add_h264_stream

FPS = 25
COMPRESSION = "c23"


def render_demo(
    out: Path,
    *,
    seed: int = 0,
    people: int = 8,
    frames: int = 64,
    size: tuple[int, int] = (384, 288),
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Renders people who talk, fakes of them with masks, and identity-disjoint splits.

    Everything is made from the one portrait that scikit-image ships; the same arguments give the same bytes. People
    are paired, and in each pair both faces are swapped by both methods, as in the original data set: ``000_001`` shows
    person 000 with the face of 001.

    Args:
        out: Root of the data set; files of the same names are replaced.
        seed: Seed of all that is random.
        people: Number of people: even, at least 6; one pair is for validation and one for test.
        frames: Frames per video, at 25 per second.
        size: Width and height of the videos; even.
        progress: Called with the number of videos done and their total.

    Returns:
        The videos, masks not counted, in order.

    Raises:
        UsageError: if the people cannot be paired and split.
        OutputError: if the folder cannot be written.
    """
    if people < 6 or people % 2:
        raise UsageError(f"{people} people cannot be paired and split", hint="choose an even number, at least 6")
    pairs = [(first, first + 1) for first in range(0, people, 2)]
    videos: list[Path] = []
    try:
        write_splits(out / "splits", pairs)
        about = {"dataset": DEMO, "people": people, "seed": seed, "made_of": "skimage.data.astronaut()"}
        (out / DEMO_MARK).write_text(json.dumps(about) + "\n")
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # numpy, OpenCV and x264 let each other run
            work = [pool.submit(render_pair, out, pair, seed, frames, size) for pair in pairs]
            for done in work:
                videos += done.result()
                if progress is not None:
                    progress(len(videos), 3 * people)
    except OSError as error:
        raise OutputError(
            error.strerror or str(error), where=out, hint="choose a folder that can be written"
        ) from error
    return sorted(videos)


def render_pair(out: Path, pair: tuple[int, int], seed: int, frames: int, size: tuple[int, int]) -> list[Path]:
    """Films both people of a pair, then swaps their faces both ways."""
    people = {number: Person(number, seed=seed, frames=frames, fps=FPS, size=size) for number in pair}
    films = {number: list(person.film()) for number, person in people.items()}
    real = out / "original_sequences" / "youtube" / COMPRESSION / "videos"
    videos = [write_video(real / f"{number:03}.mp4", film) for number, film in films.items()]
    for (target, source), (name, method) in product((pair, pair[::-1]), METHODS.items()):
        random = np.random.default_rng(seed_for(seed, name, target, source))
        fakes, masks = zip(*swap(people[target], people[source], films[target], method, random), strict=True)
        folder, video = out / "manipulated_sequences" / name, f"videos/{target:03}_{source:03}.mp4"
        videos.append(write_video(folder / COMPRESSION / video, fakes))
        write_video(folder / "masks" / video, [as_picture(mask) for mask in masks])
    return videos


def write_splits(folder: Path, pairs: list[tuple[int, int]]) -> None:
    """Lists of pairs, as the original data set has them: the last for test, the one before for validation."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in {"train": pairs[:-2], "val": pairs[-2:-1], "test": pairs[-1:]}.items():
        (folder / f"{name}.json").write_text(json.dumps([[f"{a:03}", f"{b:03}"] for a, b in part]) + "\n")


def as_picture(mask: np.ndarray) -> Frame:
    """A mask as grey RGB."""
    return cv2.cvtColor(np.round(255 * mask).astype(np.uint8), cv2.COLOR_GRAY2RGB)


def write_video(path: Path, frames: Sequence[Frame]) -> Path:
    """Encodes H.264 at the quality that the original data set calls c23."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as out:
        # The videos of the original data set do not say which colours they have either.
        stream = add_h264_stream(out, rate=FPS, crf=23, preset="veryfast", labelled=False)
        stream.height, stream.width = frames[0].shape[:2]
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))
    return path
