"""Properties of the smoothing of landmarks."""

import pytest
import torch

from mgst_data.faces.landmarks import check_landmarks
from mgst_data.faces.smooth import CONTEXT, smooth_landmarks

SIDE = 200.0


def make_face(generator, k=68):
    return SIDE / 2 + 0.5 * SIDE * (torch.rand(k, 2, generator=generator) - 0.5)


def everything(points):
    return torch.ones(points.shape[:2], dtype=torch.bool)


def roughness(points):
    return (points[2:] - 2 * points[1:-1] + points[:-2]).square().mean().sqrt()


def test_the_jitter_of_a_still_face_is_reduced(generator):
    noisy = make_face(generator) + 0.5 * torch.randn(60, 68, 2, generator=generator)
    smooth = smooth_landmarks(noisy, everything(noisy))
    assert roughness(smooth) < 0.5 * roughness(noisy)


def test_uniform_motion_is_not_changed_also_at_the_ends(generator):
    steps = torch.arange(20.0)[:, None, None]
    moving = make_face(generator) + steps * torch.tensor([3.0, -1.0])
    torch.testing.assert_close(smooth_landmarks(moving, everything(moving)), moving, atol=1e-3, rtol=0)


def test_a_blink_of_two_frames_keeps_its_depth(generator):
    points = make_face(generator).repeat(30, 1, 1)
    points[14:16, 40:44, 1] += 5.0
    smooth = smooth_landmarks(points, everything(points))
    depth = smooth[14:16, 40:44, 1] - points[0, 40:44, 1]
    assert (depth > 0.9 * 5.0).all()
    assert (smooth[:13] - points[:13]).abs().max() < 0.25


def test_reversed_time_gives_the_reversed_result(generator):
    points = make_face(generator) + torch.randn(25, 68, 2, generator=generator).cumsum(dim=0)
    valid = torch.rand(25, 68, generator=generator) > 0.2
    there = smooth_landmarks(points, valid)
    back = smooth_landmarks(points.flip(0), valid.flip(0)).flip(0)
    torch.testing.assert_close(there, back)


@pytest.mark.parametrize("k", [5, 68, 81])
def test_a_part_with_its_context_is_smoothed_as_in_the_whole_track(generator, k):
    points = make_face(generator, k) + torch.randn(70, k, 2, generator=generator)
    points[::9, :3] += 60.0

    def pipeline(piece):
        valid = check_landmarks(piece, int(SIDE), int(SIDE))
        return smooth_landmarks(piece, valid), valid

    whole, whole_valid = pipeline(points)
    assert not whole_valid.all()
    for start, stop in ((0, 16), (16, 32), (32, 39), (39, 70)):
        low = max(0, start - CONTEXT)
        piece, valid = pipeline(points[low : stop + CONTEXT])
        mine = slice(start - low, stop - low)
        assert torch.equal(valid[mine], whole_valid[start:stop])
        assert torch.equal(piece[mine], whole[start:stop])


def test_invalid_points_are_ignored_and_returned_unchanged(generator):
    points = make_face(generator) + torch.randn(20, 68, 2, generator=generator)
    valid = torch.rand(20, 68, generator=generator) > 0.3
    spoiled = torch.where(valid[..., None], points, torch.nan)
    smooth = smooth_landmarks(spoiled, valid)
    assert smooth[valid].isfinite().all()
    assert smooth[~valid].isnan().all()
    torch.testing.assert_close(smooth[valid], smooth_landmarks(points, valid)[valid])


@pytest.mark.parametrize("t", [0, 1, 2, 3])
def test_tracks_shorter_than_the_filter(generator, t):
    points = make_face(generator) + torch.randn(t, 68, 2, generator=generator)
    smooth = smooth_landmarks(points, everything(points))
    assert smooth.shape == points.shape
    assert smooth.isfinite().all()
    if t == 1:
        torch.testing.assert_close(smooth, points)


def test_a_point_without_neighbours_in_time_is_unchanged(generator):
    points = make_face(generator).repeat(9, 1, 1)
    valid = torch.zeros(9, 68, dtype=torch.bool)
    valid[4, 7] = True
    torch.testing.assert_close(smooth_landmarks(points, valid), points)
