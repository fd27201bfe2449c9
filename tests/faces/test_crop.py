"""Crops of a run: one square, no jitter, and a map to the pixels of the frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mgst_data.core.geometry import apply_transform
from mgst_data.faces.crop import Square, crop_from_frame, cut, keep, reach, reduction, resize, stable_square

boxes = st.tuples(st.floats(-50, 300), st.floats(-50, 300), st.floats(20, 200), st.floats(20, 200)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(st.lists(boxes, min_size=1, max_size=6), st.floats(0, 0.6))
def test_the_square_contains_every_box_with_half_the_margin(rows, margin):
    array = np.array(rows)
    square = stable_square(array, margin)
    middle = (array[:, :2] + array[:, 2:]) / 2
    half = (array[:, 2:] - array[:, :2]).max(axis=1, keepdims=True) * (0.5 + margin / 2)
    assert (middle - half >= np.array([square.x0, square.y0]) - 1).all()
    assert (middle + half <= np.array([square.x0, square.y0]) + square.side + 1).all()


@given(boxes, st.floats(0, 0.6))
def test_the_stored_part_contains_the_crop_of_one_box(box, margin):
    array = np.array(box)
    assert reach(array, margin).holds(stable_square(array[None], margin))


def test_box_jitter_does_not_move_the_crop_of_a_still_scene():
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
def test_the_map_gives_the_position_of_a_pixel(factor, size):
    # A bright block on black must appear at the position given by the map.
    picture = np.zeros((300, 300, 3), np.uint8)
    picture[138:150, 162:174] = 255
    square = Square(120 // factor, 110 // factor, 96 // factor)
    crop = cut(keep(picture, Square(0, 0, 300), factor), square, size).astype(float)[..., 0]
    rows, columns = np.indices(crop.shape)
    found = torch.tensor([[(columns * crop).sum(), (rows * crop).sum()]]) / crop.sum()
    centre = torch.tensor([[167.5, 143.5]], dtype=torch.float64)
    expected = apply_transform(crop_from_frame(square, factor, size), centre)
    torch.testing.assert_close(found, expected, atol=0.1, rtol=0)


def test_pixels_outside_the_frame_are_black():
    picture = np.full((50, 60, 3), 200, np.uint8)
    crop = cut(keep(picture, Square(-30, -30, 80), 1), Square(-20, -10, 40), 40)
    assert crop[:10].max() == 0
    assert crop[:, :20].max() == 0
    assert crop[10:, 20:].min() == 200


def test_the_number_of_stored_pixels_is_limited_for_any_resolution():
    for side in (100.0, 400.0, 1000.0, 3000.0):
        box = np.array([0.0, 0.0, side, side])
        factor = reduction(box, 0.3, 320)
        assert reach(box, 0.3).side / factor < 2000
        assert side * 1.6 / factor >= min(side * 1.6, 320)


def filter_weights(old: int, new: int) -> np.ndarray:
    """Rows of (new, old) weights: a triangle over two output pixels to reduce, Keys' cubic (a = -1/2) to enlarge."""
    centre = (np.arange(new) + 0.5) * old / new
    far = np.abs(np.arange(old) + 0.5 - centre[:, None])
    if new < old:
        weights = np.clip(1 - far * new / old, 0, None)
    else:
        weights = np.where(far < 1, 1.5 * far**3 - 2.5 * far**2 + 1, -0.5 * far**3 + 2.5 * far**2 - 4 * far + 2)
        weights *= far < 2
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("old", "new"), [(40, 17), (48, 12), (40, 39), (24, 40)])
def test_resizing_is_the_exact_antialiased_filter(old, new):
    picture = np.random.default_rng(0).integers(40, 216, (old, old, 3), dtype=np.uint8)
    weights = filter_weights(old, new)
    wanted = np.einsum("yi,xj,ijc->yxc", weights, weights, picture.astype(float)).clip(0, 255)
    assert np.abs(resize(picture, new) - wanted).max() < 2
    assert np.abs(resize(picture[..., 0], new) - wanted[..., 0]).max() < 2


@pytest.mark.parametrize("size", [20, 30, 37])
def test_a_grating_too_fine_for_the_crop_becomes_grey(size):
    grating = np.zeros((96, 96, 3), np.uint8)
    grating[:, ::2] = 255
    inside = resize(grating, size)[2:-2, 2:-2].astype(float)
    assert np.abs(inside - 127.5).max() < 16  # one that aliases has levels from 0 to 255
