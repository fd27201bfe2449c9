"""Augmentations and blends on a device: nothing is mixed, nothing waits, and the result is that of the CPU."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import faces68
import pytest
import torch
from pretend_device import held, pretend
from step_checks import assert_same, twins

from mgst_data.augment import AUGMENTATIONS, H264, RECIPES, Donor, DropFrames, SelfBlend, Stride
from mgst_data.augment.blend.self_blend import PRESETS
from mgst_data.core import RealFakePair, Segment, generator_for

# Augmentations with an option that has no default.
MADE = {
    "h264": lambda: H264(lambda frames, crf: frames),
    "drop_frames": lambda: DropFrames(2),
    "stride": lambda: Stride(3),
}
# An encoder runs on the CPU: the frames of both segments of a pair are copied there and back.
ALLOWED = {
    "h264": {
        "mgst_data/augment/compression.py:H264.change copy to the CPU": 2,
        "mgst_data/augment/compression.py:H264.change copy to the device": 2,
    }
}


def back(data):
    """Returns segments or pairs of the pretend device as plain ones."""
    if isinstance(data, RealFakePair):
        return RealFakePair(back(data.real), back(data.fake))
    return Segment(**{field.name: held(getattr(data, field.name)) for field in fields(Segment)})


def on_both(step, data, seed):
    """Applies a step on the CPU and on the pretend device, with the same draws. Returns both results and the waits."""
    params = step.sample(getattr(data, "fake", data), generator_for(seed, "draw"))
    plain = step.apply_any(data, params)
    with pretend() as waits:
        there = data.to("cuda")
        waits.clear()
        done = step.apply_any(there, params)
    return plain, back(done), dict(waits)


# On a CPU these use OpenCV, which adds in another order.
ROUNDED = {"sharpen": 1e-6, "downscale": 1e-6}


@pytest.mark.parametrize("name", [*RECIPES, *(name for name in AUGMENTATIONS if name != "self_blend")])
def test_a_step_does_not_wait_for_the_device(name):
    step = (MADE.get(name) or (RECIPES if name in RECIPES else AUGMENTATIONS).get(name))()
    pair = twins(faces68.make(4, 6, 48))
    for seed in range(2 if name in RECIPES else 1):
        plain, done, waits = on_both(step, pair, seed)
        assert waits == ALLOWED.get(name, {})
        for one, other in ((done.real, plain.real), (done.fake, plain.fake)):
            assert_same(one, other, atol=ROUNDED.get(name, 0.0))


@pytest.mark.parametrize("name", PRESETS)
def test_a_blend_does_not_wait_for_the_pretend_device(name):
    blend = replace(SelfBlend.preset(name), donor=Donor(p=0.5), pyramid=0.5, match_colour=0.5)
    segment = faces68.make(3, 3, 64)
    landmarks = segment.landmarks.clone()
    landmarks[1, 2] = torch.nan
    segment = segment.replace(landmarks=landmarks, valid=landmarks.isfinite().flatten(2).all(dim=2))
    plain, done, waits = on_both(blend, segment, 0)
    assert not waits
    assert done.fake.label.any()
    # The CPU blends in tiles and only in the box around a mask, so sums are taken in another order.
    for one, other in ((done.real, plain.real), (done.fake, plain.fake)):
        assert_same(one, other, atol=1e-4)


# In another process, because the annotation checks of the tests cannot be compiled.
TRACED = """
import sys, torch
from dataclasses import replace
sys.path.insert(0, sys.argv[1])
import faces68
from torch._subclasses.fake_tensor import FakeTensorMode
from mgst_data.augment import Donor, SelfBlend
from mgst_data.core import generator_for
torch._C._ensureCUDADeviceGuardSet()
segment, blend = faces68.make(2, 2, 64), replace(SelfBlend.preset("sbi"), donor=Donor(p=0.5))
params = blend.sample(segment, generator_for(0))
with FakeTensorMode(allow_non_fake_inputs=True) as fake:
    columns = {name: fake.from_tensor(value).to("cuda") for name, value in segment._fields()}
    pair = torch.compile(blend.apply, fullgraph=True, backend="eager")(type(segment)(**columns), params)
print(pair.fake.frames.device, pair.fake.mask.device, pair.real.frames.device)
"""


def test_a_blend_is_one_graph_on_a_device():
    command = [sys.executable, "-W", "ignore", "-c", TRACED, str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() == "cuda:0 cuda:0 cuda:0", done.stderr
