"""Properties of the landmark model and of the check of landmarks, on the portrait that scikit-image includes."""

import importlib.util
import math
import sys

import pytest
import torch
from skimage import data
from torchvision.transforms.v2.functional import rotate

from mgst_data.core.errors import UsageError
from mgst_data.core.geometry import apply_transform, eye_distance, flip_landmarks
from mgst_data.core.records import Detections
from mgst_data.faces import landmarks
from mgst_data.faces.landmarks import LANDMARK_MODELS, DlibLandmarks, check_landmarks, packaged_model

# Detection of MTCNN in the portrait.
POINTS = torch.tensor([[205.0, 101.7], [246.8, 103.7], [224.7, 129.0], [201.7, 139.2], [245.3, 141.9]])


@pytest.fixture(scope="module")
def model():
    return DlibLandmarks()


@pytest.fixture(scope="module")
def portrait():
    return torch.from_numpy(data.astronaut()).permute(2, 0, 1)


def found_at(points, frame=None):
    n = len(points)
    frame = torch.zeros(n, dtype=torch.long) if frame is None else torch.tensor(frame)
    return Detections(frame, torch.zeros(n, 4), torch.ones(n), points)


def in_eye_distances(a, b):
    return (a - b).norm(dim=-1).mean() / eye_distance(b)


def test_landmarks_lie_on_the_face(model, portrait):
    (found,) = model(portrait[None], found_at(POINTS[None]))
    assert found.shape == (68, 2)
    eyes = torch.stack((found[36:42].mean(dim=0), found[42:48].mean(dim=0)))
    apart = torch.cat((eyes, found[[30, 48, 54]])) - POINTS
    assert apart.norm(dim=-1).max() < 0.2 * eye_distance(found)
    # The jaw goes from left to right in the picture, brows are above eyes, and the chin is the lowest point.
    assert (found[:17, 0].diff() > 0).all()
    assert found[17:27, 1].mean() < found[36:48, 1].min()
    assert found[:, 1].argmax() == 8


@pytest.mark.parametrize("degrees", [-90, 40, 180])
def test_a_rotated_face_has_rotated_landmarks(model, portrait, degrees):
    (upright,) = model(portrait[None], found_at(POINTS[None]))
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    middle = (portrait.shape[-1] - 1) / 2
    linear = torch.tensor([[cos, sin], [-sin, cos]])
    turn = torch.cat((linear, middle - linear @ torch.full((2, 1), middle)), dim=1)
    turned = rotate(portrait, degrees)
    (found,) = model(turned[None], found_at(apply_transform(turn, POINTS)[None]))
    assert in_eye_distances(found, apply_transform(turn, upright)) < 0.04


def test_a_mirrored_face_has_mirrored_landmarks(model, portrait):
    (found,) = model(portrait[None], found_at(POINTS[None]))
    (other,) = model(portrait.flip(-1)[None], found_at(flip_landmarks(POINTS, 512)[None]))
    assert in_eye_distances(flip_landmarks(other, 512), found) < 0.04


def test_faces_of_several_frames_are_kept_separate(model, portrait):
    frames = torch.stack((torch.zeros_like(portrait), portrait, portrait.roll(20, dims=-1)))
    points = torch.stack((POINTS, POINTS + torch.tensor([20.0, 0.0])))
    both = model(frames, found_at(points, [1, 2]))
    torch.testing.assert_close(both[1] - both[0], torch.tensor([20.0, 0.0]).expand(68, 2), atol=0.01, rtol=0)
    torch.testing.assert_close(both[:1], model(frames, found_at(points[:1], [1])))


def test_the_memory_layout_of_frames_does_not_matter(model, portrait):
    planar = portrait[None].contiguous()
    interleaved = planar.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(model(planar, found_at(POINTS[None])), model(interleaved, found_at(POINTS[None])))


def test_no_face_gives_no_landmarks(model, portrait):
    assert model(portrait[None], Detections.empty()).shape == (0, 68, 2)


def test_faces_beyond_the_border_do_not_fail(model, portrait):
    shift = torch.tensor([[[-230.0, 0.0]], [[-2000.0, 500.0]], [[600.0, 600.0]]])
    assert model(portrait[None], found_at(POINTS + shift, [0, 0, 0])).isfinite().all()


def test_more_views_agree_with_one(model, portrait):
    (one,) = model(portrait[None], found_at(POINTS[None]))
    (two,) = DlibLandmarks(views=2)(portrait[None], found_at(POINTS[None]))
    assert 0 < in_eye_distances(one, two) < 0.03


def test_any_number_of_landmarks(portrait):
    five = DlibLandmarks(packaged_model().with_name("shape_predictor_5_face_landmarks.dat"))
    assert five.count == 5
    assert "5 points" in five.name
    (found,) = five(portrait[None], found_at(POINTS[None]))
    # The five-point file has the corners of both eyes and the base of the nose.
    assert POINTS[0, 1] - 10 < found[:4, 1].mean() < POINTS[0, 1] + 10


def test_registered_under_its_name():
    assert LANDMARK_MODELS.get("dlib") is DlibLandmarks


def test_the_error_for_a_missing_or_invalid_file_names_the_file(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.dat: no such landmark file"):
        DlibLandmarks(tmp_path / "nowhere.dat")
    broken = tmp_path / "broken.dat"
    broken.write_bytes(packaged_model().read_bytes()[:100_000])
    with pytest.raises(UsageError, match=r"broken\.dat: not a shape predictor"):
        DlibLandmarks(broken)


def test_the_error_for_a_missing_package_names_the_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install face_recognition_models"):
        packaged_model()


def test_the_package_of_the_file_is_not_imported(model):
    assert landmarks._PACKAGE not in sys.modules


@pytest.fixture
def talking(model, portrait, generator):
    """A face that nods, blinks and opens its mouth over 30 frames of 400 x 400 pixels."""
    (face,) = model(portrait[None], found_at(POINTS[None]))
    face = 200 + 2 * (face - face.mean(dim=0))
    points = face + 0.3 * torch.randn(30, 68, 2, generator=generator)
    points[:, :, 0] += 60 * torch.sin(torch.arange(30.0) / 4)[:, None]
    size = eye_distance(face)
    points[10:12, [43, 44, 37, 38], 1] += 0.1 * size
    points[18:22, [56, 57, 58, 65, 66, 67, 7, 8, 9], 1] += 0.25 * size * torch.tensor([0.5, 1, 1, 0.5])[:, None]
    return points


def test_natural_motion_is_valid(talking):
    assert check_landmarks(talking, 400, 400).all()


def test_points_outside_the_picture_are_invalid(talking):
    valid = check_landmarks(talking, 400, 230)
    outside = talking[..., 0] > 229.5
    assert outside.any()
    assert torch.equal(valid, ~outside)


@pytest.mark.parametrize("frame", [0, 7, 29])
def test_a_jump_is_invalid_where_it_happens(talking, frame):
    talking[frame, 48:60] += 0.7 * eye_distance(talking[frame])
    valid = check_landmarks(talking, 400, 400)
    assert not valid[frame, 48:60].any()
    assert valid[torch.arange(30) != frame].all()


@pytest.mark.parametrize("t", [0, 1, 2])
def test_short_tracks_can_be_checked(talking, t):
    assert check_landmarks(talking[:t], 400, 400).shape == (t, 68)
    assert check_landmarks(talking[:t], 400, 400).all()
