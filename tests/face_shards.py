"""Shards for training tests: small videos of a schematic face. The fakes have a bright spot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from augment import faces68
from shards.synthetic_shards import CONFIG, chunk_of, record_of, write_shard

from mgst_data.core import VideoRecord
from mgst_data.shards import FaceChunk, encode_image, encode_mask, open_folder

FRAMES, SIZE = 8, 64
# Rows and columns of the spot of a fake.
SPOT = slice(20, 40)


def face_chunk(record: VideoRecord, *, masks: bool = False, size: int = SIZE, frames: int = FRAMES) -> FaceChunk:
    """Makes a chunk of a face that drifts over a background. A fake has a spot, and optionally its mask."""
    number = sum(record.key.encode())
    segment = faces68.make(1, frames, size, seed=number)
    pictures = segment.frames[0].permute(0, 2, 3, 1).contiguous()
    mask = torch.zeros(frames, size, size, dtype=torch.uint8)
    if record.label:
        pictures[:, SPOT, SPOT] = torch.tensor([1.0, 1.0, 0.2])
        mask[:, SPOT, SPOT] = 255
    return replace(
        chunk_of(record, t=frames, k=68, size=size),
        images=tuple(encode_image(image.numpy(), image_format="png") for image in (pictures * 255).byte()),
        masks=tuple(encode_mask(image.numpy()) for image in mask) if masks and record.label else (),
        image_format="png",
        landmarks=segment.landmarks[0],
        landmarks_raw=segment.landmarks[0],
        valid=torch.ones(frames, 68, dtype=torch.bool),
    )


def write_face_shards(out: Path, *, train: int = 4, val: int = 2, fakes: bool = False, masks: bool = False) -> Path:
    """Writes shards with a number of real videos in each split, and optionally the same number of fakes."""
    records = [
        record_of(f"{split}{label}{number}", label=label, split=split)
        for split, count in (("train", train), ("val", val))
        for label in range(2 if fakes else 1)
        for number in range(count)
    ]

    def chunks(record: VideoRecord) -> Iterator[FaceChunk]:
        yield face_chunk(record, masks=masks)

    with open_folder(out, CONFIG, records, videos_per_shard=4) as folder:
        for task in folder.missing(records):
            write_shard(out, task, extract=chunks)
        folder.finish()
    return out
