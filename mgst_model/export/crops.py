"""Crops of faces, to compare an exported network with the original."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional

from mgst_data.core import UsageError
from mgst_data.core.sampling import evenly_spaced
from mgst_data.shards import ShardReader
from mgst_model.evaluate.crops import InputSpec, network_input

# Pixels that a portrait moves in all.
_DRIFT = 8


def portraits(count: int, *, frames: int, size: int) -> UInt8[Tensor, "b t 3 h w"]:
    """Makes segments of rendered faces that move by a pixel from frame to frame. They need no files.

    Args:
        count: Number of segments, each of another person.
        frames: Number of frames of each segment.
        size: Side of the frames, pixels.
    """
    import numpy as np

    from mgst_data.demo.people import draw_identity
    from mgst_data.demo.portrait import make_sheet

    random = np.random.default_rng(0)
    segments = []
    for number in range(count):
        sheet = torch.from_numpy(make_sheet(draw_identity(number, random)).face.copy()).permute(2, 0, 1)[None].float()
        sheet = sheet[..., : min(sheet.shape[-2:])]
        wide = functional.interpolate(sheet, size=(size + _DRIFT,) * 2, mode="bilinear", align_corners=False)[0]
        starts = [frame % _DRIFT for frame in range(frames)]
        segments.append(torch.stack([wide[:, start : start + size, start : start + size] for start in starts]))
    return torch.stack(segments).round().clamp(0, 255).to(torch.uint8)


def shard_crops(location: str, spec: InputSpec, *, count: int, frames: int) -> UInt8[Tensor, "b t 3 h w"]:
    """Reads segments of real crops, evenly spaced over the chunks of a folder of shards.

    Args:
        location: Folder of shards, by path or URL.
        spec: Input that the network needs.
        count: Largest number of segments.
        frames: Number of frames of each segment.

    Raises:
        UsageError: if no chunk has as many frames.
        ShardError: if a shard is damaged.
    """
    reader = ShardReader.open(location)
    rows = (reader.frames >= frames).nonzero()[:, 0].tolist()
    if not rows:
        hint = "give another folder, or fewer frames with --frames"
        raise UsageError(f"no chunk has {frames} frames", where=location, hint=hint)
    positions = range(frames)
    chunks = (reader[rows[i]] for i in evenly_spaced(len(rows), min(count, len(rows))))
    return torch.stack([network_input(chunk, positions, list(chunk.frames(positions)), spec)[0] for chunk in chunks])
