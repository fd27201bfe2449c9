"""H.264 compression in memory keeps the number, order, size and colour of frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mgst_data.video.h264 import encode_h264


def moving(t: int = 8, height: int = 48, width: int = 64) -> Tensor:
    """Returns a smooth moving pattern."""
    y, x = np.mgrid[:height, :width]
    waves = [np.stack([np.sin((x + 2 * i) / 9 + c) + np.cos(y / (7 + c)) for c in range(3)]) for i in range(t)]
    return torch.from_numpy((np.stack(waves) * 60 + 128).astype(np.uint8))


def error(frames: Tensor, decoded: Tensor) -> float:
    return float((frames.float() - decoded.float()).square().mean())


@pytest.mark.parametrize("shape", [(1, 3, 48, 64), (5, 3, 33, 47), (3, 3, 1, 1), (70, 3, 16, 16), (0, 3, 16, 16)])
def test_number_and_size_are_kept(shape):
    frames = torch.full(shape, 90, dtype=torch.uint8)
    decoded = encode_h264(frames, 20)
    assert decoded.dtype == torch.uint8
    assert torch.equal(decoded, frames)


@pytest.mark.parametrize(
    "colour",
    [
        (0, 0, 0),
        (255, 255, 255),
        (120, 120, 120),
        (200, 30, 40),
        (20, 180, 40),
        (10, 10, 250),
        (255, 0, 0),
        (224, 172, 105),
    ],
)
def test_colours_are_kept(colour):
    frames = torch.tensor(colour, dtype=torch.uint8)[None, :, None, None].expand(3, 3, 32, 32).contiguous()
    assert (encode_h264(frames, 18).int() - frames.int()).abs().max() <= 2


def test_the_order_of_frames_is_kept():
    """Frames are identified by their brightness, across several groups of B-frames."""
    levels = torch.tensor([20 + (37 * i) % 200 for i in range(30)], dtype=torch.uint8)
    frames = levels[:, None, None, None].expand(30, 3, 32, 32).contiguous()
    decoded = encode_h264(frames, 15).float().mean(dim=(1, 2, 3))
    assert (decoded - levels).abs().max() < 4


def test_odd_sides_are_not_shifted():
    frames = moving(height=45, width=61)
    decoded = encode_h264(frames, 5)
    assert error(frames, decoded) < 5
    assert error(frames[..., 1:], decoded[..., :-1]) > 3 * error(frames, decoded)
    assert error(frames[..., 1:, :], decoded[..., :-1, :]) > 3 * error(frames, decoded)


def test_a_higher_rate_factor_gives_a_larger_error():
    frames = moving()
    losses = [error(frames, encode_h264(frames, crf)) for crf in (0, 20, 35, 51)]
    assert losses == sorted(losses)
    assert losses[0] < 5 < losses[-1] / 5


def test_the_result_is_deterministic_and_the_input_is_not_changed():
    frames = moving()
    before, first = frames.clone(), encode_h264(frames, 30)
    for n in range(20):
        _ = np.full(9000 * n + 100, n)  # changes the memory that the encoder gets
        assert torch.equal(encode_h264(frames, 30), first)
    assert torch.equal(frames, before)
    assert not torch.equal(encode_h264(frames, 30, preset="ultrafast"), first)


def test_frames_may_be_a_view():
    frames = moving()
    view = frames.transpose(2, 3)
    assert torch.equal(encode_h264(view, 30), encode_h264(view.contiguous(), 30))


@pytest.mark.parametrize(("crf", "fps"), [(-1, 25.0), (52, 25.0), (23, 0.0)])
def test_invalid_rates_are_errors(crf, fps):
    with pytest.raises(ValueError, match=r"crf must be in|fps must be above"):
        encode_h264(moving(2), crf, fps)
