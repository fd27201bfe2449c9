"""Compares the face detectors: what the tracker finds with each, and the time of each, alone and in the pipeline."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from extraction import quality
from extraction.clips import GROUPS, Clips
from extraction.pipelines import Ours
from extraction.report import Figure, Section, alone, in_parallel
from mgst_data.extract import ExtractConfig, Extractor
from mgst_data.faces.centerface import CenterFaceDetector
from mgst_data.faces.detect import FaceDetector
from mgst_data.faces.track import reduce_frames

NAMES = ("mtcnn", "centerface")
# Frames of a clip: for what is found, and for the time of the pipeline.
FRAMES, TIMED = 64, 64
# Frames of a clip on which the detectors are timed alone, one in EVERY.
ALONE, EVERY = 5, 16
REPEATS = 3
SIZES = ("512", "720p", "1080p")


def run(clips: Clips, *, quick: bool) -> Section:
    """Measures all clips with faces on all cores, and the time on one core."""
    paths = [clips.real("lp_d12.mp4"), clips.real("intel_eat.mkv")] if quick else clips.everything()
    rows = in_parallel(measure, [clips.trimmed(path, 32 if quick else FRAMES) for path in paths])
    rows = [row for row in rows if any(row[name]["faces"] or row[name]["faces_of_centerface"] for name in NAMES)]
    found = {name: summary([row[name] for row in rows]) for name in NAMES}
    groups = {size: GROUPS[size][-1:] if quick else GROUPS[size] for size in SIZES}
    timed = [
        (size, clips.trimmed(clips.real(name), 48 if quick else TIMED)) for size in groups for name in groups[size]
    ]
    speed = alone(time_all, timed, 1 if quick else REPEATS)
    figures = [
        Figure(f"{name}: {words}", found[name][key], unit)
        for key, words, unit in (
            ("in_track", "faces of MTCNN on every frame in a track", "%"),
            ("in_chunk", "the same, in a chunk", "%"),
            ("centerface_in_track", "faces of CenterFace at full resolution in a track", "%"),
            ("extra", "faces in chunks that MTCNN on every frame does not find", "% of all"),
            ("iou_good", f"IoU above {quality.GOOD}", "%"),
            ("switches", "identity switches", ""),
            ("landmarks", "landmark difference, median", "% of eye distance"),
        )
        for name in NAMES
    ]
    for size in SIZES:
        mine = [row for row in speed if row["size"] == size]
        for what, key in (("detector alone", "detector"), ("whole pipeline", "pipeline")):
            ratio = statistics.median(row["mtcnn"][key] / row["centerface"][key] for row in mine)
            figures.append(Figure(f"{size}: {what}, time with mtcnn / with centerface, one core", ratio, "x"))
    details = {"frames_per_clip": {"found": FRAMES, "timed": TIMED}, "found": found, "clips": rows, "speed": speed}
    return Section(tuple(figures), details)


def measure(path: Path) -> dict[str, Any]:
    """Measures one clip: what the tracker finds with each detector, of the same two references."""
    extractors = {name: Extractor(ExtractConfig(detector=name)) for name in NAMES}
    views = quality.look(extractors["mtcnn"], path)
    centerface = look_with_centerface(extractors["centerface"], path)
    row: dict[str, Any] = {"clip": f"{path.parent.name}/{path.name}"}
    for name, extractor in extractors.items():
        tracked = quality.follow(extractor, path)
        mine = quality.compare(extractor, views, tracked, path)
        partner, _ = quality.match(centerface, tracked)
        row[name] = {key: mine[key] for key in ("frames", "faces", "in_track", "in_chunk", "extra", "switches")}
        row[name] |= {key: mine[key] for key in ("iou_good", "landmarks_raw_median", "missed")}
        row[name] |= {"faces_of_centerface": len(centerface), "centerface_in_track": int((partner >= 0).sum())}
    print(
        f"{row['clip']:48}",
        *(
            f"{name} {mine['in_track']}/{mine['faces']}, {mine['centerface_in_track']}/{mine['faces_of_centerface']}, "
            f"{mine['extra']} extra, {mine['switches']} switches"
            for name, mine in ((name, row[name]) for name in NAMES)
        ),
        sep="  ",
        flush=True,
    )
    return row


def look_with_centerface(extractor: Extractor, path: Path) -> quality.Faces:
    """Runs CenterFace at full resolution on every 8th frame, with the smallest face and score of the reference."""
    detector = CenterFaceDetector(min_face=quality.MIN_FACE * extractor.scale)
    parts = []
    for batch in extractor.reader.chunks(str(path), 32):
        found = quality.detect_all(detector, batch.frames[:: quality.AGAIN])
        index = batch.index[:: quality.AGAIN][found.frame]
        parts.append(quality.Faces(index, torch.full((len(found),), -1), found.boxes, found.points))
    return quality.join(parts)


def summary(rows: list[Mapping[str, Any]]) -> dict[str, float]:
    """Sums up the clips: shares in %, counts, and medians over the clips."""
    total = {
        key: sum(row[key] for row in rows)
        for key in ("faces", "in_track", "in_chunk", "extra", "switches", "faces_of_centerface", "centerface_in_track")
    }
    return {
        "faces": total["faces"],
        "in_track": 100 * total["in_track"] / max(1, total["faces"]),
        "in_chunk": 100 * total["in_chunk"] / max(1, total["faces"]),
        "faces_of_centerface": total["faces_of_centerface"],
        "centerface_in_track": 100 * total["centerface_in_track"] / max(1, total["faces_of_centerface"]),
        "extra": 100 * total["extra"] / max(1, total["extra"] + total["in_chunk"]),
        "iou_good": 100 * sum(row["iou_good"] * row["in_track"] for row in rows) / max(1, total["in_track"]),
        "switches": total["switches"],
        "landmarks": statistics.median(row["landmarks_raw_median"] for row in rows if row["in_chunk"]),
    }


def time_all(clips: list[tuple[str, Path]], repeats: int) -> list[dict[str, Any]]:
    """Times the detectors on the frames that the tracker gives them, and the whole pipeline with each, in turn."""
    pipelines = {name: Ours(name) for name in NAMES}
    for pipeline in pipelines.values():
        pipeline(clips[0][1])
    rows = []
    for size, path in clips:
        some = list(sampled(pipelines["mtcnn"].extractor, path))
        row: dict[str, Any] = {"size": size, "clip": path.name}
        times: dict[tuple[str, str], list[float]] = defaultdict(list)
        frames = 0
        for _ in range(repeats):
            for name, pipeline in pipelines.items():
                times[name, "detector"].append(seconds_of(pipeline.extractor.detector, some))
                start = time.process_time()
                frames, _ = pipeline(path)
                times[name, "pipeline"].append(time.process_time() - start)
        for name in NAMES:
            row[name] = {
                "detector": statistics.median(times[name, "detector"]) / sum(len(batch) for batch in some),
                "pipeline": statistics.median(times[name, "pipeline"]) / frames,
            }
        rows.append(row)
        print(
            f"{size:>6} {path.name:40}",
            *(f"{name} {1000 * row[name]['detector']:.1f} ms, {1 / row[name]['pipeline']:.1f}/s" for name in NAMES),
            sep="  ",
            flush=True,
        )
    return rows


def sampled(extractor: Extractor, path: Path) -> Iterator[Tensor]:
    """Yields some frames of a clip, one by one, reduced as the tracker reduces them."""
    for number, batch in enumerate(extractor.reader.chunks(str(path), EVERY)):
        if number == ALONE:
            return
        yield reduce_frames(batch.frames, [0], extractor.scale)


def seconds_of(detector: FaceDetector, frames: list[Tensor]) -> float:
    """Returns the processor time of a detector for some frames, one by one."""
    start = time.process_time()
    for frame in frames:
        detector(frame)
    return time.process_time() - start
