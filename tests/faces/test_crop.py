"""Crops of a run: one square, no shake, and a map that leads back to the frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mgst_data.core.geometry import apply_transform
from mgst_data.faces.crop import Square, crop_from_frame, cut, keep, reach, reduction, stable_square

boxes = st.tuples(st.floats(-50, 300), st.floats(-50, 300), st.floats(20, 200), st.floats(20, 200)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(st.lists(boxes, min_size=1, max_size=6), st.floats(0, 0.6))
def test_the_square_shows_every_box_with_half_the_margin(rows, margin):
    array = np.array(rows)
    square = stable_square(array, margin)
    middle = (array[:, :2] + array[:, 2:]) / 2
    half = (array[:, 2:] - array[:, :2]).max(axis=1, keepdims=True) * (0.5 + margin / 2)
    assert (middle - half >= np.array([square.x0, square.y0]) - 1).all()
    assert (middle + half <= np.array([square.x0, square.y0]) + square.side + 1).all()


@given(boxes, st.floats(0, 0.6))
def test_one_box_alone_is_within_reach(box, margin):
    array = np.array(box)
    assert reach(array, margin).holds(stable_square(array[None], margin))


def test_jitter_does_not_move_the_crop_of_a_still_scene():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (200, 240, 3), dtype=np.uint8)
    jittered = np.array([60.0, 50.0, 120.0, 130.0]) + rng.normal(0, 1.5, (8, 4))
    square = stable_square(jittered, 0.3)
    crops = [cut(keep(picture, reach(box, 0.3), 1), square, 96) for box in jittered]
    assert all(np.array_equal(crop, crops[0]) for crop in crops)


def test_reduced_pixels_are_aligned_with_the_frame():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (400, 480, 3), dtype=np.uint8)
    square = Square(40, 30, 60)
    crops = [cut(keep(picture, Square(x, y, 300), 3), square, 60) for x, y in ((50, 40), (52, 41), (61, 47))]
    assert all(np.array_equal(crop, crops[0]) for crop in crops)


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("size", [24, 48])
def test_the_map_leads_to_the_pixel(factor, size):
    # A bright block on black, found again where the map says.
    picture = np.zeros((300, 300, 3), np.uint8)
    picture[138:150, 162:174] = 255
    square = Square(120 // factor, 110 // factor, 96 // factor)
    crop = cut(keep(picture, Square(0, 0, 300), factor), square, size).astype(float)[..., 0]
    rows, columns = np.indices(crop.shape)
    found = torch.tensor([[(columns * crop).sum(), (rows * crop).sum()]]) / crop.sum()
    centre = torch.tensor([[167.5, 143.5]], dtype=torch.float64)
    expected = apply_transform(crop_from_frame(square, factor, size), centre)
    torch.testing.assert_close(found, expected, atol=0.1, rtol=0)


def test_beyond_the_border_is_black():
    picture = np.full((50, 60, 3), 200, np.uint8)
    crop = cut(keep(picture, Square(-30, -30, 80), 1), Square(-20, -10, 40), 40)
    assert crop[:10].max() == 0
    assert crop[:, :20].max() == 0
    assert crop[10:, 20:].min() == 200


def test_kept_pixels_are_few_whatever_the_resolution():
    for side in (100.0, 400.0, 1000.0, 3000.0):
        box = np.array([0.0, 0.0, side, side])
        factor = reduction(box, 0.3, 320)
        assert reach(box, 0.3).side / factor < 2000
        assert side * 1.6 / factor >= min(side * 1.6, 320)
