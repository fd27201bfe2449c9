"""Invalid frames, landmarks, generators and seeds give the messages that users see.

The calls themselves are in ``wrong_input.py``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from mgst_data.core import Segment
from mgst_data.core.checks import check_frames

SCRIPT = Path(__file__).with_name("wrong_input.py")
NO_TENSOR = "TypeError: {} must be a torch.Tensor, got "
UINT8 = "TypeError: frames must have dtype torch.uint8, got "
FLOATING = r"TypeError: frames must be floating-point in \[0, 1\], got torch.uint8; pass frames / 255"
EITHER = r"TypeError: frames must have dtype torch.uint8, or be floating-point in \[0, 1\], got "
RANGE = r"ValueError: floating-point frames must be RGB in \[0, 1\], got "
LEVELS = RANGE + "0 to 255; for values up to 255, pass uint8 or divide by 255$"
NORMALISED = "; pass frames without normalisation by mean and standard deviation"
SHARES = "ValueError: landmarks must be in pixels, got landmarks that spread over "
TIMES_SIZE = "pixels in frames of 32 x 32; if they are relative to .*, multiply x by the width and y by the height$"
OF_LANDMARKS = r"ValueError: landmarks must have shape \(2, 3, k, 2\) for frames \(2, 3, 3, 32, 32\), got "
GENERATOR = (
    r"TypeError: generator must be a torch.Generator on the CPU, for example torch.Generator\(\).manual_seed\(0\), got "
)
SEED = "TypeError: seed must be an integer, for example 0, got "
ANSWERS = {
    "NumPy": NO_TENSOR.format("frames") + r"numpy.ndarray; pass torch.from_numpy\(frames\)$",
    "a list": NO_TENSOR.format("frames") + r"list; pass torch.stack\(frames\) for tensors, or torch.from_numpy",
    "None": NO_TENSOR.format("frames") + "None$",
    "int64": EITHER + r"torch.int64; pass frames.to\(torch.uint8\) if their values are 0 to 255$",
    "bool": EITHER + r"torch.bool; pass frames.float\(\)$",
    "complex": EITHER + "torch.complex64",
    "floats to 255": LEVELS,
    "half floats to 255": LEVELS,
    "normalised": RANGE + r"-2\.\d+ to 2\.\d+" + NORMALISED,
    "-1 to 1": RANGE + "-1 to 1" + NORMALISED,
    "one picture": r"ValueError: frames must have shape \(n, 3, h, w\) or \(b, t, 3, h, w\), got \(3, 32, 32\)$",
    "one colour": r"ValueError: frames must have .*, got \(2, 3, 1, 32, 32\)$",
    "colours last": r"ValueError: frames must have .*; move the channels before .* with frames.movedim\(-1, -3\)$",
    "no frame": r"ValueError: frames must have at least one frame in each segment, got shape \(2, 0, 3, 32, 32\)$",
    "no pixel": r"ValueError: frames must have at least one pixel, got shape \(2, 3, 3, 32, 0\)$",
    "landmarks: NumPy": NO_TENSOR.format("landmarks") + r"numpy.ndarray; pass torch.from_numpy\(landmarks\)$",
    "landmarks: a list": NO_TENSOR.format("landmarks") + "list",
    "landmarks: bool": "TypeError: landmarks must have a real dtype, got torch.bool$",
    "landmarks: shares": SHARES + r"0\.\d+ " + TIMES_SIZE,
    "landmarks: -1 to 1": SHARES + r"1\.\d+ " + TIMES_SIZE,
    "landmarks: shares of one face": SHARES + r"0\.\d+ " + TIMES_SIZE,
    "landmarks: 0": SHARES
    + "0 pixels in frames of 32 x 32; for frames without a face pass NaN, and without any landmarks",
    "landmarks: fewer frames": OF_LANDMARKS + r"\(2, 2, 68, 2\)$",
    "landmarks: no batch": OF_LANDMARKS + r"\(3, 68, 2\)$",
    "landmarks: x, then y": OF_LANDMARKS + r"\(2, 3, 2, 68\)$",
    "valid: NumPy": NO_TENSOR.format("valid") + r"numpy.ndarray; pass torch.from_numpy\(valid\)$",
    "valid: float": "TypeError: valid must have dtype torch.bool, got torch.float32$",
    "valid: no batch": r"ValueError: valid must have shape \(2, 3\) for frames \(2, 3, 3, 32, 32\), got \(3,\)$",
    "label: a list": NO_TENSOR.format("label") + "list",
    "label: of frames": r"ValueError: label must have shape \(2,\) for frames .*, got \(2, 3\)$",
    "directly: uint8": FLOATING,
    "directly: landmarks": "TypeError: landmarks must have dtype torch.float32, got torch.float64$",
    "directly: valid": "TypeError: valid must have dtype torch.bool, got torch.float32$",
    "directly: label": "TypeError: label must have a floating-point dtype, got torch.int64$",
    "directly: mask": r"ValueError: mask must have shape \(2, 3, 1, 32, 32\) for frames .*, got \(2, 3, 32, 32\)$",
    "directly: patch_label": r"ValueError: patch_label must have shape \(2, 3, 5, g\) for .*, got \(2, 3, 7, 5\)$",
    "directly: no tensor": NO_TENSOR.format("patch_label") + "list",
    "directly: no frame": r"ValueError: frames must have at least one frame in each segment",
    "directly: a row": r"ValueError: frames must have shape \(b, t, 3, h, w\), got \(3, 3, 32, 32\)$",
    "blend: frames": r"TypeError: segment must be a Segment, for example Segment.of\(.*\), got a Tensor$",
    "detector: NumPy": NO_TENSOR.format("frames") + "numpy.ndarray; pass",
    "detector: float": UINT8
    + r"torch.float32; pass \(frames \* 255\).round\(\).to\(torch.uint8\) if their values are in \[0, 1\]$",
    "detector: a batch": r"ValueError: frames must have shape \(n, 3, h, w\), got \(2, 3, 3, 32, 32\)$",
    "refiner: int32": UINT8 + "torch.int32",
    "landmark model: float": UINT8 + "torch.float32",
    "perturb: float": UINT8 + "torch.float32",
    "perturb: NumPy": NO_TENSOR.format("frames") + "numpy.ndarray; pass",
    "perturb: no frame": "ValueError: frames must have at least one frame, got 0",
    "network: uint8": FLOATING,
    "network: NumPy": NO_TENSOR.format("frames") + "numpy.ndarray; pass",
    "network: no batch": r"ValueError: frames must have shape \(b, t, 3, h, w\), got \(3, 3, 32, 32\)$",
    "network: size": "ValueError: height and width of frames must be multiples of 16, got 32 and 30$",
    "image network: uint8": FLOATING,
    "image network: floats to 255": LEVELS,
    "generator of a blend": GENERATOR + "None$",
    "generator of a draw": GENERATOR + "None$",
    "generator of a sequence": GENERATOR + "0$",
    "generator of NumPy": GENERATOR + "a numpy.random._generator.Generator$",
    "generator of a perturbation": GENERATOR + "None$",
    "generator of a window": GENERATOR + "None$",
    "generator of the middle": GENERATOR + "3$",
    "generator of even steps": GENERATOR + "None$",
    "generator of examples": GENERATOR + "None$",
    "generator of test examples": GENERATOR + "7$",
    "examples of an empty batch": "0$",
    "test examples of an empty batch": "0$",
    "seed: 1.5": SEED + "1.5$",
    "seed: None": SEED + "None$",
    "seed: text": SEED + "'7'$",
}


@pytest.fixture(scope="module")
def answers():
    """Results of all calls, from one process without the annotation checks of the tests."""
    done = subprocess.run([sys.executable, "-W", "ignore", str(SCRIPT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ANSWERS)
def test_invalid_input_gives_a_message_with_the_expected_value(answers, name):
    assert re.match(ANSWERS[name], answers[name]), answers[name]


def test_unusual_valid_input_is_accepted(answers):
    others = {name: answer for name, answer in answers.items() if name not in ANSWERS}
    assert len(others) > 5
    assert not {name: answer for name, answer in others.items() if not answer.startswith("Segment(")}


class Looks(TorchDispatchMode):
    """Records the largest number of values whose minimum and maximum are computed."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if "aminmax" in str(func):
            self.seen = max(self.seen, args[0].numel())
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("shape", [(2, 16, 3, 224, 224), (1, 1, 3, 64, 64), (64, 3, 2000, 16)])
def test_values_are_checked_on_a_sample_of_bounded_size(shape):
    with Looks() as looks:
        check_frames(torch.zeros(()).expand(shape), 4, 5, kind="floating")
    assert 2**12 <= looks.seen <= 2**16


