"""Layers: each tube is processed separately over time, and still tubes stay still."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from mgst_model.layers.adapter import Adapter
from mgst_model.layers.attention import TimeAttention, sinusoid
from mgst_model.layers.perceptron import perceptron
from mgst_model.layers.style_mix import StyleMix
from mgst_model.layers.temporal_block import TemporalBlock, TemporalConv
from mgst_model.layers.tubes import TubeConv, beside, change, frames_to_tubes, resize, tubes_to_frames


@pytest.fixture(autouse=True)
def _seeded():
    """Seeds torch's default generator, which layers draw their weights from, and restores it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _tubes(*shape: int, device: torch.device | str = "cpu") -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(device)


def test_tubes_to_frames_and_back_keeps_every_token():
    tubes = _tubes(2, 3, 4, 5, 6)
    frames = tubes_to_frames(tubes)
    assert frames.shape == (10, 6, 3, 4)
    assert torch.equal(frames[1 * 5 + 2, :, 2, 3], tubes[1, 2, 3, 2])
    assert torch.equal(frames_to_tubes(frames, 5), tubes)


def test_change_is_the_difference_from_the_previous_frame_and_0_in_the_first():
    tubes = _tubes(2, 3, 4)
    steps = change(tubes)
    assert not steps[:, 0].any()
    torch.testing.assert_close(steps[:, 2], (tubes[:, 2] - tubes[:, 1]).abs())
    assert not change(tubes[:, :1].expand(2, 3, 4)).any()


def test_the_ends_of_a_tube_are_their_own_neighbours():
    tubes = _tubes(1, 4, 2)
    before, after = beside(tubes)
    assert torch.equal(before[0], tubes[0, [0, 0, 1, 2]])
    assert torch.equal(after[0], tubes[0, [1, 2, 3, 3]])


@given(grid=st.integers(1, 9), side=st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_resizing_keeps_constant_maps(grid, side):
    maps = torch.full((2, 3, side, side), 0.7)
    torch.testing.assert_close(resize(maps, (grid, grid)), torch.full((2, 3, grid, grid), 0.7))


def test_shrinking_takes_means():
    maps = _tubes(1, 2, 8, 8)
    torch.testing.assert_close(resize(maps, (2, 2))[0, 0, 0, 1], maps[0, 0, :4, 4:].mean())
    assert resize(maps, (8, 8)) is maps


@pytest.mark.parametrize("length", [1, 2, 5])
def test_the_stem_equals_a_3d_convolution(device, length):
    conv = TubeConv(3, 8).to(device)
    nn.init.normal_(conv.bias)
    frames = _tubes(2, 8, 12, length, 3, device=device)
    # Rows (tap, out), columns (row, column, channel) -> (out, channel, tap, row, column).
    kernel = conv.weight.weight.reshape(3, 8, 4, 4, 3).permute(1, 4, 0, 2, 3)
    padded = functional.pad(frames.permute(0, 4, 3, 1, 2), (0, 0, 0, 0, 1, 1), mode="replicate")
    expected = functional.conv3d(padded, kernel, conv.bias, stride=(1, 4, 4)).permute(0, 3, 4, 2, 1)
    torch.testing.assert_close(conv(frames), expected, atol=1e-3, rtol=1e-3)


def test_the_convolution_over_time_is_depthwise():
    conv = TemporalConv(6)
    nn.init.normal_(conv.bias)
    tubes = _tubes(4, 7, 6)
    padded = functional.pad(tubes.transpose(1, 2), (1, 1), mode="replicate")
    expected = functional.conv1d(padded, conv.weight.T[:, None], conv.bias, groups=6).transpose(1, 2)
    torch.testing.assert_close(conv(tubes), expected)


@given(length=st.integers(1, 40), half=st.integers(1, 32))
@settings(max_examples=30, deadline=None)
def test_a_position_does_not_depend_on_the_length(length, half):
    like = torch.zeros(())
    positions = sinusoid(length, 2 * half, like)
    assert positions.shape == (length, 2 * half)
    torch.testing.assert_close(positions, sinusoid(length + 3, 2 * half, like)[:length])
    assert len(positions.unique(dim=0)) == length


def test_attention_over_time_depends_on_the_order(device):
    attention = TimeAttention(8, 12, 16, 4).to(device)
    queries, context = _tubes(3, 5, 8, device=device), _tubes(3, 5, 12, device=device)
    out = attention(queries, context)
    assert out.shape == (3, 5, 8)
    assert (attention(queries, context.flip(1)) - out).abs().max() > 1e-4


def test_attention_keeps_tubes_apart_and_sees_all_frames():
    attention = TimeAttention(8, 8, 8, 2)
    context = _tubes(2, 2, 2, 6, 8)
    out = attention(context, context)
    other = context.clone()
    other[1, 0, 1, 5] += 1
    moved = (attention(context, other) - out).abs().amax(dim=-1) > 1e-6
    assert moved[1, 0, 1].all()
    assert moved.sum() == 6


def test_a_closed_attention_starts_at_0():
    assert not TimeAttention(8, 6, 8, 2, closed=True)(_tubes(2, 3, 8), _tubes(2, 3, 6)).any()


def test_a_closed_perceptron_starts_at_0_and_learns():
    layer = perceptron(4, 8, 3, closed=True)
    out = layer(_tubes(5, 4))
    assert out.shape == (5, 3)
    assert not out.any()
    out.sum().backward()
    assert layer[2].weight.grad.any()


def test_a_block_processes_all_tubes_alike_and_separately(device):
    block = TemporalBlock(16, 4, mlp_ratio=2.0).to(device)
    tubes = _tubes(2, 3, 3, 5, 16, device=device)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(2))
    shuffled = tubes.flatten(1, 2)[:, order].reshape(tubes.shape)
    expected = block(tubes).flatten(1, 2)[:, order].reshape(tubes.shape)
    torch.testing.assert_close(block(shuffled), expected, atol=1e-5, rtol=1e-4)


