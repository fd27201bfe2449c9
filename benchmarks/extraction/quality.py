"""What is lost against detection on every frame: faces, their boxes, their identity, their landmarks."""

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
from mgst_data.faces.detect import MTCNNDetector
from mgst_data.faces.track import Tracker

FRAMES = 150
# Of the reference. The detector is this project's at full resolution, which a test holds equal to facenet-pytorch's.
MIN_FACE, MIN_SCORE, MIN_RUN = 40, 0.9, 5
# On every so many frames the detector looks again, through a slightly different pyramid of sizes: where it does not
# agree with itself, nobody can agree with it.
AGAIN, OTHER_MIN_FACE = 8, 36
# Overlap (IoU) that makes two reference boxes on neighbouring frames one face, and two boxes on a frame the same.
LINK, SAME, GOOD = 0.4, 0.3, 0.8
# Detected at once at full resolution, to bound the memory.
PIXELS = 3_000_000


@dataclass(frozen=True, slots=True)
class Faces:
    """Faces as flat columns, pixels of the frame; ``id`` is the track, -1 where there is none."""

    frame: Int[Tensor, " n"]
    id: Int[Tensor, " n"]
    boxes: Float[Tensor, "n 4"]
    landmarks: Float[Tensor, "n k 2"]

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True, slots=True)
class Views:
    """One clip as the detector sees every frame, as it sees some of them again, and as the tracker sees it.

    ``cuts`` are the frames that begin a scene.
    """

    reference: Faces
    again: Faces
    tracked: Faces
    cuts: set[int]


def run(clips: Clips, *, quick: bool) -> Section:
    """All clips that show a face, spread over all cores."""
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
        Figure(f"IoU above {GOOD}, the detector against itself", 100 * total["iou_good_itself"], "%"),
        Figure("identity switches", total["switches"], "", at_most=0),
        Figure("landmark difference, median", quantile(raw, 0.5), "% of eye distance", at_most=2.0),
        Figure("landmark difference, 95th percentile", quantile(raw, 0.95), "% of eye distance"),
        Figure("smoothed landmark difference, median", quantile(smooth, 0.5), "% of eye distance"),
        Figure("smoothed landmark difference, 95th percentile", quantile(smooth, 0.95), "% of eye distance"),
    )
    reference = {"detector": "MTCNN on every frame", "min_face": MIN_FACE, "min_score": MIN_SCORE, "min_run": MIN_RUN}
    return Section(figures, {"reference": reference, "total": total, "clips": rows})


def measure(path: Path) -> dict[str, Any]:
    """One clip: counts, and the landmark errors of every face, in per cent of the distance of its eyes."""
    extractor = Extractor(ExtractConfig())
    views = follow(extractor, path)
    reference, tracked = views.reference, views.tracked
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
    print(
        f"{row['clip']:52} {row['in_track']}/{row['faces']} in a track, IoU > {GOOD} {row['iou_good']:.1%}, "
        f"{row['switches']} switches, landmarks {row['landmarks_raw_median']:.2f} %",
        flush=True,
    )
    return row


def follow(extractor: Extractor, path: Path) -> Views:
    """Detects on every frame, and tracks."""
    config = extractor.config
    detector, other = MTCNNDetector(min_face=MIN_FACE), MTCNNDetector(min_face=OTHER_MIN_FACE)
    tracker = Tracker(extractor.detector, extractor.refiner, scale=extractor.scale, min_face=float(config.min_face))
    finder = CutFinder()
    reference, again, tracked = [], [], []
    cuts: set[int] = set()
    for batch in extractor.reader.chunks(str(path), 32):
        cuts.update(batch.index[finder(batch.frames)].tolist())
        found = detect_all(detector, batch.frames)
        landmarks = extractor.landmarks(batch.frames, found)
        reference.append(Faces(batch.index[found.frame], torch.full((len(found),), -1), found.boxes, landmarks))
        found = detect_all(other, batch.frames[::AGAIN])
        index = batch.index[::AGAIN][found.frame]
        again.append(Faces(index, torch.full((len(found),), -1), found.boxes, found.points))
        tracked += [
            Faces(track.frame, torch.full((len(track),), track.id), track.boxes, track.landmarks)
            for track in tracker(batch)
        ]
    return Views(join(reference), join(again), join(tracked), cuts - {0})


