"""Measures the difference to detection on every frame: missed faces, boxes, track changes and landmarks."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from extraction.clips import Clips, record
from extraction.report import Figure, Section, in_parallel
from mgst_data.core import Detections, NoFaceError
from mgst_data.core.geometry import apply_transform, box_size, eye_distance, invert_transform, iou
from mgst_data.extract import ExtractConfig, Extractor
from mgst_data.faces.cuts import CutFinder
from mgst_data.faces.detect import FaceDetector, MTCNNDetector
from mgst_data.faces.track import Tracker

FRAMES = 150
# Settings of the reference. Its detector is the one of this project at full resolution; a test checks that it is equal
# to that of facenet-pytorch.
MIN_FACE, MIN_SCORE, MIN_RUN = 40, 0.9, 5
# Every AGAIN-th frame is detected a second time, with a slightly different image pyramid. The agreement of the two
# detections is an upper limit for the agreement of any tracker.
AGAIN, OTHER_MIN_FACE = 8, 36
# Minimum overlap (IoU) of reference boxes of one face on neighbouring frames, of boxes of the same face on a frame, and
# of a good box.
LINK, SAME, GOOD = 0.4, 0.3, 0.8
# Maximum number of pixels that are detected at once, to limit the memory.
PIXELS = 3_000_000


@dataclass(frozen=True, slots=True)
class Faces:
    """Faces as flat columns, in pixels of the frame. ``id`` is the number of the track; -1 without a track."""

    frame: Int[Tensor, " n"]
    id: Int[Tensor, " n"]
    boxes: Float[Tensor, "n 4"]
    landmarks: Float[Tensor, "n k 2"]

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True, slots=True)
class Views:
    """The faces of one clip: of the reference, and of the second detection.

    ``cuts`` are the frames that begin a scene.
    """

    reference: Faces
    again: Faces
    cuts: set[int]


def run(clips: Clips, *, quick: bool) -> Section:
    """Measures all clips with faces, on all cores."""
    paths = clips.everything()
    if quick:
        paths = [clips.real("lp_d12.mp4"), clips.real("intel_eat.mkv")]
    rows = in_parallel(measure, [clips.trimmed(path, 48 if quick else FRAMES) for path in paths])
    errors = {name: torch.cat([found.pop(name) for found in rows]) for name in ("landmarks_raw", "landmarks_smooth")}
    rows = [row for row in rows if row["faces"]]
    total = {name: sum(row[name] for row in rows) for name in ("frames", "faces", "in_track", "in_chunk", "switches")}
    for share, count in (("iou_good", "in_track"), ("iou_good_itself", "seen_again")):
        total[count] = sum(row[count] for row in rows)
        total[share] = sum(row[share] * row[count] for row in rows) / max(1, total[count])
    raw, smooth = (errors[name] for name in errors)
    figures = (
        Figure("faces in a track", 100 * total["in_track"] / total["faces"], "%", at_least=99.5),
        Figure("faces in a chunk", 100 * total["in_chunk"] / total["faces"], "%"),
        Figure(f"IoU above {GOOD}", 100 * total["iou_good"], "%", at_least=99.0),
        Figure(f"IoU above {GOOD}, second detection / reference", 100 * total["iou_good_itself"], "%"),
        Figure("identity switches", total["switches"], "", at_most=0),
        Figure("landmark difference, median", quantile(raw, 0.5), "% of eye distance", at_most=2.0),
        Figure("landmark difference, 95th percentile", quantile(raw, 0.95), "% of eye distance"),
        Figure("smoothed landmark difference, median", quantile(smooth, 0.5), "% of eye distance"),
        Figure("smoothed landmark difference, 95th percentile", quantile(smooth, 0.95), "% of eye distance"),
    )
    reference = {"detector": "MTCNN on every frame", "min_face": MIN_FACE, "min_score": MIN_SCORE, "min_run": MIN_RUN}
    return Section(figures, {"reference": reference, "total": total, "clips": rows})


def measure(path: Path) -> dict[str, Any]:
    """Measures one clip: counts, and the landmark difference of every face, in % of its eye distance."""
    extractor = Extractor(ExtractConfig())
    row = compare(extractor, look(extractor, path), follow(extractor, path), path)
    print(
        f"{row['clip']:52} {row['in_track']}/{row['faces']} in a track, IoU > {GOOD} {row['iou_good']:.1%}, "
        f"{row['switches']} switches, landmarks {row['landmarks_raw_median']:.2f} %",
        flush=True,
    )
    return row


def compare(extractor: Extractor, views: Views, tracked: Faces, path: Path) -> dict[str, Any]:
    """Compares the tracks and chunks of a clip with detection on every frame."""
    reference = views.reference
    raw, smooth, frames = extract(extractor, path)
    runs = [run for run in link(reference, views.cuts) if len(run) >= MIN_RUN]
    wanted = torch.tensor([face for run in runs for face in run], dtype=torch.long)
    partner, overlap = match(reference, tracked)
    in_chunk, _ = match(reference, raw)
    again, agreement = match(reference, views.again)
    seen, kept, twice = (wanted[rows[wanted] >= 0] for rows in (partner, in_chunk, again))
    row: dict[str, Any] = {
        "clip": f"{path.parent.name}/{path.name}",
        "frames": frames,
        "cuts": len(views.cuts),
        "runs": len(runs),
        "faces": len(wanted),
        "in_track": len(seen),
        "in_chunk": len(kept),
        "seen_again": len(twice),
        "extra": int((match(raw, reference)[0] < 0).sum()),
        "iou_good": share_good(overlap[seen]),
        "iou_good_itself": share_good(agreement[twice]),
        "iou_median": quantile(overlap[seen], 0.5),
        "switches": sum(switches(tracked.id[partner[run][partner[run] >= 0]].tolist()) for run in runs),
        "missed": list(describe_misses(reference, runs, partner)),
        "landmarks_raw": difference(reference, kept, raw, in_chunk),
        "landmarks_smooth": difference(reference, kept, smooth, in_chunk),
    }
    for name in ("landmarks_raw", "landmarks_smooth"):
        row[f"{name}_median"], row[f"{name}_p95"] = (quantile(row[name], q) for q in (0.5, 0.95))
    return row


def look(extractor: Extractor, path: Path) -> Views:
    """Runs the detector of the reference on every frame. The extractor reads the video and finds the landmarks."""
    detector, other = MTCNNDetector(min_face=MIN_FACE), MTCNNDetector(min_face=OTHER_MIN_FACE)
    finder = CutFinder()
    reference, again = [], []
    cuts: set[int] = set()
    for batch in extractor.reader.chunks(str(path), 32):
        cuts.update(batch.index[finder(batch.frames)].tolist())
        found = detect_all(detector, batch.frames)
        landmarks = extractor.landmarks(batch.frames, found)
        reference.append(Faces(batch.index[found.frame], torch.full((len(found),), -1), found.boxes, landmarks))
        found = detect_all(other, batch.frames[::AGAIN])
        index = batch.index[::AGAIN][found.frame]
        again.append(Faces(index, torch.full((len(found),), -1), found.boxes, found.points))
    return Views(join(reference), join(again), cuts - {0})


def follow(extractor: Extractor, path: Path) -> Faces:
    """Runs the tracker."""
    config = extractor.config
    tracker = Tracker(extractor.detector, extractor.refiner, scale=extractor.scale, min_face=float(config.min_face))
    return join(
        [
            Faces(track.frame, torch.full((len(track),), track.id), track.boxes, track.landmarks)
            for batch in extractor.reader.chunks(str(path), 32)
            for track in tracker(batch)
        ]
    )


def detect_all(detector: FaceDetector, frames: UInt8[Tensor, "n 3 h w"]) -> Detections:
    """Returns the faces of every frame with a high score and at least the minimum size."""
    step = max(1, PIXELS // frames[0, 0].numel())
    parts = []
    for start in range(0, len(frames), step):
        found = detector(frames[start : start + step])
        found = found[(found.scores > MIN_SCORE) & (box_size(found.boxes).prod(dim=1).sqrt() >= MIN_FACE)]
        parts.append(Detections(found.frame + start, found.boxes, found.scores, found.points))
    columns = ([getattr(part, name) for part in parts] for name in ("frame", "boxes", "scores", "points"))
    return Detections(*(torch.cat(column) for column in columns))


def extract(extractor: Extractor, path: Path) -> tuple[Faces, Faces, int]:
    """Returns the faces in chunks with raw and with smoothed landmarks, and the number of frames."""
    extraction = extractor(record(path))
    raw: list[Faces] = []
    smooth: list[Faces] = []
    try:
        for chunk in extraction:
            to_frame = invert_transform(chunk.crop_from_frame)
            corners = apply_transform(to_frame, chunk.boxes.double().reshape(-1, 2, 2))
            about = (chunk.frame_indices, torch.full((len(chunk),), chunk.track), corners.reshape(-1, 4).float())
            for parts, landmarks in ((raw, chunk.landmarks_raw), (smooth, chunk.landmarks)):
                parts.append(Faces(*about, apply_transform(to_frame, landmarks.double()).float()))
    except NoFaceError:
        pass  # a video without chunks counts as missed faces
    return join(raw), join(smooth), extraction.frames


def link(faces: Faces, cuts: set[int]) -> list[list[int]]:
    """Links faces on consecutive frames of a scene to runs of one face, as rows of ``faces``."""
    runs: list[list[int]] = []
    going: list[list[int]] = []
    by_frame = rows_by_frame(faces)
    for frame in range(max(by_frame, default=-1) + 1):
        here = by_frame.get(frame, [])
        if frame in cuts:
            going = []
        last = [run[-1] for run in going]
        pairs = dict(pair(iou(faces.boxes[last], faces.boxes[here]), LINK))
        for i, j in pairs.items():
            going[i].append(here[j])
        fresh = [[face] for j, face in enumerate(here) if j not in pairs.values()]
        runs += fresh
        going = [going[i] for i in pairs] + fresh
    return runs


def match(faces: Faces, others: Faces) -> tuple[Int[Tensor, " n"], Float[Tensor, " n"]]:
    """Returns the row of the matching other face on the same frame (-1 without one) and the overlap, for every face."""
    partner, overlap = torch.full((len(faces),), -1), torch.zeros(len(faces))
    theirs = rows_by_frame(others)
    for frame, mine in rows_by_frame(faces).items():
        if frame in theirs:
            overlaps = iou(faces.boxes[mine], others.boxes[theirs[frame]])
            for i, j in pair(overlaps, SAME):
                partner[mine[i]], overlap[mine[i]] = theirs[frame][j], overlaps[i, j]
    return partner, overlap


def pair(overlap: Float[Tensor, "n m"], threshold: float) -> Iterator[tuple[int, int]]:
    """Pairs rows with columns in descending order of their overlap, each at most once."""
    rest = overlap.clone()
    while rest.numel() and float(rest.max()) > threshold:
        i, j = divmod(int(rest.argmax()), rest.shape[1])
        yield i, j
        rest[i], rest[:, j] = -1, -1


def switches(ids: list[int]) -> int:
    """Returns how often the track changes along one face."""
    return sum(a != b for a, b in itertools.pairwise(ids))


def describe_misses(faces: Faces, runs: list[list[int]], partner: Tensor) -> Iterator[dict[str, Any]]:
    """Describes every run with missed faces: its first and last frame, the first missed frames, and the first box."""
    for run in runs:
        missed = [face for face in run if partner[face] < 0]
        if missed:
            yield {
                "run": [int(faces.frame[run[0]]), int(faces.frame[run[-1]])],
                "missed": len(missed),
                "frames": faces.frame[missed][:16].tolist(),
                "box": faces.boxes[missed[0]].round().long().tolist(),
            }


def difference(faces: Faces, rows: Tensor, others: Faces, partner: Tensor) -> Float[Tensor, " n"]:
    """Returns the mean distance of the landmarks, in % of the eye distance."""
    expected = faces.landmarks[rows]
    distance: Tensor = (expected - others.landmarks[partner[rows]]).norm(dim=2).mean(dim=1)
    share: Tensor = 100 * distance / eye_distance(expected).clamp_min(1)
    return share


def share_good(overlap: Float[Tensor, " n"]) -> float:
    """Returns the share of good overlaps; 1 without overlaps, because NaN would spread to the sums."""
    return float((overlap > GOOD).double().mean()) if len(overlap) else 1.0


def quantile(values: Tensor, q: float) -> float:
    """Returns a quantile; NaN without values."""
    return float(values.double().quantile(q)) if len(values) else float("nan")


def rows_by_frame(faces: Faces) -> dict[int, list[int]]:
    """Returns the rows of the faces by frame."""
    rows: dict[int, list[int]] = defaultdict(list)
    for row, frame in enumerate(faces.frame.tolist()):
        rows[frame].append(row)
    return rows


def join(parts: list[Faces]) -> Faces:
    """Joins parts into one."""
    if not parts:
        return Faces(torch.zeros(0).long(), torch.zeros(0).long(), torch.zeros(0, 4), torch.zeros(0, 68, 2))
    columns = ([getattr(part, name) for part in parts] for name in ("frame", "id", "boxes", "landmarks"))
    return Faces(*(torch.cat(column) for column in columns))
