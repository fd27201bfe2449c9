"""The trees of a file give the landmarks of dlib for any number of faces, and a broken file is an error."""

import random
from pathlib import Path

import cv2
import dlib
import numpy as np
import pytest
import torch
from skimage import data

from mgst_data.faces import trees
from mgst_data.faces.landmarks import packaged_model
from mgst_data.faces.trees import RegressionTrees, decode_numbers

SIDE, CORNER, PATCH = 256, 48, 352


def patch(seed):
    """The portrait, moved a little, in a box of dlib."""
    rng = np.random.default_rng(seed)
    grey = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)
    scale, angle = rng.uniform(2.3, 2.8), rng.uniform(-0.2, 0.2)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([PATCH / 2, PATCH / 2]) + rng.uniform(-15, 15, 2)
    return cv2.warpAffine(grey, np.column_stack((turn, middle - turn @ (224, 118))), (PATCH, PATCH))


def sampler(patches):
    def sample(at):
        x, y = at[..., 0].astype(int), at[..., 1].astype(int)
        inside = (x >= 0) & (x < PATCH) & (y >= 0) & (y < PATCH)
        rows = np.arange(len(patches))[:, None]
        return np.where(inside, np.stack(patches)[rows, y.clip(0, PATCH - 1), x.clip(0, PATCH - 1)], 0).astype(np.uint8)

    return sample


def found_by_dlib(path, patches):
    predictor, box = dlib.shape_predictor(str(path)), dlib.rectangle(CORNER, CORNER, CORNER + SIDE, CORNER + SIDE)
    return torch.tensor([[(point.x, point.y) for point in predictor(patch, box).parts()] for patch in patches])


@pytest.fixture(scope="module")
def packaged():
    return RegressionTrees(packaged_model(), side=SIDE, corner=CORNER)


@pytest.fixture(scope="module")
def patches():
    return [patch(seed) for seed in range(12)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Makes files with other numbers of stages, trees, splits, pixels and landmarks."""

    def train(depth):
        rng = random.Random(depth)
        faces = []
        for _ in range(4):
            parts = [
                dlib.point(60 + 60 * i + rng.randrange(8), 120 + 30 * (i % 2) + rng.randrange(8)) for i in range(3)
            ]
            box = dlib.rectangle(CORNER, CORNER, CORNER + SIDE, CORNER + SIDE)
            faces.append([dlib.full_object_detection(box, parts)])
        options = dlib.shape_predictor_training_options()
        options.tree_depth, options.cascade_depth, options.num_trees_per_cascade_level = depth, 2 + depth, 20
        options.feature_pool_size, options.oversampling_amount, options.num_threads = 30 + depth, 4, 1
        path = tmp_path_factory.mktemp("trained") / "model.dat"
        dlib.train_shape_predictor([patch(seed) for seed in range(4)], faces, options).save(str(path))
        return path

    return train


def test_landmarks_are_those_of_dlib(packaged, patches):
    found, expected = packaged(sampler(patches), len(patches)), found_by_dlib(packaged_model(), patches)
    # Both round the places of pixels. In rare cases they round them differently, and a leaf is another one.
    assert ((found + 0.5).floor() == expected).float().mean() > 0.9
    assert (found - expected).abs().max() < 4


@pytest.mark.parametrize("depth", [1, 2, 3, 7, 8])
def test_files_of_any_form_are_read(trained, patches, depth):
    path = trained(depth)
    model = RegressionTrees(path, side=SIDE, corner=CORNER)
    assert model.count == 3
    found, expected = model(sampler(patches), len(patches)), found_by_dlib(path, patches)
    assert ((found + 0.5).floor() == expected).float().mean() > 0.9
    assert (found - expected).abs().max() < 4


def test_faces_do_not_depend_on_each_other(packaged, patches):
    together = packaged(sampler(patches), len(patches))
    for i in (0, 7):
        assert torch.equal(packaged(sampler(patches[i : i + 1]), 1), together[i : i + 1])
    assert packaged(lambda at: np.empty(at.shape[:2], np.uint8), 0).shape == (0, 68, 2)


def test_larger_boxes_have_larger_landmarks(packaged, patches):
    half = RegressionTrees(packaged_model(), side=SIDE / 2, corner=0)
    found = half(lambda at: sampler(patches)(np.floor(2 * at + CORNER)), len(patches))
    assert (2 * found + CORNER - packaged(sampler(patches), len(patches))).abs().mean() < 1


def encoded(numbers):
    out = bytearray()
    for number in numbers:
        size = max(1, (abs(number).bit_length() + 7) // 8)
        out += bytes([size | (128 if number < 0 else 0)]) + abs(number).to_bytes(size, "little")
    return bytes(out)


@pytest.mark.parametrize(
    "numbers",
    [
        [0, 1, -1, 255, -256, 2**24 - 1, -(2**30)],
        list(np.random.default_rng(0).integers(-(2**24), 2**24, 60_000).tolist()),
        [1] * 50_001,  # chains that begin in the middle of a number never meet the true one
        [0x010101] * 20_001,
    ],
    ids=["sizes", "random", "equal", "misleading"],
)
def test_numbers_are_decoded(numbers):
    code = encoded(numbers)
    found, end = decode_numbers(code, len(code))
    assert (found.tolist(), end) == (numbers, len(code))


def test_decoding_stops_after_the_number_at_the_end():
    code = encoded([5, 70_000, -3])
    found, end = decode_numbers(code, 3)
    assert (found.tolist(), end) == ([5, 70_000], len(code) - 2)


@pytest.mark.parametrize("chunk", [17, 1000, 4096])
def test_numbers_may_lie_across_the_parts_that_are_read(monkeypatch, tmp_path, chunk):
    monkeypatch.setattr(trees, "_CHUNK", chunk)
    numbers = np.random.default_rng(1).integers(-(2**24), 2**24, 3000)
    (tmp_path / "numbers").write_bytes(encoded(numbers.tolist()))
    with (tmp_path / "numbers").open("rb") as file:
        reader = trees._Numbers(file)
        assert reader.peek() == numbers[0]
        assert (np.concatenate([reader.take(1000) for _ in range(3)]) == numbers).all()
        with pytest.raises(ValueError, match="ends early"):
            reader.take(1)


def test_a_broken_file_is_an_error(trained, tmp_path):
    whole, path = trained(3).read_bytes(), tmp_path / "broken.dat"
    for broken in (b"", whole[:-1], whole[: len(whole) // 2], b"\x01\x02" + whole[2:], bytes(5000), b"\xff" * 5000):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"."):
            RegressionTrees(path, side=SIDE, corner=CORNER)


def test_a_flipped_byte_is_an_error_or_a_number(trained, tmp_path):
    whole, path = trained(2).read_bytes(), tmp_path / "flipped.dat"
    rng, errors = np.random.default_rng(2), 0
    for at in rng.integers(0, len(whole), 60).tolist():
        path.write_bytes(whole[:at] + bytes([whole[at] ^ int(rng.integers(1, 256))]) + whole[at + 1 :])
        try:
            assert RegressionTrees(Path(path), side=SIDE, corner=CORNER).count == 3
        except ValueError:
            errors += 1
    assert 0 < errors < 60
