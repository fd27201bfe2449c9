"""Schema of the samples of a shard. Only this file knows the keys and codecs.

A sample is a mapping from extension to bytes, the same as in webdataset. No pickle data is loaded.
"""

from __future__ import annotations

import io
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from tokenize import TokenError
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray
from torch import Tensor

from mgst_data.core import FAKE, ShardError, VideoRecord
from mgst_data.core.documents import parse_json
from mgst_data.core.errors import first_line
from mgst_data.core.records import NO_FRAME
from mgst_data.shards.images import FORMATS, QUALITY, decode_image, decode_mask

SCHEMA = 1
Data = bytes | memoryview

# Fields of KEY.json with their types: fields of the record, and fields of the chunk. encode_chunk() converts the lists.
_RECORD: dict[str, Any] = {
    **dict.fromkeys(("key", "video", "dataset", "split", "method", "compression", "source_key", "target_key"), str),
    "label": int,
}
_PLAIN: dict[str, Any] = {
    "track": int, "chunk": int, "fps": (int, float), "crop_size": int, "image_format": str, "quality": int,
    "models": dict,
}  # fmt: skip
_LISTS: dict[str, Any] = dict.fromkeys(
    ("frame_indices", "pts", "frame_size", "crop_from_frame", "damaged", "fake_spans"), list
)
# Fields that shards of earlier versions do not have.
_CAME_LATER = ("damaged", "fake_spans")
# Arrays KEY.*.npy with the types that they are stored as.
_ARRAYS = {"landmarks": "<f4", "landmarks_raw": "<f4", "valid": "|b1", "boxes": "<f4", "scores": "<f4"}


@dataclass(frozen=True, slots=True, eq=False)
class FaceChunk:
    """A run of consecutive frames of one face track: one sample of a shard. t frames, k landmarks.

    Attributes:
        record: Record of the video. ``path`` and ``mask_path`` are not stored: they differ between machines.
        track: Number of the track within the video.
        chunk: Number of the chunk within the track.
        fps: Average frame rate of the video, frames per second; 0 if unknown.
        frame_indices: Numbers of the frames in the video, ascending by one.
        pts: Presentation times, seconds, never descending.
        frame_size: Width and height of the video, pixels.
        crop_size: Side of the square crops, pixels.
        crop_from_frame: Affine transform from pixels of the frame to pixels of the crop.
        landmarks: Smoothed landmarks, pixels of the crop. Coordinates outside the crop are kept.
        landmarks_raw: Landmarks before smoothing, pixels of the crop.
        valid: False for landmarks that lie outside the frame or jump.
        boxes: Face boxes ``x0, y0, x1, y1``, pixels of the crop.
        scores: Probability of a face, [0, 1].
        images: Encoded crops.
        masks: Encoded manipulation masks, one for every crop, or none.
        image_format: "jpg", "png" or "webp".
        quality: JPEG quality, 1 to 100; the other formats are lossless.
        models: Names and versions of the detector and the landmark model.
        damaged: True for frames that were decoded from damaged data. By default, no frame is damaged.
    """

    record: VideoRecord
    track: int
    chunk: int
    fps: float
    frame_indices: Int[Tensor, " t"]
    pts: Float[Tensor, " t"]
    frame_size: tuple[int, int]
    crop_size: int
    crop_from_frame: Float[Tensor, "2 3"]
    landmarks: Float[Tensor, "t k 2"]
    landmarks_raw: Float[Tensor, "t k 2"]
    valid: Bool[Tensor, "t k"]
    boxes: Float[Tensor, "t 4"]
    scores: Float[Tensor, " t"]
    images: tuple[Data, ...] = field(repr=False)
    masks: tuple[Data, ...] = field(default=(), repr=False)
    image_format: str = "jpg"
    quality: int = QUALITY
    models: Mapping[str, str] = field(default_factory=dict)
    damaged: Bool[Tensor, " t"] = NO_FRAME

    def __post_init__(self) -> None:
        if self.damaged is NO_FRAME:
            object.__setattr__(self, "damaged", torch.zeros(len(self.frame_indices), dtype=torch.bool))
        problems = list(_problems(self))
        if problems:
            raise ValueError(f"{self.key}: {'; '.join(problems)}")

    @property
    def key(self) -> str:
        """Name of the sample. It has no dot and no slash, so that every tool groups the members in the same way."""
        return f"{self.record.key}-{self.track:02d}-{self.chunk:04d}"

    def __len__(self) -> int:
        return len(self.frame_indices)

    def __repr__(self) -> str:
        masks = " with masks" if self.masks else ""
        return f"FaceChunk({self.key}, {len(self)} {self.image_format} crops of {self.crop_size} pixels{masks})"

    @property
    def fake_frames(self) -> Bool[Tensor, " t"]:
        """True for fake frames; see :meth:`VideoRecord.fake_frames`."""
        return self.record.fake_frames(self.pts)

    @property
    def face_area(self) -> float:
        """Sum of the areas of the face boxes over the frames, square pixels of the video."""
        size = (self.boxes[:, 2:] - self.boxes[:, :2]).double() / float(self.crop_from_frame[0, 0])
        return float(size.prod(dim=1).sum())

    def frames(self, positions: Sequence[int] | None = None) -> Iterator[UInt8[ndarray, "h w 3"]]:
        """Decodes crops to RGB.

        Args:
            positions: Positions in the chunk; None decodes all crops.

        Raises:
            ShardError: if a crop is damaged.
        """
        for i in range(len(self)) if positions is None else positions:
            yield self._checked(decode_image(self.images[i]), "crop", i)

    def mask_frames(self, positions: Sequence[int] | None = None) -> Iterator[UInt8[ndarray, "h w"]]:
        """Decodes manipulation masks (0 untouched, 255 manipulated).

        Args:
            positions: Positions in the chunk; None decodes all masks. Without masks, nothing is yielded.

        Raises:
            ShardError: if a mask is damaged.
        """
        for i in range(len(self.masks)) if positions is None or not self.masks else positions:
            yield self._checked(decode_mask(self.masks[i]), "mask", i)

    def _checked(self, image: UInt8[ndarray, "h w *c"] | None, kind: str, position: int) -> UInt8[ndarray, "h w *c"]:
        if image is None:
            raise ShardError(f"{kind} {position} is damaged", where=self.key)
        height, width = image.shape[:2]
        if not height == width == self.crop_size:
            expected = f"{self.crop_size}x{self.crop_size}"
            raise ShardError(f"{kind} {position} has size {width}x{height}, not {expected}", where=self.key)
        return image