def test_a_block_leaves_a_still_tube_still_and_a_moving_one_moving():
    block = TemporalBlock(16, 4)
    tubes = _tubes(1, 2, 2, 6, 16)
    still = block(tubes[..., :1, :].expand_as(tubes))
    torch.testing.assert_close(still, still[..., :1, :].expand_as(still), atol=1e-5, rtol=1e-5)
    assert change(block(tubes))[..., 1:, :].mean() > 0.1


def test_stochastic_depth_takes_whole_segments_and_only_in_training():
    block = TemporalBlock(8, 2, drop_path=0.9).train()
    tubes = _tubes(40, 1, 2, 3, 8)
    left_alone = (block(tubes) == tubes).flatten(1)
    assert torch.equal(left_alone.all(dim=1), left_alone.any(dim=1))
    assert 0 < left_alone.all(dim=1).sum() < 40
    assert not torch.equal(block.eval()(tubes[:1]), tubes[:1])


def test_an_adapter_starts_as_the_identity_and_learns():
    adapter = Adapter(12, 4)
    tokens = _tubes(2, 5, 12)
    out = adapter(tokens)
    assert torch.equal(out, tokens)
    out.square().sum().backward()
    assert adapter.bottleneck[2].weight.grad.any()


def _styled(*shape, device="cpu"):
    """Returns maps of segments with different means and standard deviations per channel."""
    generator = torch.Generator().manual_seed(6)
    mean, std = (torch.rand(shape[0], 1, *shape[2:3], 1, 1, generator=generator) for _ in range(2))
    return (torch.randn(shape, generator=generator) * (std + 0.2) + 3 * mean).to(device)


def _style(segments):
    return torch.cat([segments.mean(dim=(-2, -1)), segments.std(dim=(-2, -1), correction=0)], dim=-1)


def test_mixed_segments_keep_their_content_and_take_another_style(device):
    segments = _styled(12, 3, 5, 8, 8, device=device)
    mixed = StyleMix(1.0).train()(segments.flatten(0, 1), frames=3).unflatten(0, (-1, 3))

    def shown(maps):
        return (maps - maps.mean(dim=(-2, -1), keepdim=True)) / maps.std(dim=(-2, -1), keepdim=True)

    torch.testing.assert_close(shown(mixed), shown(segments), atol=1e-3, rtol=1e-3)
    before, after = _style(segments), _style(mixed)
    assert (after - before).abs().amax(dim=(1, 2)).gt(0.1).sum() > 3
    for i in range(12):  # between its own style and that of one other segment, by the same share in all frames
        way = before - before[i]
        share = torch.einsum("btc,tc->b", way, after[i] - before[i]) / way.square().sum(dim=(1, 2)).clamp_min(1e-9)
        error = (share[:, None, None] * way - (after[i] - before[i])).abs().amax(dim=(1, 2))
        best = int(error.argmin())
        assert error[best] < 1e-3
        assert -1e-3 < share[best] < 1 + 1e-3


def test_a_still_segment_stays_still_in_another_style():
    segments = _styled(8, 1, 4, 6, 6).expand(-1, 5, -1, -1, -1)
    mixed = StyleMix(1.0).train()(segments.flatten(0, 1), frames=5).unflatten(0, (-1, 5))
    assert not torch.allclose(mixed, segments, atol=0.1)
    torch.testing.assert_close(mixed, mixed[:, :1].expand_as(mixed), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_styles_stay_in_evaluation_and_with_probability_0(p):
    maps = _styled(6, 1, 4, 5, 5)[:, 0]
    assert torch.equal(StyleMix(p).train(p == 0)(maps, frames=1), maps)


def test_the_share_of_mixed_styles_is_as_requested():
    segments = _styled(400, 1, 2, 4, 4)
    mixed = StyleMix(0.5).train()(segments[:, 0], frames=1)
    # Half of all, without those with almost no share of the other style: 1/3 of the draws from Beta(0.1, 0.1).
    changed = (mixed - segments[:, 0]).abs().amax(dim=(1, 2, 3)) > 0.01
    assert 90 < int(changed.sum()) < 210


def test_no_gradient_passes_through_a_style():
    segments = _styled(4, 1, 2, 4, 4)[:, 0].requires_grad_()
    StyleMix(1.0).train()(segments, frames=1).sum().backward()
    # The sum of a channel is its size times its mean. Its gradient is the gain of the deviation, equal everywhere.
    assert segments.grad is not None
    torch.testing.assert_close(segments.grad, segments.grad[..., :1, :1].expand_as(segments))
