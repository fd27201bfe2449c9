"""Tracks faces through a video: detection on key frames, refinement with O-Net between them.

A full detection costs as much as tens of O-Net calls, and a face moves little from frame to frame. Therefore the
detector sees only key frames. Faces of neighbouring key frames are linked, their boxes are interpolated, and O-Net
refines all interpolated boxes of a batch at once. If a face appears, disappears or moves too far to be linked, O-Net
follows it frame by frame. If O-Net does not confirm a box, the detector runs on that frame.

A batch may end between two key frames. If nothing unexpected happened, only O-Net runs on the last frame, for the known
faces. A new face is then found on the next key frame and followed back to the first frame of the batch of that key
frame. The scheme is our own; it saves most of the cost of a detection on every frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from mgst_data.core.geometry import box_centre, box_size, iou, paired_iou
from mgst_data.core.records import Detections, FaceTrack, FrameBatch
from mgst_data.faces.cuts import CutFinder
from mgst_data.faces.detect import FaceDetector
from mgst_data.faces.refine import BoxRefiner

# Smallest IoU at which a face is the same as a face of the last key frame, if no other face is near.
_LINK = 0.35
# Smallest IoU at which two boxes in one frame show the same face.
_SAME = 0.5
# Smallest IoU of a refined box with its initial box; with less overlap, the box has moved to something else.
_SLIPPED = 0.3
# Smallest IoU of the initial box with the refined box at which one call of O-Net is enough.
_NEAR = 0.8
# Largest distance between the expected and the detected position of a face in the next frame, relative to its size.
_REACH = 0.75
_TOUCH = 1e-6
# Largest number of frames for which a face can be hidden and still continue its track when it reappears in the same
# place.
_GAP = 12
# Number of consecutive key frames after which a face ends if the detector misses it, although O-Net confirms it.
_PATIENCE = 2


@dataclass(slots=True, eq=False)
class _Face:
    """One tracked face: its estimated boxes by position in the batch, and how many key frames in a row missed it."""

    id: int
    boxes: dict[int, Tensor] = field(default_factory=dict)
    missed: int = 0


class Tracker:
    """Computes the face tracks of one video from its batches, in order; a track keeps its id across batches.

    Args:
        detector: Face detector; it sees frames reduced by ``scale``.
        refiner: Box refiner; it sees frames in full resolution.
        scale: Scale of the frames for detection, (0, 1].
        key_interval: Shortest and longest distance between key frames, frames. The distance doubles while the faces
            stay at their expected positions. It returns to the shortest when faces appear, disappear or move
            unexpectedly.
        min_score: Smallest probability of a face, [0, 1]: for detections, and for O-Net to confirm a box.
        start_score: Smallest probability of a face that starts a track, [0, 1].
        min_face: Smallest size of a face, the geometric mean of width and height, pixels. Smaller faces are dropped.

    Attributes:
        too_small: Number of detections dropped so far because of their size.
    """

    def __init__(
        self,
        detector: FaceDetector,
        refiner: BoxRefiner,
        *,
        scale: float = 1.0,
        key_interval: tuple[int, int] = (12, 32),
        min_score: float = 0.7,
        start_score: float = 0.9,
        min_face: float = 0.0,
    ) -> None:
        self.detector, self.refiner, self.scale = detector, refiner, scale
        self.key_interval, self.min_face = key_interval, min_face
        self.min_score, self.start_score = min_score, start_score
        self.too_small = 0
        self._cuts = CutFinder()
        self._interval = key_interval[0]
        self._next_id = 0
        # Number of frames between the last key frame and this batch.
        self._age = 0
        # Faces at the end of the last batch; each has its box at position -1, the frame before this batch.
        self._live: list[_Face] = []
        # Faces that were lost before the last key frame of this batch and may reappear.
        self._gone: list[_Face] = []
        # Detections by position, for the frames of this batch on which the detector ran.
        self._found: dict[int, Detections] = {}

    def __call__(self, batch: FrameBatch) -> list[FaceTrack]:
        """Returns the tracks of a batch, each with consecutive frames; landmarks are empty (k = 0)."""
        cuts = self._cuts(batch.frames)
        keys = self._key_frames(cuts)
        self._found = {}
        self._detect(batch.frames, keys)
        ended: list[_Face] = []
        previous = -1
        for key in keys:
            if cuts[key]:
                ended += self._live + self._gone
                self._live, self._gone = [], []
            ended += self._span(batch.frames, previous, key)
            previous = key
        last = len(batch) - 1
        self._age = last - previous if keys else self._age + len(batch)
        if previous < last:
            ended += self._reach_end(batch.frames, previous, last)
        ended += self._gone
        self._gone = []
        tracks = self._settle(batch, ended + self._live)
        for face in self._live:
            face.boxes = {-1: face.boxes[last]}
        return tracks

    def apart(self, frames: UInt8[Tensor, "n 3 h w"]) -> Detections:
        """Returns the faces of frames that do not follow each other, as tracks of one frame would have them.

        It neither uses nor changes the faces that are tracked.

        Args:
            frames: RGB frames, [0, 255].

        Returns:
            Faces, sorted by frame and then by descending score of the detector.
        """
        self._found = {}
        positions = list(range(len(frames)))
        self._detect(frames, positions)
        found = _concatenate(self._found, positions)
        found = found[found.scores >= self.start_score]
        seen = self._refine(frames, found.frame, found.boxes)
        kept = self._kept(seen, found.boxes) & ~_collides(seen, found.boxes)
        seen = self._mend(frames, seen, found.boxes, kept)
        return seen[(seen.scores >= self.min_score) & ~self._coasting(seen)]

    def _key_frames(self, cuts: Bool[Tensor, " n"]) -> list[int]:
        """Returns the positions of key frames: at regular intervals, and on both sides of each cut."""
        starts = cuts.nonzero().flatten().tolist()
        keys = {*starts, *(start - 1 for start in starts if start > 0)}
        for start, stop in zip([-1 - self._age, *starts], [*starts, len(cuts)], strict=True):
            keys.update(range(max(start + self._interval, 0), stop, self._interval))
        return sorted(keys)

    def _detect(self, frames: UInt8[Tensor, "n 3 h w"], positions: Iterable[int]) -> None:
        """Runs the detector on frames on which it has not run yet."""
        missing = [position for position in positions if position not in self._found]
        if not missing:
            return
        found = self.detector(reduce_frames(frames, missing, self.scale))
        found = Detections(found.frame, found.boxes / self.scale, found.scores, found.points / self.scale)
        size = box_size(found.boxes).prod(dim=1).sqrt()
        sure, large = found.scores >= self.min_score, size >= self.min_face
        self.too_small += int((sure & ~large).sum())
        found = found[sure & large]
        for i, position in enumerate(missing):
            self._found[position] = found[found.frame == i]

    def _reach_end(self, frames: Tensor, start: int, last: int) -> list[_Face]:
        """Continues live faces to the last frame of the batch; it becomes a key frame only if O-Net is not enough."""
        if self._live and self._interval > self.key_interval[0]:
            before = _stack(face.boxes[start] for face in self._live)
            seen = self._refine(frames, torch.full((len(before),), last), before)
            surely = _sure_pairs(iou(before, seen.boxes), _LINK)
            if bool(self._kept(seen, before).all()) and [(i, i) for i in range(len(before))] == sorted(surely):
                for face, here, there in zip(self._live, before, seen.boxes, strict=True):
                    face.boxes |= _interpolate(start, last, here, there)
                return []
        self._age = 0
        self._detect(frames, [last])
        return self._span(frames, start, last)

    def _span(self, frames: Tensor, start: int, stop: int) -> list[_Face]:
        """Continues live faces from one key frame to the next; returns the faces that have ended."""
        found = self._found[stop]
        ended, self._gone = self._gone, []
        before = _stack(face.boxes[start] for face in self._live)
        pairs = _sure_pairs(iou(before, found.boxes), _LINK)
        for i, j in pairs:
            self._live[i].boxes |= _interpolate(start, stop, before[i], found.boxes[j])
            self._live[i].missed = 0
        lost = [face for i, face in enumerate(self._live) if i not in {i for i, _ in pairs}]
        new = [j for j in range(len(found)) if j not in {j for _, j in pairs}]
        sure = (found.scores >= self.start_score).tolist()
        if not lost and not any(sure[j] for j in new):
            return ended
        self._interval = self.key_interval[0]
        self._follow(frames, lost, range(start + 1, stop + 1))
        arrived = [face for face in lost if stop in face.boxes]
        overlap = iou(_stack(face.boxes[stop] for face in arrived), found.boxes[new])
        matched = {i: new[j] for i, j in _pairs(overlap, _SAME)}
        for i, face in enumerate(arrived):
            face.missed = 0 if i in matched else face.missed + 1
        fresh = []
        for j in new:
            if sure[j] and j not in matched.values():
                fresh.append(_Face(self._next_id, {stop: found.boxes[j]}))
                self._next_id += 1
        gone = [face for face in lost if stop not in face.boxes or face.missed >= _PATIENCE]
        self._follow(frames, fresh, range(stop - 1, start, -1))
        missing = ended + gone
        self._live = [face for face in self._live if face not in gone] + _rejoin(fresh, missing)
        self._gone = [face for face in gone if face in missing]
        return [face for face in ended if face in missing]

    def _follow(self, frames: Tensor, faces: list[_Face], positions: range) -> None:
        """Follows faces frame by frame, from box to box, until O-Net and the detector no longer find them."""
        going = faces
        for position in positions:
            if not going:
                return
            origin = _stack(_expected(face.boxes, position, positions.step) for face in going)
            seen = self.refiner(frames, torch.full((len(going),), position), origin)
            boxes, stays = seen.boxes, self._kept(seen, origin)
            if not bool(stays.all()):
                self._detect(frames, [position])
                boxes, stays = _nearest(boxes, stays, origin, self._found[position].boxes)
            others = _stack(face.boxes[position] for face in self._live if position in face.boxes and face not in going)
            stays = stays & (iou(boxes, others) < _SAME).all(dim=1)
            going = [face for face, stay in zip(going, stays.tolist(), strict=True) if stay]
            for face, box in zip(going, boxes[stays], strict=True):
                face.boxes[position] = box

    def _settle(self, batch: FrameBatch, faces: list[_Face]) -> list[FaceTrack]:
        """Refines every box of the batch at once, repairs the boxes that O-Net does not confirm, and returns tracks."""
        rows = [
            (face, position, box) for face in faces for position, box in sorted(face.boxes.items()) if position >= 0
        ]
        if not rows:
            return []
        owner = torch.tensor([face.id for face, _, _ in rows])
        position = torch.tensor([position for _, position, _ in rows])
        guess = _stack(box for _, _, box in rows)
        seen = self._refine(batch.frames, position, guess)
        kept = self._kept(seen, guess) & ~_collides(seen, guess)
        calm = bool((kept & (paired_iou(seen.boxes, guess) > _SAME)).all())
        longest = self.key_interval[1]
        self._interval = min(2 * self._interval, longest) if calm else self.key_interval[0]
        seen = self._mend(batch.frames, seen, guess, kept)
        for (face, where, _), box in zip(rows, seen.boxes, strict=True):
            face.boxes[where] = box
        # A track that has lost its face and lies on the face of another track would take over that face.
        coasting = self._coasting(seen) & (position == len(batch) - 1)
        self._live = [face for face in self._live if face.id not in owner[coasting].tolist()]
        tracks = []
        for face in sorted(faces, key=lambda face: face.id):
            mine = seen[owner == face.id]
            if face not in self._live or -1 not in face.boxes:
                mine = mine[self._confirmed_span(mine, begins=-1 not in face.boxes, ends=face not in self._live)]
            if len(mine):
                index = batch.index[mine.frame]
                tracks.append(FaceTrack(face.id, index, mine.boxes, mine.scores, mine.points, mine.points[:, :0]))
        return tracks

    def _coasting(self, seen: Detections) -> Bool[Tensor, " n"]:
        """Marks boxes without a confirmed face that lie on the face of another track."""
        sure = seen.scores >= self.min_score
        same = (iou(seen.boxes, seen.boxes) > _SAME) & (seen.frame[:, None] == seen.frame[None, :])
        return ~sure & (same & sure[None, :]).any(dim=1)

    def _refine(self, frames: Tensor, position: Tensor, guess: Tensor) -> Detections:
        """Refines all boxes, and refines the boxes that moved far a second time."""
        first = self.refiner(frames, position, guess)
        far = (self._kept(first, guess) & (paired_iou(first.boxes, guess) < _NEAR)).nonzero().flatten()
        second = self.refiner(frames, position[far], first.boxes[far])
        return Detections(
            position,
            first.boxes.index_copy(0, far, second.boxes),
            first.scores.index_copy(0, far, second.scores),
            first.points.index_copy(0, far, second.points),
        )

    def _kept(self, seen: Detections, guess: Tensor) -> Bool[Tensor, " n"]:
        return (seen.scores >= self.min_score) & (paired_iou(seen.boxes, guess) > _SLIPPED)

    def _mend(self, frames: Tensor, seen: Detections, guess: Tensor, kept: Tensor) -> Detections:
        """Runs the detector where O-Net failed; a box without a detection keeps its initial position, with score 0."""
        if bool(kept.all()):
            return seen
        boxes = torch.where(kept[:, None], seen.boxes, guess)
        scores, points = seen.scores * kept, seen.points.clone()
        failed = (~kept).nonzero().flatten()
        positions = torch.unique(seen.frame[failed]).tolist()
        self._detect(frames, positions)
        found = _concatenate(self._found, positions)
        taken = (iou(found.boxes, boxes) > _SAME) & (found.frame[:, None] == seen.frame) & kept
        found = found[~taken.any(dim=1)]
        nearness = _nearness(guess[failed], found.boxes) * (seen.frame[failed][:, None] == found.frame)
        for i, j in _pairs(nearness, _TOUCH):
            row = failed[i]
            boxes[row], scores[row], points[row] = found.boxes[j], found.scores[j], found.points[j]
        return Detections(seen.frame, boxes, scores, points)

    def _confirmed_span(self, seen: Detections, *, begins: bool, ends: bool) -> slice:
        """Returns the frames of a track without unconfirmed frames at its beginning or end."""
        confirmed = (seen.scores >= self.min_score).nonzero().flatten()
        if len(confirmed) == 0:
            return slice(0, 0)
        first = int(confirmed[0]) if begins else 0
        return slice(first, int(confirmed[-1]) + 1 if ends else len(seen))


def reduce_frames(frames: UInt8[Tensor, "n 3 h w"], positions: list[int], scale: float) -> UInt8[Tensor, "m 3 h2 w2"]:
    """Selects frames and reduces them by averaging.

    Args:
        frames: RGB frames, [0, 255].
        positions: Indices of the frames to select.
        scale: Scale of the result, (0, 1]; 1 does not change the frames.
    """
    if scale == 1.0:
        return frames[positions]
    pictures = frames.permute(0, 2, 3, 1).numpy()
    size = (max(1, round(frames.shape[3] * scale)), max(1, round(frames.shape[2] * scale)))
    small = [cv2.resize(pictures[i], size, interpolation=cv2.INTER_AREA) for i in positions]
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2)


def _stack(boxes: Iterable[Tensor]) -> Float[Tensor, "n 4"]:
    rows = list(boxes)
    return torch.stack(rows) if rows else torch.zeros(0, 4)


def _concatenate(found: dict[int, Detections], positions: list[int]) -> Detections:
    """Joins the detections of several frames; ``frame`` of the result is the position in the batch."""
    parts = [found[position] for position in positions]
    return Detections(
        torch.tensor(
            [position for position, part in zip(positions, parts, strict=True) for _ in range(len(part))]
        ).long(),
        torch.cat([part.boxes for part in parts]),
        torch.cat([part.scores for part in parts]),
        torch.cat([part.points for part in parts]),
    )


def _expected(boxes: dict[int, Tensor], position: int, step: int) -> Tensor:
    """Returns the next box of a face if it continues its motion between the last two frames."""
    last, before = boxes[position - step], boxes.get(position - 2 * step)
    return last if before is None else 2 * last - before


def _nearest(boxes: Tensor, stays: Tensor, origin: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
    """Moves lost boxes to the nearest detection within ``_REACH`` that belongs to no other box."""
    free = found[~(iou(found, boxes[stays]) > _SAME).any(dim=1)]
    nearness = _nearness(origin, free) * ~stays[:, None]
    boxes, stays = boxes.clone(), stays.clone()
    for i, j in _pairs(nearness, _TOUCH):
        boxes[i], stays[i] = free[j], True
    return boxes, stays


def _nearness(origin: Float[Tensor, "n 4"], found: Float[Tensor, "m 4"]) -> Float[Tensor, "n m"]:
    """Returns 1 for boxes with the same centre, decreasing to 0 at a distance of ``_REACH`` sizes of the first box."""
    size = box_size(origin).prod(dim=1).sqrt().clamp_min(1)
    distance = (box_centre(origin)[:, None] - box_centre(found)[None]).norm(dim=2) / size[:, None]
    nearness: Tensor = (1 - distance / _REACH).clamp_min(0)
    return nearness


def _interpolate(start: int, stop: int, first: Tensor, last: Tensor) -> dict[int, Tensor]:
    return {at: torch.lerp(first, last, (at - start) / (stop - start)) for at in range(start + 1, stop + 1)}


def _pairs(overlap: Float[Tensor, "n m"], threshold: float) -> list[tuple[int, int]]:
    """Returns pairs of rows and columns, chosen greedily by the largest overlap."""
    rest, pairs = overlap.clone(), []
    while rest.numel() and float(rest.max()) >= threshold:
        i, j = divmod(int(rest.argmax()), rest.shape[1])
        pairs.append((i, j))
        rest[i], rest[:, j] = -1, -1
    return pairs


def _sure_pairs(overlap: Float[Tensor, "n m"], threshold: float) -> list[tuple[int, int]]:
    """Returns the unambiguous pairs: no other entry of their row or column has more than half of their overlap."""
    sure = []
    for i, j in _pairs(overlap, threshold):
        rivals = (overlap[i] > overlap[i, j] / 2).sum() + (overlap[:, j] > overlap[i, j] / 2).sum()
        if int(rivals) == 2:
            sure.append((i, j))
    return sure


def _collides(seen: Detections, guess: Tensor) -> Bool[Tensor, " n"]:
    """Marks boxes that moved to another face: of two boxes on one face, the one that moved further is marked."""
    n = len(seen)
    same = (iou(seen.boxes, seen.boxes) > _SAME) & (seen.frame[:, None] == seen.frame[None, :])
    same &= ~torch.eye(n, dtype=torch.bool)
    moved = 1 - paired_iou(seen.boxes, guess)
    order: Int[Tensor, " n"] = torch.argsort(torch.argsort(moved, stable=True), stable=True)
    return (same & (order[:, None] > order[None, :])).any(dim=1)


def _rejoin(fresh: list[_Face], gone: list[_Face]) -> list[_Face]:
    """Joins new faces with faces that disappeared there shortly before, and removes these from ``gone``."""
    joined = []
    for face in fresh:
        first = min(face.boxes)
        for other in gone:
            last = max(other.boxes)
            if first - last <= _GAP and float(paired_iou(face.boxes[first], other.boxes[last])) > _LINK:
                if last + 1 < first:
                    other.boxes |= _interpolate(last, first, other.boxes[last], face.boxes[first])
                other.boxes |= {at: box for at, box in face.boxes.items() if at > last}
                other.missed = 0
                gone.remove(other)
                joined.append(other)
                break
        else:
            joined.append(face)
    return joined
