"""Tiny synthetic chunks, and a mock extraction that writes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from mgst_data.core import VideoRecord
from mgst_data.shards import (
    FaceChunk,
    ShardReport,
    ShardTask,
    ShardWriter,
    VideoReport,
    encode_image,
    encode_mask,
)
from mgst_data.shards.store import ShardStore

CONFIG = {"frames": 5, "crop": {"size": 16, "margin": 0.3}}


def record_of(key: str, *, label: int = 0, split: str = "train", method: str = "") -> VideoRecord:
    return VideoRecord(
        key=key,
        path=f"/somewhere/{key}.mp4",
        video=f"videos/{key}.mp4",
        dataset="ffpp",
        split=split,
        label=label,
        method=method or ("Deepfakes" if label else "real"),
        compression="c23",
        target_key=f"ffpp/{key}",
    )


def chunk_of(
    record: VideoRecord,
    track: int = 0,
    chunk: int = 0,
    *,
    t: int = 5,
    k: int = 6,
    size: int = 16,
    image_format: str = "jpg",
    masks: bool = False,
) -> FaceChunk:
    """Makes a chunk whose content depends only on the arguments, and differs with each of them."""
    seed = hashlib.blake2b(f"{record.key}/{track}/{chunk}".encode(), digest_size=4).digest()
    random = np.random.default_rng(int.from_bytes(seed, "little"))
    points = torch.from_numpy(random.uniform(0, size, (2, t, k, 2)).astype(np.float32))
    images = random.integers(0, 255, (t, size, size, 3), dtype=np.uint8)
    first = 10 * chunk
    return FaceChunk(
        record=record,
        track=track,
        chunk=chunk,
        fps=25.0,
        frame_indices=torch.arange(first, first + t),
        pts=torch.arange(first, first + t, dtype=torch.float64) / 25,
        frame_size=(1280, 720),
        crop_size=size,
        crop_from_frame=torch.tensor([[0.5, 0.0, -100.25], [0.0, 0.5, -33.3]], dtype=torch.float64),
        landmarks=points[0],
        landmarks_raw=points[1],
        valid=torch.from_numpy(random.random((t, k)) < 0.95),
        boxes=torch.from_numpy(random.uniform(0, size, (t, 4)).astype(np.float32)),
        scores=torch.from_numpy(random.random(t).astype(np.float32)),
        images=tuple(encode_image(image, image_format=image_format) for image in images),
        masks=tuple(encode_mask(image[..., 0] // 128 * 255) for image in images) if masks else (),
        image_format=image_format,
        models={"detector": "mtcnn 1", "landmarks": "dlib 68"},
    )


def chunks_of(record: VideoRecord, *, t: int = 5) -> Iterator[FaceChunk]:
    """Mocks the extraction of a video: one track of 1 to 3 chunks, and for every second video another track."""
    count = int(hashlib.blake2b(record.key.encode(), digest_size=1).hexdigest(), 16)
    for track in range(1 + count % 2):
        for chunk in range(1 + count % 3):
            yield chunk_of(record, track, chunk, t=t)


def report_of(record: VideoRecord, chunks: list[FaceChunk] | None = None, reason: str = "", **more) -> VideoReport:
    if reason:
        return VideoReport.of(record, status="skipped", reason=reason, message=f"{record.video}: {reason}", **more)
    chunks = chunks or []
    tracks = len({chunk.track for chunk in chunks})
    counts = {"tracks": tracks, "chunks": len(chunks), "images": sum(map(len, chunks))}
    return VideoReport.of(record, **{"content": f"content of {record.key}", **counts, **more})


def write_shard(
    folder: Path | ShardStore, task: ShardTask, *, skip: dict[str, str] | None = None, extract=chunks_of
) -> ShardReport:
    """Mocks the shard job without errors."""
    with ShardWriter(folder, task.name, [record.key for record in task.records]) as shard:
        for record in task.records[len(shard.kept) :]:
            chunks = []
            for chunk in extract(record):
                shard.write(chunk)
                chunks.append(chunk)
            shard.end_video(report_of(record, chunks, (skip or {}).get(record.key, "")))
    return shard.report
