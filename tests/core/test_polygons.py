"""Hull masks: what a polygon fill gives, for batches, without leaving the device."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mgst_data.core.polygons import hull_edges, hull_mask, hull_spans

FINE = 4


def filled(points, size):
    """Coverage of the convex hull by OpenCV, four times finer than the mask."""
    hull = cv2.convexHull(((points.numpy() + 0.5) * FINE - 0.5).astype(np.float32))
    canvas = np.zeros((size * FINE, size * FINE), np.uint8)
    cv2.fillConvexPoly(canvas, np.round(hull * 16).astype(np.int32), 1, shift=4)
    return torch.from_numpy(canvas.reshape(size, FINE, size, FINE).mean(axis=(1, 3)))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([3, 5, 12, 68, 81]))
def test_agrees_with_a_polygon_fill_to_within_a_pixel(seed, k):
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(k, 2, generator=generator) * 70 - 5  # some of them outside
    mask = hull_mask(points, (64, 64))
    truth = filled(points, 64)
    # Grown and shrunk by a pixel, the fill encloses the mask.
    kernel = np.ones((3, 3), np.uint8)
    outer = torch.from_numpy(cv2.dilate((truth > 0).numpy().astype(np.uint8), kernel))
    inner = torch.from_numpy(
        cv2.erode((truth == 1).numpy().astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    )
    assert (mask <= outer).all()
    assert (mask >= inner).all()
    # And its area is right to a part of the pixels on its edge.
    edge = int((outer - inner).sum())
    assert float((mask - truth).abs().sum()) <= 0.12 * edge + 1


def test_exact_for_a_rectangle():
    points = torch.tensor([[1.5, 2.5], [5.5, 2.5], [5.5, 4.5], [1.5, 4.5], [3.0, 3.0]])
    expected = torch.zeros(8, 8)
    expected[3:5, 2:6] = 1
    torch.testing.assert_close(hull_mask(points, (8, 8)), expected)


def test_partly_covered_pixels_have_their_share():
    points = torch.tensor([[1.25, 1.5], [3.5, 1.5], [3.5, 2.5], [1.25, 2.5]])
    assert float(hull_mask(points, (4, 4))[2, 1]) == pytest.approx(0.25)


def test_line_segments_stay_in_the_hull_and_contain_its_edges(generator):
    points = torch.rand(50, 2, generator=generator)
    ends = hull_edges(points)
    pairs = {frozenset((i, j)) for i, j in enumerate(ends.tolist())}
    hull = cv2.convexHull(points.numpy(), returnPoints=False).ravel().tolist()
    assert {frozenset(edge) for edge in zip(hull, hull[1:] + hull[:1], strict=True)} <= pairs


def test_duplicate_and_collinear_points_work():
    corners = torch.tensor([[8.0, 8.0], [24.0, 8.0], [24.0, 24.0], [8.0, 24.0]])
    middles = (corners + corners.roll(1, 0)) / 2
    plain = hull_mask(corners, (32, 32))
    torch.testing.assert_close(hull_mask(torch.cat((corners, corners, middles)), (32, 32)), plain)


def test_a_batch_gives_the_results_of_its_members(generator, device):
    points = (torch.rand(2, 3, 9, 2, generator=generator) * 32).to(device)
    masks = hull_mask(points, (32, 24))
    assert masks.shape == (2, 3, 32, 24)
    torch.testing.assert_close(masks[1, 2], hull_mask(points[1, 2], (32, 24)))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_points_that_are_not_finite_give_an_empty_mask(value):
    assert float(hull_mask(torch.full((68, 2), value), (16, 16)).abs().sum()) == 0


def test_rows_outside_the_hull_are_empty():
    left, right = hull_spans(torch.tensor([[0.0, 2.0], [4.0, 2.0], [2.0, 6.0]]), torch.tensor([1.0, 4.0, 7.0]))
    assert torch.isinf(left[[0, 2]]).all()
    torch.testing.assert_close(torch.stack((left[1], right[1])), torch.tensor([1.0, 3.0]))
