"""Checks of landmarks that a data set ships."""

from __future__ import annotations

import math

import pytest
import torch

from mgst_data.demo.portrait import LANDMARKS
from mgst_data.faces.prepared import disagree, doubts, five_points


@pytest.fixture
def points() -> torch.Tensor:
    """Landmarks of the portrait in a crop of 256 pixels: 68 points."""
    return ((torch.tensor(LANDMARKS, dtype=torch.float32) - torch.tensor([154.0, 48.0])) * 256 / 140)[None]


def turned(points: torch.Tensor, degrees: float) -> torch.Tensor:
    a = math.radians(degrees)
    turn = torch.tensor([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
    return (points - 128) @ turn.mT + 128


@pytest.mark.parametrize(
    ("change", "doubt"),
    [
        (lambda points: points, ""),
        (lambda points: turned(points, 40), ""),
        (lambda points: points * 0.5 + 64, ""),
        (lambda points: turned(points, 120), "not in the shape of a face"),
        (lambda points: points.flip(1), "not in the shape of a face"),
        (lambda points: points * 0.2 + 100, "of an implausible size"),
        (lambda points: points + 100, "outside the picture"),
        (lambda points: points.clone().index_fill_(1, torch.tensor(3), math.inf), "not finite"),
    ],
)
def test_landmarks_must_have_the_place_the_size_and_the_shape_of_a_face(points, change, doubt):
    assert doubts(change(points), 256, 256) == [doubt]


def test_every_frame_is_judged_alone(points):
    assert doubts(torch.cat((points, points + 200, points)), 256, 256) == ["", "outside the picture", ""]
    assert doubts(points[:0], 256, 256) == []


def test_a_point_may_lie_outside(points):
    points[0, 8] += 120
    assert doubts(points, 256, 256) == [""]


def test_models_disagree_if_their_landmarks_are_apart_by_a_part_of_the_face(points):
    both = torch.cat((points, points))
    assert disagree(both, both + torch.tensor([[[2.0, 2.0]], [[12.0, 8.0]]])).tolist() == [False, True]


def test_the_five_points_are_eyes_nose_and_mouth(points):
    eyes, nose, mouth = five_points(points)[0, :2], five_points(points)[0, 2], five_points(points)[0, 3:]
    assert eyes[0, 0] < nose[0] < eyes[1, 0]
    assert eyes[:, 1].max() < nose[1] < mouth[:, 1].min()
