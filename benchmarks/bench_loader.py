"""Measures the images per second of the loader as a share of those of JPEG decoding alone.

    python benchmarks/bench_loader.py

Renders shards of noisy portraits, whose JPEGs are as large as those of real crops. Then it decodes the same JPEGs from
memory, and loads them as segments. On one core it measures processor time, with workers wall-clock time on all cores.
"""

from __future__ import annotations

import argparse
import os

# Must be set before torch and OpenCV are imported. Every process uses one thread, so that it uses one core.
os.environ["OMP_NUM_THREADS"] = "1"

import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch
from _common import Timing, compare, write_result

from mgst_data.core import VideoRecord
from mgst_data.core.sampling import RandomWindow
from mgst_data.shards import (
    FaceChunk,
    SegmentDataset,
    SegmentLoader,
    SegmentSampler,
    ShardReader,
    ShardWriter,
    VideoReport,
    decode_image,
    encode_image,
    open_folder,
)

CROP, FRAMES, LANDMARKS = 256, 32, 68


def render(record: VideoRecord, chunk: int, size: int = CROP) -> FaceChunk:
    """Renders a chunk of a moving portrait with film grain."""
    random = np.random.default_rng(int(record.key[1:]) * 1000 + chunk)
    portrait = cv2.resize(
        skimage.data.astronaut()[0:220, 110:330], (size + 32, size + 32), interpolation=cv2.INTER_AREA
    )
    images = []
    for t in range(FRAMES):
        x, y = t % 32, (chunk * 7 + t) % 32
        grain = random.normal(0, 2.5, (size, size, 1))
        images.append(encode_image(np.clip(portrait[y : y + size, x : x + size] + grain, 0, 255).astype(np.uint8)))
    points = torch.from_numpy(random.uniform(0, size, (FRAMES, LANDMARKS, 2)).astype(np.float32))
    return FaceChunk(
        record=record,
        track=0,
        chunk=chunk,
        fps=25.0,
        frame_indices=torch.arange(FRAMES) + FRAMES * chunk,
        pts=(torch.arange(FRAMES) + FRAMES * chunk).double() / 25,
        frame_size=(1280, 720),
        crop_size=size,
        crop_from_frame=torch.eye(2, 3, dtype=torch.float64),
        landmarks=points,
        landmarks_raw=points,
        valid=torch.ones(FRAMES, LANDMARKS, dtype=torch.bool),
        boxes=torch.zeros(FRAMES, 4),
        scores=torch.ones(FRAMES),
        images=tuple(images),
    )


def make_shards(out: Path, videos: int, chunks: int) -> ShardReader:
    """Writes and opens a folder of shards."""
    records = [
        VideoRecord(f"v{i}", "", f"v{i}.mp4", "bench", "train", i % 2, "fake" if i % 2 else "real")
        for i in range(videos)
    ]
    with open_folder(out, {}, records, videos_per_shard=4) as folder:
        for task in folder.missing(records):
            with ShardWriter(out, task.name) as shard:
                for record in task.records:
                    for chunk in range(chunks):
                        shard.write(render(record, chunk))
                    shard.end_video(VideoReport.of(record, tracks=1, chunks=chunks, images=chunks * FRAMES))
    return ShardReader.open(out)


def decode_all(images: list[bytes]) -> None:
    """Only decodes images: the upper limit for the loader."""
    for image in images:
        decode_image(image)


def one_core(reader: ShardReader, repeats: int) -> list[dict[str, object]]:
    """Compares loading with decoding alone in processor time, for several segment lengths and two sizes."""
    images = [bytes(image) for chunk in reader for image in chunk.images[:8]]
    works: list[Callable[[], None]] = [partial(decode_all, images)]
    settings = [(length, size) for size in (None, 224) for length in (4, 8, 16, 32)]
    for length, size in settings:
        dataset = SegmentDataset(reader, RandomWindow(length), size=size)
        works.append(partial(exhaust, SegmentLoader(dataset, SegmentSampler(dataset.reader, 8))))
    raw, *loaded = compare(works, repeats, clock=time.process_time)
    rate = raw.rate(len(images))
    return [
        row(rate, timing, len(reader) * length, frames=length, size=size or CROP)
        for (length, size), timing in zip(settings, loaded, strict=True)
    ]


def many_cores(reader: ShardReader, repeats: int, workers: int, length: int = 16) -> dict[str, object]:
    """Compares a loader with workers to the same number of processes that only decode, in wall-clock time."""
    images = [bytes(image) for chunk in reader for image in chunk.images[:length]]
    dataset = SegmentDataset(reader, RandomWindow(length))
    loader = SegmentLoader(dataset, SegmentSampler(dataset.reader, 8), workers=workers)
    # Forked processes already have the images, so no image is sent.
    shares = [partial(decode_all, images[i::workers]) for i in range(workers)]
    raw, loaded = compare([partial(in_parallel, shares), partial(exhaust, loader)], repeats)
    return row(raw.rate(len(images)), loaded, len(images), workers=workers, frames=length, size=CROP)


def in_parallel(works: list[Callable[[], None]]) -> None:
    """Runs every function in its own forked process."""
    processes = [get_context("fork").Process(target=work) for work in works]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def exhaust(loader: SegmentLoader) -> None:
    """Iterates over one epoch."""
    for _ in loader:
        pass


def row(raw: float, timing: Timing, count: int, **setting: object) -> dict[str, object]:
    """Returns the images per second of decoding alone and of loading."""
    loaded = timing.rate(count)
    print(f"{setting}: decoding {raw:,.0f}/s, loading {loaded:,.0f}/s, {loaded / raw:.0%}")
    return {**setting, "decoded_per_s": raw, "loaded_per_s": loaded, "share": loaded / raw, "timing": timing}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=16, help="number of videos to render")
    parser.add_argument("--chunks", type=int, default=4, help="chunks per video")
    parser.add_argument("--repeats", type=int, default=9, help="measured runs")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        reader = make_shards(Path(folder, "shards"), options.videos, options.chunks)
        figures = {
            "crop": CROP,
            "bytes_per_image": int(reader.size.sum()) // int(reader.frames.sum()),
            "one_core": one_core(reader, options.repeats),
            "many_cores": [many_cores(reader, options.repeats, workers) for workers in (1, 2)],
        }
    print(write_result("loader", figures))


if __name__ == "__main__":
    main()
