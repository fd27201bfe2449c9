"""Tracks have a box on every frame, at the right place, of the same face."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mgst_data.core.geometry import box_centre, iou, paired_iou
from mgst_data.core.records import Detections, FrameBatch
from mgst_data.faces.cuts import CutFinder
from mgst_data.faces.detect import MTCNNDetector
from mgst_data.faces.refine import BoxRefiner
from mgst_data.faces.track import Tracker, reduce_frames


def batch_of(frames, start=0):
    index = torch.arange(start, start + len(frames))
    return FrameBatch(frames, index, index.double() / 25, 25.0)


def track_all(frames, size=32, **options):
    tracker = Tracker(MTCNNDetector(min_face=30.0), BoxRefiner(), **options)
    parts = [tracker(batch_of(frames[i : i + size], i)) for i in range(0, len(frames), size)]
    merged: dict[int, list] = {}
    for part in parts:
        for track in part:
            merged.setdefault(track.id, []).append(track)
    return {
        key: (torch.cat([t.frame for t in tracks]), torch.cat([t.boxes for t in tracks]))
        for key, tracks in merged.items()
    }


def test_a_moving_face_gives_one_track_with_every_frame(moving):
    tracks = track_all(moving)
    assert list(tracks) == [0]
    frame, boxes = tracks[0]
    assert frame.tolist() == list(range(24))
    alone = MTCNNDetector(min_face=30.0)(moving)
    assert (paired_iou(boxes, alone.boxes) > 0.8).all()


def test_batches_may_be_of_any_length(moving):
    whole = track_all(moving)[0][1]
    for size in (5, 24):
        frame, boxes = track_all(moving, size=size)[0]
        assert frame.tolist() == list(range(24))
        assert (paired_iou(boxes, whole) > 0.8).all()


def test_key_frames_of_a_calm_video_do_not_depend_on_its_batches(moving):
    seen: list[int] = []

    def detector(frames):
        seen.append(len(frames))
        return MTCNNDetector(min_face=30.0)(frames)

    frames = moving[:1].expand(96, -1, -1, -1)
    tracker = Tracker(detector, BoxRefiner(), key_interval=(4, 24))
    for start in range(0, 96, 8):
        (track,) = tracker(batch_of(frames[start : start + 8], start))
        assert track.frame.tolist() == list(range(start, start + 8))
    # Distances between key frames double from 4 to 24, so there are fewer key frames than the 12 batches.
    assert sum(seen) <= 8


def test_a_track_that_lost_its_face_does_not_take_over_another(moving):
    tracker = Tracker(MTCNNDetector(min_face=30.0), BoxRefiner())
    held = torch.tensor([[100.0, 100.0, 200.0, 200.0], [110.0, 100.0, 210.0, 200.0], [400.0, 100.0, 500.0, 200.0]])
    seen = Detections(torch.tensor([0, 0, 0]), held, torch.tensor([0.99, 0.0, 0.0]), torch.zeros(3, 5, 2))
    assert tracker._coasting(seen).tolist() == [False, True, False]


def test_the_track_of_a_face_has_only_the_frames_that_show_it(moving):
    frames = moving.clone()
    frames[:7], frames[19:] = 0, 0
    frame, _ = track_all(frames)[0]
    assert frame.tolist() == list(range(7, 19))


def test_a_short_occlusion_does_not_break_a_track(moving):
    frames = moving.clone()
    frames[10:13, :, 50:200, 190:330] = 128
    tracks = track_all(frames)
    assert len(tracks) == 1
    assert len(tracks[0][0]) == 24


def test_two_faces_keep_their_ids_when_they_pass_each_other(portrait):
    # Two copies of the face move towards each other in rows that overlap a little.
    face = torch.from_numpy(portrait[40:200, 160:290].copy()).permute(2, 0, 1)
    frames = torch.full((40, 3, 320, 600), 90, dtype=torch.uint8)
    for i in range(40):
        left, right = 10 + 11 * i, 450 - 11 * i
        frames[i, :, 5:165, left : left + 130] = face
        frames[i, :, 155:315, right : right + 130] = face.flip(-1)
    tracks = track_all(frames)
    assert len(tracks) == 2
    for frame, boxes in tracks.values():
        assert len(frame) == 40
        step = box_centre(boxes)[:, 0].diff()
        assert (step > 0).all() or (step < 0).all()


def test_a_cut_ends_tracks(portrait, moving):
    frames = torch.cat((moving[:10], moving[:10].flip(-1) // 2))
    tracks = track_all(frames)
    assert [frame.tolist() for frame, _ in tracks.values()] == [list(range(10)), list(range(10, 20))]


def test_small_faces_are_counted_but_not_tracked(moving):
    tracker = Tracker(MTCNNDetector(min_face=30.0), BoxRefiner(), min_face=200.0)
    assert tracker(batch_of(moving)) == []
    assert tracker.too_small > 0


def test_the_refiner_moves_shifted_boxes_back_to_the_face(moving):
    truth = MTCNNDetector(min_face=30.0)(moving[:1])
    side = float(truth.boxes[0, 2] - truth.boxes[0, 0])
    shifts = torch.tensor([[0.0, 0.0], [0.2, 0.0], [0.0, -0.2], [-0.15, 0.15]]).repeat(1, 2) * side
    refiner = BoxRefiner()
    seen = refiner(moving[:1], torch.zeros(4, dtype=torch.long), truth.boxes + shifts)
    seen = refiner(moving[:1], torch.zeros(4, dtype=torch.long), seen.boxes)
    assert (seen.scores > 0.9).all()
    assert (iou(seen.boxes, truth.boxes) > 0.8).all()


def test_the_refiner_finds_no_face_outside_the_frame(moving):
    seen = BoxRefiner()(moving[:1], torch.tensor([0]), torch.tensor([[-500.0, -500.0, -400.0, -400.0]]))
    assert isinstance(seen, Detections)
    assert float(seen.scores[0]) < 0.5


@pytest.mark.parametrize("size", [1, 7, 40])
def test_cuts_are_found_and_motion_is_not_a_cut(portrait, size):
    scene = [np.roll(portrait, 4 * i, axis=1) for i in range(20)]
    other = [255 - np.roll(portrait[::-1], 4 * i, axis=1) for i in range(20)]
    frames = torch.from_numpy(np.stack([*scene, *other])).permute(0, 3, 1, 2)
    finder = CutFinder()
    cuts = torch.cat([finder(frames[i : i + size]) for i in range(0, 40, size)])
    assert cuts.nonzero().flatten().tolist() == [0, 20]


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (2, 400), (3, 5)])
@pytest.mark.parametrize("scale", [0.5, 0.05])
def test_a_reduced_frame_has_at_least_one_pixel_per_side(size, scale):
    frames = torch.full((3, 3, *size), 90, dtype=torch.uint8)
    small = reduce_frames(frames, [0, 2], scale)
    assert small.shape == (2, 3, *(max(1, round(side * scale)) for side in size))
    assert (small == 90).all()