def split_key(key: str) -> tuple[str, int, int]:
    """Splits the name of a sample into the key of the video, the number of the track and the number of the chunk."""
    video, track, chunk = key.rsplit("-", 2)
    return video, int(track), int(chunk)


def encode_chunk(chunk: FaceChunk) -> dict[str, bytes]:
    """Encodes a chunk as the members of a sample, by extension. Equal chunks give bit-identical members."""
    info = {
        "schema": SCHEMA,
        **{name: getattr(chunk.record, name) for name in _RECORD},
        **{name: getattr(chunk, name) for name in _PLAIN},
        "fake_spans": chunk.record.fake_spans,
        "frame_indices": chunk.frame_indices.tolist(),
        "damaged": chunk.frame_indices[chunk.damaged].tolist(),
        "pts": chunk.pts.tolist(),
        "frame_size": chunk.frame_size,
        "crop_from_frame": chunk.crop_from_frame.tolist(),
    }
    # ASCII escapes preserve file names that are not valid UTF-8.
    text = json.dumps(info, ensure_ascii=True, sort_keys=True, separators=(",", ":"), allow_nan=False)
    arrays = {f"{name}.npy": _encode_array(getattr(chunk, name), kind) for name, kind in _ARRAYS.items()}
    images = {f"{i:03d}.{chunk.image_format}": bytes(data) for i, data in enumerate(chunk.images)}
    masks = {f"{i:03d}.mask.png": bytes(data) for i, data in enumerate(chunk.masks)}
    return {"json": text.encode(), **arrays, **images, **masks}


def decode_chunk(sample: Mapping[str, Data]) -> FaceChunk:
    """Decodes the chunk of a sample. Its images stay encoded until they are used.

    Args:
        sample: Members of the sample by extension.

    Raises:
        ShardError: if a member is missing or does not follow the schema.
    """
    try:
        info = _decode_info(sample["json"])
        arrays: dict[str, Any] = {name: _decode_array(sample[f"{name}.npy"]) for name in _ARRAYS}
        return FaceChunk(
            record=VideoRecord(
                path="",
                fake_spans=tuple((float(start), float(end)) for start, end in info["fake_spans"]),
                **{name: info[name] for name in _RECORD},
            ),
            frame_indices=torch.tensor(info["frame_indices"], dtype=torch.long),
            damaged=_among(info["frame_indices"], info["damaged"]),
            pts=torch.tensor(info["pts"], dtype=torch.float64),
            frame_size=tuple(info["frame_size"]),
            crop_from_frame=torch.tensor(info["crop_from_frame"], dtype=torch.float64),
            images=_numbered(sample, f".{info['image_format']}"),
            masks=_numbered(sample, ".mask.png"),
            **arrays,
            **{name: info[name] for name in _PLAIN},
        )
    except KeyError as error:
        raise ShardError(f"{error.args[0]!r} is missing") from error
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:  # torch: numbers beyond 64 bits
        raise ShardError(first_line(error)) from error


def verify_sample(sample: Mapping[str, Data]) -> list[str]:
    """Checks a sample against the schema, and decodes every image.

    Args:
        sample: Members of the sample by extension.

    Returns:
        One line per problem; an empty list if the sample is valid.
    """
    try:
        chunk = decode_chunk(sample)
    except ShardError as error:
        return [str(error)]
    expected = {"json", *(f"{name}.npy" for name in _ARRAYS)}
    expected |= {f"{i:03d}.{chunk.image_format}" for i in range(len(chunk.images))}
    expected |= {f"{i:03d}.mask.png" for i in range(len(chunk.masks))}
    found = {name for name in sample if not name.startswith("__")}  # webdataset's own entries
    problems = [f"unknown member {name!r}" for name in sorted(found - expected)]
    for count, decode in ((len(chunk), chunk.frames), (len(chunk.masks), chunk.mask_frames)):
        for i in range(count):
            try:
                next(decode([i]))
            except ShardError as error:
                problems.append(str(error))
    return problems


