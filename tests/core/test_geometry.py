"""Geometry: flips undo themselves, transforms invert, overlaps are what they should be."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mgst_data.core.geometry import (
    FLIPS,
    apply_transform,
    box_around,
    box_centre,
    box_size,
    enlarge,
    eye_distance,
    flip_landmarks,
    invert_transform,
    iou,
    paired_iou,
    similarity_transform,
    square,
)


@pytest.mark.parametrize("k", FLIPS)
def test_flipping_twice_is_identity(k, generator):
    points = torch.rand(3, k, 2, generator=generator) * 100
    torch.testing.assert_close(flip_landmarks(flip_landmarks(points, 100), 100), points)


@pytest.mark.parametrize("k", FLIPS)
def test_flip_tables_are_permutations_of_their_own_inverse(k):
    table = FLIPS[k]
    assert sorted(table) == list(range(k))
    assert [table[i] for i in table] == list(range(k))


def test_a_flipped_point_lies_on_its_flipped_pixel():
    frame = torch.zeros(1, 10, 20)
    frame[0, 4, 3] = 1
    points = torch.zeros(5, 2)
    points[0] = torch.tensor([3.0, 4.0])
    x, y = flip_landmarks(points, 20)[1].long().tolist()  # the left eye becomes the right one
    assert frame.flip(-1)[0, y, x] == 1


def test_an_unknown_number_of_landmarks_is_an_error():
    with pytest.raises(ValueError, match="7 landmarks; known: 5, 68, 81"):
        flip_landmarks(torch.zeros(7, 2), 10)
    with pytest.raises(ValueError, match="7 landmarks"):
        eye_distance(torch.zeros(7, 2))


@given(st.floats(-3, 3), st.floats(0.2, 5), st.floats(-90, 90), st.floats(-90, 90))
@settings(deadline=None)
def test_a_similarity_is_recovered_and_inverted(angle, scale, dx, dy):
    points = torch.tensor([[0.0, 0.0], [10.0, 1.0], [4.0, 8.0], [-3.0, 5.0]], dtype=torch.float64)
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    matrix = torch.tensor([[c, -s, dx], [s, c, dy]], dtype=torch.float64)
    moved = apply_transform(matrix, points)
    torch.testing.assert_close(similarity_transform(points, moved), matrix, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(apply_transform(invert_transform(matrix), moved), points, atol=1e-6, rtol=1e-6)


def test_transforms_work_in_batches(generator):
    points = torch.rand(4, 6, 2, generator=generator, dtype=torch.float64)
    matrix = torch.rand(4, 2, 3, generator=generator, dtype=torch.float64)
    together = apply_transform(matrix, points)
    alone = torch.stack([apply_transform(m, p) for m, p in zip(matrix, points, strict=True)])
    torch.testing.assert_close(together, alone)


def test_overlap_of_known_boxes():
    a = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    b = torch.tensor([[0.0, 0.0, 10.0, 10.0], [5.0, 0.0, 15.0, 10.0], [20.0, 20.0, 30.0, 30.0], [4.0, 4.0, 4.0, 4.0]])
    torch.testing.assert_close(iou(a, b), torch.tensor([[1.0, 1 / 3, 0.0, 0.0]]))
    torch.testing.assert_close(paired_iou(b, b), torch.tensor([1.0, 1.0, 1.0, 0.0]))


def test_boxes_keep_their_centre():
    box = torch.tensor([[2.0, 4.0, 12.0, 8.0]])
    for changed in (square(box), enlarge(box, 0.3), box_around(box_centre(box), box_size(box))):
        torch.testing.assert_close(box_centre(changed), box_centre(box))
    torch.testing.assert_close(box_size(square(box)), torch.tensor([[10.0, 10.0]]))
    torch.testing.assert_close(box_size(enlarge(box, 0.3)), torch.tensor([[16.0, 6.4]]))
