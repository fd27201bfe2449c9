"""Reads the dataset JSON files of DeepfakeBench, which list label, split, compression and frames of every video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgst_data.core import LayoutError
from mgst_data.core.records import SPLITS
from mgst_data.datasets.files import read_json

# Keys of a video. One published script writes them one level too high, in place of videos (DFDC, split val).
_KEYS = ("label", "frames", "masks")
_HINT = "use a file that DeepfakeBench or its rearrange.py wrote, or move this file away"


@dataclass(frozen=True, slots=True)
class Listed:
    """One video as a JSON file lists it.

    Attributes:
        dataset: Name of the data set in the file, for example "FaceForensics++".
        kind: Name of its class, for example "FF-DF" or "CelebDFv2_real".
        split: "train", "val" or "test".
        compression: Compression level; "" if the data set has only one.
        name: Name of the video.
        frames: Paths of its frames, on the computer where the file was written, split into their parts.
        masks: Path of its first mask, split into its parts; empty for none.
    """

    dataset: str
    kind: str
    split: str
    compression: str
    name: str
    frames: tuple[tuple[str, ...], ...]
    masks: tuple[str, ...] = ()


def read_listed(file: Path) -> list[Listed]:
    """Reads ``{dataset: {class: {split: {[compression:] {video: {"frames": [...], "masks": [...]}}}}}}``.

    Raises:
        LayoutError: if the file is not valid JSON or has another form.
    """
    data = read_json(file)
    try:
        return [
            video
            for dataset, kinds in data.items()
            for kind, splits in kinds.items()
            for split, videos in splits.items()
            if split in SPLITS
            for video in _videos(dataset, kind, split, "", videos)
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise LayoutError("not a dataset JSON file of DeepfakeBench", where=file, hint=_HINT) from error


def _videos(dataset: str, kind: str, split: str, compression: str, videos: dict[str, Any]) -> Iterator[Listed]:
    for name, entry in videos.items():
        if name in _KEYS and not isinstance(entry, dict):
            continue
        if "frames" not in entry:  # FaceForensics++ has one more level: the compression
            yield from _videos(dataset, kind, split, name, entry)
            continue
        frames = tuple(_parts(path) for path in entry["frames"])
        masks = entry.get("masks") or [""]
        yield Listed(dataset, kind, split, compression, name, frames, _parts(masks[0]))


def _parts(path: str) -> tuple[str, ...]:
    """Splits a path of Linux or Windows into its parts, without a leading "." or "/"."""
    return tuple(part for part in path.replace("\\", "/").split("/") if part not in ("", "."))