def _problems(chunk: FaceChunk) -> Iterator[str]:
    t = len(chunk.frame_indices)
    k = chunk.landmarks.shape[1] if chunk.landmarks.ndim == 3 else 0
    shapes = {
        "pts": (t,),
        "landmarks": (t, k, 2),
        "landmarks_raw": (t, k, 2),
        "valid": (t, k),
        "boxes": (t, 4),
        "scores": (t,),
        "damaged": (t,),
        "crop_from_frame": (2, 3),
    }
    for name, shape in shapes.items():
        found = tuple(getattr(chunk, name).shape)
        if found != shape:
            yield f"{name} must have shape {shape}, got {found}"
        # A sum is finite only if every term is finite. Checking the sum is much faster than checking every term.
        elif not math.isfinite(getattr(chunk, name).sum()):
            yield f"{name} contains values that are not finite"
    if not t or not k:
        yield "no frames or no landmarks"
    if bool((chunk.frame_indices.diff() != 1).any()):
        yield "frame_indices do not ascend by one"
    if bool((chunk.pts.diff() < 0).any()):
        yield "pts descend"
    if (chunk.record.label == FAKE) == (chunk.record.method == "real"):
        yield f"label {chunk.record.label} contradicts method {chunk.record.method!r}"
    if len(chunk.images) != t:
        yield f"{len(chunk.images)} crops for {t} frames"
    if len(chunk.masks) not in (0, t):
        yield f"{len(chunk.masks)} masks for {t} frames"
    if chunk.image_format not in FORMATS:
        yield f"unknown image format {chunk.image_format!r}; known: {', '.join(FORMATS)}"


def _decode_info(data: Data) -> dict[str, Any]:
    info = parse_json(bytes(data))
    if info["schema"] != SCHEMA:
        raise ShardError(f"has schema {info['schema']}, but this version reads {SCHEMA}", hint="extract again")
    info = {**{name: [] for name in _CAME_LATER}, **info}
    for name, kind in (_RECORD | _PLAIN | _LISTS).items():
        if not isinstance(info[name], kind):
            raise TypeError(f"the JSON has {info[name]!r} as {name!r}")
    sides = (*info["frame_size"], info["crop_size"])
    if len(sides) != 3 or not all(isinstance(side, int) and 0 < side < 2**31 for side in sides):
        raise ValueError(f"the sizes of frame and crop are {sides}")
    return dict(info)


def _among(frames: list[Any], chosen: list[Any]) -> Bool[Tensor, " t"]:
    """Returns a mask of the frames whose numbers are in ``chosen``.

    Raises:
        ValueError: if ``chosen`` has duplicates or other frames.
    """
    if len(set(chosen)) < len(chosen) or not set(chosen) <= set(frames):
        raise ValueError(f"the damaged frames {chosen} are not frames of the chunk")
    return torch.tensor([frame in chosen for frame in frames], dtype=torch.bool)


def _numbered(sample: Mapping[str, Data], suffix: str) -> tuple[Data, ...]:
    # 000, 001, ... up to the first missing one. A gap then shows as a wrong count.
    names = itertools.takewhile(sample.__contains__, _names(suffix, len(sample)))
    return tuple(sample[name] for name in names)


@lru_cache(maxsize=64)
def _names(suffix: str, count: int) -> tuple[str, ...]:
    return tuple(f"{i:03d}{suffix}" for i in range(count))


def _encode_array(array: Tensor, kind: str) -> bytes:
    stream = io.BytesIO()
    contiguous = np.ascontiguousarray(array.cpu().numpy(), dtype=kind)
    np.lib.format.write_array(stream, contiguous, version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def _decode_array(data: Data) -> Tensor:
    # 10 bytes of magic, version and length, then the header. Most samples have the same header, so it is cached.
    length = 10 + int.from_bytes(data[8:10], "little")
    shape, dtype = _array_header(bytes(data[:length]))
    values: Any = np.frombuffer(data, dtype=dtype, offset=length).reshape(shape)
    return torch.from_numpy(values.copy())


@lru_cache(maxsize=256)
def _array_header(header: bytes) -> tuple[tuple[int, ...], np.dtype[Any]]:
    stream = io.BytesIO(header)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("not a .npy array of version 1.0")
    try:
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    except (SyntaxError, TokenError, RecursionError) as error:  # numpy reads the header as Python values
        raise ValueError(f"damaged header of an array: {first_line(error)}") from error
    if fortran or dtype.hasobject:
        raise ValueError(f"an array of {dtype} must be in C order and contain no Python objects")
    return shape, dtype
