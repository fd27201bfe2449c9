"""Detectors of others are scored as they say, and a broken contract is one clear line."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mgst_data.core import UsageError
from mgst_model.evaluate import plug_detector, score_shards
from mgst_model.evaluate.cache import load_detectors
from mgst_model.evaluate.plugged import PluggedNetwork
from mgst_model.networks.scorer import Scorer

SOURCE = """
import torch

SEEN = []


class Bright:
    takes, returns, size = "picture", "probability", 16
    mean, std = (0.5, 0.5, 0.5), (0.5, 0.25, 0.5)
    frames = 2

    def __call__(self, frames):
        SEEN.append(tuple(frames.shape))
        return frames[:, 2].mean(dim=(1, 2)).add(1).div(2)


class Moving(torch.nn.Module):
    takes, returns, size, frames, face_margin = "clip", "logit", 16, 4, 0.2

    def __init__(self, bias=0.0):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.tensor(bias))

    def forward(self, frames):
        SEEN.append(tuple(frames.shape))
        return (frames[:, 1:] - frames[:, :-1]).abs().mean(dim=(1, 2, 3, 4))[:, None] + self.bias


def with_bias():
    return Moving(1.0)


def changed(**values):
    made = Bright()
    for name, value in values.items():
        setattr(made, name, value)
    return made


no_kind = lambda: changed(takes="video")
no_size = lambda: changed(size=16.0)
no_std = lambda: changed(std=(1, 0, 1))
far_margin = lambda: changed(face_margin=99)
logits = lambda: changed(mean=(-9.0, -9.0, -9.0))
clip_without_frames = lambda: type("Clip", (Bright,), {"takes": "clip", "frames": None})()
two_classes = lambda: type("Two", (Bright,), {"__call__": lambda self, x: torch.zeros(len(x), 2)})()
a_list = lambda: type("List", (Bright,), {"__call__": lambda self, x: [0.5] * len(x)})()
nan = lambda: type("Nan", (Bright,), {"__call__": lambda self, x: torch.full((len(x),), torch.nan)})()
raising = lambda: type("Raising", (Bright,), {"__call__": lambda self, x: {}["prob"]})()
versioned = lambda: changed(version="1")


def unmade():
    raise OSError("no weights at w.pth")
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "theirs.py"
    path.write_text(SOURCE)
    return path


def test_a_detector_of_pictures_gets_normalised_pictures_and_averages_them(file, mixed_shards):
    detector = plug_detector(f"{file}:Bright")
    assert isinstance(detector, Scorer)
    frames = torch.rand(3, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    output = detector.network(frames)
    expected = frames[:, :, 2].mean(dim=(2, 3))
    torch.testing.assert_close(output.frame_logits.sigmoid(), expected)
    torch.testing.assert_close(output.logit.sigmoid(), expected.mean(dim=1))
    scored = score_shards(detector, str(mixed_shards), split="val", segments=2)
    assert len(scored) == 4
    assert all(video.score is not None and len(video.segments) == 2 for video in scored.videos)
    assert {len(video.frames) for video in scored.videos} == {4}


def test_a_detector_of_clips_gets_clips(file, mixed_shards):
    detector = plug_detector(f"{file}:Moving")
    assert (detector.frames, detector.shortest, detector.face_margin) == (4, 4, 0.2)
    still = torch.full((2, 4, 3, 16, 16), 0.25)
    output = detector.network(still)
    torch.testing.assert_close(output.logit, torch.zeros(2))
    assert output.frame_logits.shape == (2, 4)
    assert all(video.score > 0.5 for video in score_shards(detector, str(mixed_shards), split="val").videos)


def test_scores_are_reused_only_if_code_and_weights_are_known(file):
    first, biased = (plug_detector(f"{file}:{name}").digest for name in ("Moving", "with_bias"))
    assert first == plug_detector(f"{file}:Moving").digest
    assert len({first, biased, ""}) == 3  # other weights
    assert plug_detector(f"{file}:Bright").digest == ""
    assert plug_detector(f"{file}:versioned").digest != ""
    file.write_text(SOURCE + "\n# other code\n")
    assert plug_detector(f"{file}:Moving").digest != first


def test_names_in_tables_are_those_of_the_modules(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    named = load_detectors([], [f"{file}:Bright"])
    assert [one.name for one in named] == ["theirs"]
    both = load_detectors([], [f"{file}:Bright", "theirs:Moving"])
    assert len({one.name for one in both}) == 2
    with pytest.raises(UsageError, match="given more than once"):
        load_detectors([], ["theirs:Bright", "theirs:Bright"])


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("no_kind", "takes must be one of picture, clip, got 'video'"),
        ("no_size", "size must be a whole number of at least 1, got 16.0"),
        ("no_std", "std must be three numbers, above 0"),
        ("far_margin", "face_margin must be in"),
        ("clip_without_frames", "frames must be a whole number of at least 1, got None"),
        ("logits", 'returned probabilities from .*set returns = "logit"'),
        ("two_classes", r"returned the shape \(1, 2\) for 1 pictures.*softmax"),
        ("a_list", r"returned a list, not a torch\.Tensor"),
        ("nan", "not finite"),
        ("raising", "the detector failed: KeyError: 'prob'"),
        ("unmade", "the detector cannot be made: OSError: no weights at w.pth"),
        ("nothing", "has no function 'nothing' .*with_bias"),
    ],
)
def test_a_broken_contract_is_named(file, name, what):
    if name == "clip_without_frames":
        file.write_text(SOURCE.replace("    frames = 2\n", "    frames = 1\n"))
    if name in ("two_classes", "a_list", "nan", "raising"):
        file.write_text(SOURCE.replace("    frames = 2\n", "    frames = 1\n"))
    with pytest.raises(UsageError, match=what) as caught:
        plug_detector(f"{file}:{name}")
    assert caught.value.where == f"{file}:{name}"


def test_places_that_do_not_exist_are_named(tmp_path):
    for place, what in (
        ("xception", "unknown detector 'xception'"),
        ("no_such_package.detector:make", "cannot be imported: No module named 'no_such_package'"),
        (f"{tmp_path / 'none.py'}:make", "no such file"),
    ):
        with pytest.raises(UsageError, match=what):
            plug_detector(place)


def test_a_module_moves_to_the_device_with_its_normalisation():
    network = PluggedNetwork(
        nn.Flatten(), takes="picture", returns="logit", mean=(0.5,) * 3, std=(0.5,) * 3, place="x:y"
    ).to("meta")
    assert network.mean.device.type == network.std.device.type == "meta"