def detect_all(detector: MTCNNDetector, frames: UInt8[Tensor, "n 3 h w"]) -> Detections:
    """The sure and large faces of every frame."""
    step = max(1, PIXELS // frames[0, 0].numel())
    parts = []
    for start in range(0, len(frames), step):
        found = detector(frames[start : start + step])
        found = found[(found.scores > MIN_SCORE) & (box_size(found.boxes).prod(dim=1).sqrt() >= MIN_FACE)]
        parts.append(Detections(found.frame + start, found.boxes, found.scores, found.points))
    columns = ([getattr(part, name) for part in parts] for name in ("frame", "boxes", "scores", "points"))
    return Detections(*(torch.cat(column) for column in columns))


def extract(extractor: Extractor, path: Path) -> tuple[Faces, Faces, int]:
    """The faces that come out in chunks, with raw and with smoothed landmarks, and the number of frames."""
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
        pass  # nothing came out, which is what is to be counted
    return join(raw), join(smooth), extraction.frames


def link(faces: Faces, cuts: set[int]) -> list[list[int]]:
    """Runs of one face on consecutive frames of a scene, as rows of ``faces``."""
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
    """For every face the row of the other on the same frame and spot, -1 where there is none, and their overlap."""
    partner, overlap = torch.full((len(faces),), -1), torch.zeros(len(faces))
    theirs = rows_by_frame(others)
    for frame, mine in rows_by_frame(faces).items():
        if frame in theirs:
            overlaps = iou(faces.boxes[mine], others.boxes[theirs[frame]])
            for i, j in pair(overlaps, SAME):
                partner[mine[i]], overlap[mine[i]] = theirs[frame][j], overlaps[i, j]
    return partner, overlap


def pair(overlap: Float[Tensor, "n m"], threshold: float) -> Iterator[tuple[int, int]]:
    """Pairs rows with columns, the largest overlap first, each once."""
    rest = overlap.clone()
    while rest.numel() and float(rest.max()) > threshold:
        i, j = divmod(int(rest.argmax()), rest.shape[1])
        yield i, j
        rest[i], rest[:, j] = -1, -1


def switches(ids: list[int]) -> int:
    """How often the track changes along one face."""
    return sum(a != b for a, b in itertools.pairwise(ids))


def describe_misses(faces: Faces, runs: list[list[int]], partner: Tensor) -> Iterator[dict[str, Any]]:
    """Where to look: for every run with misses, its span, and the frames and places missed first."""
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
    """Mean distance of the landmarks, in per cent of the distance of the eyes."""
    expected = faces.landmarks[rows]
    distance: Tensor = (expected - others.landmarks[partner[rows]]).norm(dim=2).mean(dim=1)
    share: Tensor = 100 * distance / eye_distance(expected).clamp_min(1)
    return share


def share_good(overlap: Float[Tensor, " n"]) -> float:
    """NaN would spoil sums; of nothing, all is good."""
    return float((overlap > GOOD).double().mean()) if len(overlap) else 1.0


def quantile(values: Tensor, q: float) -> float:
    """NaN of nothing."""
    return float(values.double().quantile(q)) if len(values) else float("nan")


def rows_by_frame(faces: Faces) -> dict[int, list[int]]:
    """Rows of the faces on every frame that has any."""
    rows: dict[int, list[int]] = defaultdict(list)
    for row, frame in enumerate(faces.frame.tolist()):
        rows[frame].append(row)
    return rows


def join(parts: list[Faces]) -> Faces:
    """All of them in one."""
    if not parts:
        return Faces(torch.zeros(0).long(), torch.zeros(0).long(), torch.zeros(0, 4), torch.zeros(0, 68, 2))
    columns = ([getattr(part, name) for part in parts] for name in ("frame", "id", "boxes", "landmarks"))
    return Faces(*(torch.cat(column) for column in columns))
