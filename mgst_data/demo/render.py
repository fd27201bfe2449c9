"""Writes the demo data set, which has the directory layout of FaceForensics++."""

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
    out: str | Path,
    *,
    seed: int = 0,
    people: int = 8,
    frames: int = 64,
    size: tuple[int, int] = (384, 288),
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Renders videos of people who talk, fakes of them with mask videos, and identity-disjoint splits.

    Everything is made from the portrait that scikit-image includes. The same arguments give bit-identical files. People
    are grouped in pairs. In each pair, both faces are swapped with both methods, as in FaceForensics++: ``000_001`` is
    the video of person 000 with the face of person 001.

    Args:
        out: Root of the data set; existing files with the same names are replaced.
        seed: Seed of the data set.
        people: Number of people: even, at least 6. One pair is in val, one in test.
        frames: Number of frames per video, at 25 frames per second.
        size: Width and height of the videos, pixels; both even.
        progress: Function that is called with the number of finished videos and the total number.

    Returns:
        Paths of the videos in order, without mask videos.

    Raises:
        UsageError: if ``people`` is odd or below 6.
        OutputError: if the folder cannot be written.
    """
    if people < 6 or people % 2:
        raise UsageError(f"people must be an even number of at least 6, got {people}", hint="give another number")
    out = Path(out)
    pairs = [(first, first + 1) for first in range(0, people, 2)]
    videos: list[Path] = []
    try:
        write_splits(out / "splits", pairs)
        about = {"dataset": DEMO, "people": people, "seed": seed, "made_of": "skimage.data.astronaut()"}
        (out / DEMO_MARK).write_text(json.dumps(about) + "\n")
        # Threads, because numpy, OpenCV and x264 release the GIL.
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            work = [pool.submit(render_pair, out, pair, seed, frames, size) for pair in pairs]
            for done in work:
                videos += done.result()
                if progress is not None:
                    progress(len(videos), 3 * people)
    except OSError as error:
        raise OutputError(error.strerror or str(error), where=out, hint="choose a writable folder") from error
    return sorted(videos)


def render_pair(out: Path, pair: tuple[int, int], seed: int, frames: int, size: tuple[int, int]) -> list[Path]:
    """Renders the real videos of both people of a pair, and the fakes in both directions.

    Args:
        out: Root of the data set.
        pair: Numbers of the two people.
        seed: Seed of the data set.
        frames: Number of frames per video.
        size: Width and height of the videos, pixels; both even.

    Returns:
        Paths of the videos, without mask videos.
    """
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
    """Writes the split files of FaceForensics++: the last pair is in test, the one before in val, the others in train.

    Args:
        folder: Folder of the split files.
        pairs: Numbers of the people of each pair.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in {"train": pairs[:-2], "val": pairs[-2:-1], "test": pairs[-1:]}.items():
        (folder / f"{name}.json").write_text(json.dumps([[f"{a:03}", f"{b:03}"] for a, b in part]) + "\n")


def as_picture(mask: np.ndarray) -> Frame:
    """Converts a mask in [0, 1] to a grey RGB picture in [0, 255]."""
    return cv2.cvtColor(np.round(255 * mask).astype(np.uint8), cv2.COLOR_GRAY2RGB)


def write_video(path: Path, frames: Sequence[Frame]) -> Path:
    """Writes an H.264 video at crf 23, the quality that FaceForensics++ calls c23.

    Args:
        path: File to write.
        frames: RGB frames, [0, 255].

    Returns:
        The path of the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as out:
        # The videos of FaceForensics++ do not name their colour space either.
        stream = add_h264_stream(out, rate=FPS, crf=23, preset="veryfast", labelled=False)
        stream.height, stream.width = frames[0].shape[:2]
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))
    return path
