"""The checks of layouts and detectors: the built-in ones pass, and every error is reported."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import skimage.data
import torch
from torch import Tensor

from mgst_data.core import Detections
from mgst_data.datasets import Folder, Scan
from mgst_data.testing import check_detector, check_layout


@pytest.fixture
def tree(tmp_path):
    for name in ("real/a.mp4", "real/b.mp4", "fake/Deepfakes/c.mp4"):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "set"


def changed(**changes) -> type[Folder]:
    """A layout with an error in its first record, a fake."""

    class Changed(Folder):
        def scan(self, root):
            first, *others = super().scan(root).records
            return Scan.of((replace(first, **changes), *others))

    return Changed


class ScansInAnotherOrder(Folder):
    def scan(self, root):
        return Scan(tuple(random.sample(super().scan(root).records, 3)))


class RecognisesEverything(Folder):
    def recognises(self, root):
        return True


class GivesAList(Folder):
    def scan(self, root):
        return list(super().scan(root).records)


def test_the_built_in_layout_passes(tree):
    check_layout(Folder(), tree)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (changed(path="/nowhere/c.mp4"), "/nowhere/c.mp4: no such file"),
        (changed(path="fake/Deepfakes/c.mp4"), "path must be absolute or a URL"),
        (changed(mask_path="/nowhere/mask.mp4"), "/nowhere/mask.mp4: no such file"),
        (changed(video="/set/c.mp4"), "video must be relative to the root"),
        (changed(method="real"), "label 1 and method 'real'"),
        (changed(label=0), "label 0 and method 'Deepfakes'"),
        (changed(label=0, method="real", source_key="x/1"), "a real video must have no source_key"),
        (RecognisesEverything, "recognises an empty folder"),
        (GivesAList, "scan returns a list, not a Scan"),
    ],
)
def test_every_error_of_a_layout_is_reported(tree, layout, message):
    with pytest.raises(AssertionError, match=message):
        check_layout(layout(), tree)


def test_a_different_order_in_every_scan_is_reported(tree, monkeypatch):
    orders = iter(([0, 1, 2], [2, 1, 0]))
    monkeypatch.setattr(random, "sample", lambda records, _: [records[i] for i in next(orders)])
    with pytest.raises(AssertionError, match="second scan finds other records"):
        check_layout(ScansInAnotherOrder(), tree)


def test_a_folder_that_is_not_recognised_is_reported(tmp_path):
    with pytest.raises(AssertionError, match="does not recognise"):
        check_layout(Folder(), tmp_path)


def test_the_built_in_detector_passes():
    from mgst_data.faces.detect import MTCNNDetector

    picture = torch.from_numpy(skimage.data.astronaut())[:256, 96:352].permute(2, 0, 1)
    frames = torch.stack((picture, torch.zeros_like(picture), picture.flip(-1)))
    check_detector(MTCNNDetector(min_face=60.0), frames)


def squares(frames: Tensor) -> Detections:
    """A correct detector of white squares, one or two per frame."""
    white = frames[:, 0] == 255
    found = [(i, x) for i, x in white[:, 8, ::32].nonzero().tolist()]
    frame = torch.tensor([i for i, _ in found], dtype=torch.long)
    corner = torch.tensor([[32.0 * x, 0.0] for _, x in found]).reshape(-1, 2)
    boxes = torch.cat((corner, corner + 16), dim=1)
    scores = 0.9 - 0.1 * torch.tensor([x for _, x in found], dtype=torch.float32)
    return Detections(frame, boxes, scores, boxes[:, None, :2].expand(-1, 5, 2) + 4)


def with_squares() -> Tensor:
    frames = torch.zeros(3, 3, 32, 64, dtype=torch.uint8)
    frames[0, :, :16, :16] = frames[2, :, :16, 32:48] = frames[2, :, :16, :16] = 255
    return frames


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d[torch.arange(len(d)).flip(0)], "frame is not ascending"),
        (lambda d: replace(d, frame=d.frame + 1), "frame is outside the batch"),
        (lambda d: replace(d, frame=d.frame.int()), r"frame must be torch\.int64 \(3,\) .*, got torch\.int32 \(3,\)"),
        (lambda d: replace(d, scores=1 - d.scores), "scores are not descending"),
        (lambda d: replace(d, scores=2 * d.scores), r"scores are not in \[0, 1\]"),
        (lambda d: replace(d, boxes=d.boxes[:, [2, 3, 0, 1]]), "one without an area"),
        (lambda d: replace(d, boxes=d.boxes + 100), "a box is outside its frame"),
        (lambda d: replace(d, points=d.points * torch.nan), "points is not finite"),
        (lambda d: replace(d, boxes=d.boxes + 0.1 * len(d)), "frame 0: boxes alone and in the batch differ by 0.2"),
        (lambda d: d[:2], "frame 2: 1 faces in the batch, 2 alone"),
        (lambda d: d[:0], "finds no face in these frames"),
        (lambda d: d.boxes, "returns a Tensor, not a Detections"),
    ],
)
def test_every_error_of_a_detector_is_reported(change, message):
    check_detector(squares, with_squares())
    with pytest.raises(AssertionError, match=message):
        check_detector(lambda frames: change(squares(frames)), with_squares())


def test_a_detector_that_modifies_frames_is_reported():
    with pytest.raises(AssertionError, match="modifies the frames"):
        check_detector(lambda frames: squares(frames.clamp_(max=254).add_(1)), with_squares())
