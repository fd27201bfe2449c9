"""Finds near-duplicates: the same video under another name, cut, encoded again, or mirrored.

Perceptual hashes of frames (``phash`` of the library imagehash, 256 bits) are compared. A hash is taken of the square
around the landmarks, not of the stored crop: the crop depends on where a run begins and ends, and differs between a
video and a part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from mgst_data.core import FAKE
from mgst_data.core.sampling import evenly_spaced
from mgst_data.people.embed import run_jobs, shard_reports, shard_videos
from mgst_data.people.store import Rows, load_rows, save_rows, without_rows
from mgst_data.shards import FaceChunk, ShardReport

# Largest number of different bits of two hashes of the same frame, and the share of the compared frames that must
# match. Measured by benchmarks/bench_people.py.
BITS, SHARE = 24, 0.75
# One of this number of frames is hashed. Up to this number of them are looked up among all hashes of the other video.
STEP, PROBES = 4, 8
_GRID = 16
# Side of the hashed square, relative to the root mean square distance of the landmarks from their centre.
_REACH = 4.0
# Side of the hashed picture, pixels: what phash reduces it to.
_SIDE = 64
_KIND = f"hashes.phash {_GRID}, every {STEP}, {PROBES}, {_REACH}"
# Tracks and hashes that are compared at a time.
_TRACKS, _HASHES = 256, 1 << 15


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two videos that show the same frames.

    Attributes:
        folders: Folders of the two videos.
        videos: Keys of the two videos.
        share: Share of the compared frames that match.
        mirrored: Whether one video is mirrored.
    """

    folders: tuple[str, str]
    videos: tuple[str, str]
    share: float
    mirrored: bool

    def among(self, folders: Sequence[str | Path]) -> tuple[tuple[int, str], tuple[int, str]]:
        """Returns each video as the number of its folder among the given ones, and its key."""
        first, second = ([str(folder) for folder in folders].index(at) for at in self.folders)
        return (first, self.videos[0]), (second, self.videos[1])


@dataclass(frozen=True, slots=True)
class _Track:
    """Hashes of one track, as bits -1 and 1: of all hashed frames, and of the probes as they are and mirrored."""

    folder: str
    video: str
    target: str
    label: int
    hashes: Float[ndarray, "n 256"]
    probes: Float[ndarray, "p 256"]
    mirrored: Float[ndarray, "p 256"]


def near_duplicates(
    folders: Sequence[str | Path],
    *,
    bits: int = BITS,
    share: float = SHARE,
    workers: int | None = None,
    saw: Callable[[int, int], object] = lambda *_: None,
) -> list[Duplicate]:
    """Finds near-duplicates in folders of shards, within a folder and between folders.

    Hashes of finished shards are kept in the folder. A fake and its paired real video, and two fakes of one video, show
    the same scene and are not listed if the data set says that they belong together (the same target identity).

    Args:
        folders: Folders of shards, by path or fsspec URL.
        bits: Largest number of different bits of two hashes that match, of 256.
        share: Smallest share of the frames of one video that match frames of the other, (0, 1].
        workers: Number of processes; None for one per core. The result does not depend on it.
        saw: Called with the number of finished shards and the number of all shards.

    Returns:
        Pairs of videos, those with the largest share first.

    Raises:
        ImportError: if imagehash is not installed.
        UsageError: if a folder is not complete.
        ShardError: if a shard is damaged.
        MgstError: if a worker process dies.
    """
    reports = [(str(folder), shard_reports(folder)) for folder in folders]
    run_jobs(hash_shard, [job for folder, some in reports for job in without_rows(folder, some, _KIND)], workers, saw)
    rows = [(folder, kept) for folder, some in reports for kept in load_rows(folder, some, _KIND)]
    tracks = [track for folder, kept in rows for track in _tracks(folder, kept)]
    found: dict[tuple[tuple[str, str], tuple[str, str]], tuple[float, bool]] = {}
    for probing, other, matched, mirrored in _matches(tracks, bits, share):
        first, second = sorted((tracks[probing], tracks[other]), key=lambda track: (track.folder, track.video))
        related = first.target and first.target == second.target and FAKE in (first.label, second.label)
        names = ((first.folder, first.video), (second.folder, second.video))
        if names[0] != names[1] and not related:
            found[names] = max(found.get(names, (0.0, mirrored)), (matched, mirrored), key=lambda pair: pair[0])
    ordered = sorted(found.items(), key=lambda item: (-item[1][0], item[0]))
    return [Duplicate((a[0], b[0]), (a[1], b[1]), matched, mirrored) for (a, b), (matched, mirrored) in ordered]