def test_values_are_not_checked_if_a_tensor_has_none():
    there = Segment.of(torch.rand(2, 3, 3, 8, 8, device="meta"), torch.rand(2, 3, 68, 2, device="meta"))
    assert there.frames.device.type == "meta"
    with FakeTensorMode():
        Segment.of(torch.rand(2, 3, 3, 8, 8), torch.rand(2, 3, 68, 2), valid=torch.ones(2, 3, dtype=torch.bool))


COMPILED = """
import torch
from mgst_data.core import Segment
made = torch.compile(lambda frames, points: Segment.of(frames, points).frames + 1, fullgraph=True, backend="eager")
print(made(torch.full((1, 2, 3, 8, 8), 0.5), torch.rand(1, 2, 68, 2) * 8).unique().tolist())
"""


def test_a_segment_is_made_within_a_compiled_graph():
    # In another process, because the annotation checks of the tests cannot be compiled.
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", COMPILED], capture_output=True, text=True)
    assert done.stdout.strip() == "[1.5]", done.stderr


@pytest.mark.gpu
def test_checks_do_not_wait_for_a_gpu(cuda):
    frames, points = torch.rand(2, 3, 3, 32, 32).to(cuda) * 255, torch.rand(2, 3, 68, 2).to(cuda)
    torch.cuda.set_sync_debug_mode("error")
    try:
        segment = Segment.of(frames, points, valid=torch.ones(2, 3, dtype=torch.bool, device=cuda))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert segment.frames.max() > 1