def hash_shard(folder: str, report: ShardReport) -> None:
    """Hashes the tracks of one shard, and keeps the hashes beside it.

    Args:
        folder: Folder of the shard.
        report: Report of the shard.

    Raises:
        ImportError: if imagehash is not installed.
        ShardError: if the shard is damaged.
    """
    rows = []
    for video in shard_videos(folder, report):
        for track, chunks in video.items():
            places = [
                (chunk, i)
                for chunk in chunks
                for i, frame in enumerate(chunk.frame_indices.tolist())
                if not frame % STEP
            ]
            # A track of a still picture, or one that is very short, may have no such frame.
            places = places or [(chunks[0], 0)]
            probes = set(evenly_spaced(len(places), min(PROBES, len(places))))
            record = chunks[0].record
            for number, (chunk, i) in enumerate(places):
                picture = face_square(chunk, i)
                mirrored = _hash(picture[:, ::-1]) if number in probes else np.zeros(_GRID * _GRID // 8, np.uint8)
                about = (record.key, track, record.target_key, record.label, number in probes)
                rows.append((*about, _hash(picture), mirrored))
    text = f"U{max(1, *(len(name) for row in rows for name in (row[0], row[2])))}"
    size = _GRID * _GRID // 8
    kind = [("video", text), ("track", "i4"), ("target", text), ("label", "i4"), ("probe", "?"), ("hash", "u1", size),
            ("mirrored", "u1", size)]  # fmt: skip
    save_rows(folder, report, _KIND, np.array(rows, dtype=kind))


def face_square(chunk: FaceChunk, position: int) -> UInt8[ndarray, "s s 3"]:
    """Cuts the square around the landmarks of a frame, without rotation.

    Args:
        chunk: Chunk of the face.
        position: Position of the frame in the chunk.

    Raises:
        ShardError: if the crop is damaged.
    """
    points = chunk.landmarks[position]
    x, y = points.mean(dim=0).tolist()
    spread = float((points - points.mean(dim=0)).square().sum(dim=-1).mean().sqrt())
    # Twice the final size: phash reduces it with a good filter.
    side = 2 * _SIDE
    scale = side / max(_REACH * spread, 1.0)
    # Pixel centres are whole numbers, so that a mirrored picture has the mirrored square.
    middle = (side - 1) / 2
    matrix = np.array([[scale, 0, middle - x * scale], [0, scale, middle - y * scale]])
    crop = next(chunk.frames([position]))
    square: UInt8[ndarray, "s s 3"] = cv2.warpAffine(
        crop, matrix, (side, side), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
    )
    return square


def _hash(picture: UInt8[ndarray, "s s 3"]) -> UInt8[ndarray, "32"]:
    try:
        import imagehash
    except ImportError as error:
        raise ImportError("imagehash is not installed; run: pip install imagehash") from error
    from PIL import Image

    packed: UInt8[ndarray, "32"] = np.packbits(imagehash.phash(Image.fromarray(picture), hash_size=_GRID).hash)
    return packed


def _tracks(folder: str, rows: Rows) -> Iterator[_Track]:
    """Yields the tracks of the rows of a shard, which are sorted by track."""
    borders = np.flatnonzero((rows["video"][1:] != rows["video"][:-1]) | (rows["track"][1:] != rows["track"][:-1])) + 1
    for part in np.split(rows, borders):
        probes = part[part["probe"]]
        about = (str(part["video"][0]), str(part["target"][0]), int(part["label"][0]))
        yield _Track(folder, *about, _signs(part["hash"]), _signs(probes["hash"]), _signs(probes["mirrored"]))


def _signs(packed: UInt8[ndarray, "n 32"]) -> Float[ndarray, "n 256"]:
    return np.unpackbits(packed, axis=1).astype(np.float32) * 2 - 1


def _matches(tracks: Sequence[_Track], bits: int, share: float) -> Iterator[tuple[int, int, float, bool]]:
    """Yields the numbers of a probing track and of another one, the share of matching probes, and whether mirrored."""
    # The product of two rows of signs is 256 - 2 times the number of different bits.
    least = _GRID * _GRID - 2 * bits
    counts = np.array([len(track.hashes) for track in tracks], dtype=int)
    parts = np.split(np.arange(len(tracks)), np.flatnonzero(np.diff(np.cumsum(counts) // _HASHES)) + 1)
    for part in parts if len(tracks) else []:
        hashes = torch.from_numpy(np.concatenate([tracks[i].hashes for i in part]))
        starts = np.concatenate(([0], np.cumsum(counts[part])[:-1]))
        for begin in range(0, len(tracks), _TRACKS):
            some = tracks[begin : begin + _TRACKS]
            first = np.concatenate(([0], np.cumsum([len(track.probes) for track in some])[:-1]))
            for mirrored in (False, True):
                probes = np.concatenate([track.mirrored if mirrored else track.probes for track in some])
                closest = np.maximum.reduceat((torch.from_numpy(probes) @ hashes.T).numpy(), starts, axis=1)
                matched: Bool[ndarray, "p m"] = closest >= least
                shares = np.add.reduceat(matched, first, axis=0, dtype=float)
                shares /= np.array([len(track.probes) for track in some])[:, None]
                for i, j in zip(*np.nonzero(shares >= share), strict=True):
                    if begin + i != part[j]:
                        yield begin + int(i), int(part[j]), float(shares[i, j]), mirrored
