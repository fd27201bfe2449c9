"""Windows over a run: they cover every frame exactly as specified, and scores are means over windows."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mgst_model.evaluate.windows import score_runs, score_windows, windows_of
from mgst_model.networks.output import SegmentOutput


class Brightness(nn.Module):
    """Gives high scores to bright frames, and to patches in which the red channel changes."""

    def __init__(self, *, patches=True):
        super().__init__()
        self.patches, self.seen = patches, []

    def forward(self, frames):
        self.seen.append(tuple(frames.shape))
        logits = 8 * frames.mean(dim=(2, 3, 4)) - 4
        g = frames.shape[-1] // 4
        cells = nn.functional.avg_pool2d(frames[:, :, 0], 4).reshape(*frames.shape[:2], g, g)
        change = 20 * cells.diff(dim=1).abs() - 2 if self.patches and frames.shape[1] > 1 else None
        return SegmentOutput(logits.mean(dim=1), logits, None, change)


def pictures(n, generator):
    return torch.randint(0, 256, (n, 3, 8, 8), generator=generator, dtype=torch.uint8)


@given(st.integers(1, 200), st.integers(1, 20), st.data())
def test_windows_cover_every_frame_and_no_other(count, frames, data):
    stride = data.draw(st.integers(1, frames))
    windows = windows_of(count, frames=frames, stride=stride)
    assert {i for window in windows for i in window} == set(range(count))
    assert {len(window) for window in windows} == {min(count, frames)}
    assert all(0 < b.start - a.start <= stride for a, b in pairwise(windows))


@pytest.mark.parametrize(("count", "frames", "stride"), [(0, 4, 4), (4, 0, 1), (9, 4, 5), (9, 4, 0)])
def test_invalid_windows_are_rejected(count, frames, stride):
    with pytest.raises(ValueError):
        windows_of(count, frames=frames, stride=stride)


def test_scores_are_the_means_over_the_windows(generator):
    run = pictures(10, generator)
    network = Brightness()
    scores = score_windows(network, run, frames=4, stride=3)
    assert scores.windows.tolist() == [[0, 4], [3, 7], [6, 10]]
    with torch.no_grad():
        output = network(run.float()[None] / 255)
    alone = output.frame_logits[0].sigmoid()
    torch.testing.assert_close(scores.frame, alone)  # a frame's logit does not depend on its window here
    expected = [output.frame_logits[0, a:b].mean().sigmoid() for a, b in scores.windows.tolist()]
    torch.testing.assert_close(scores.window, torch.stack(expected))
    pair = output.patch_logits[0].sigmoid()
    torch.testing.assert_close(scores.patch[0], pair[0])
    torch.testing.assert_close(scores.patch[5], (pair[4] + pair[5]) / 2)
    torch.testing.assert_close(scores.window_patch[1], pair[3:6].mean(dim=0))


def test_patch_scores_use_no_pairs_across_windows_without_overlap(generator):
    run = pictures(8, generator)
    scores = score_windows(Brightness(), run, frames=4)
    with torch.no_grad():
        pair = Brightness()(run.float()[None] / 255).patch_logits[0].sigmoid()
    torch.testing.assert_close(scores.patch[3], pair[2])
    torch.testing.assert_close(scores.patch[4], pair[4])


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_batch_size_only_changes_the_number_of_calls(generator, batch):
    runs = [pictures(n, generator) for n in (9, 2, 4, 3, 16, 2)]
    network = Brightness()
    together = list(score_runs(network, runs, frames=4, stride=2, batch=batch))
    assert max(shape[0] for shape in network.seen) <= batch
    assert {shape[1] for shape in network.seen} == {2, 3, 4}
    for run, scores in zip(runs, together, strict=True):
        alone = score_windows(Brightness(), run, frames=4, stride=2)
        for a, b in zip(scores, alone, strict=True):
            torch.testing.assert_close(a, b)


def test_runs_are_requested_one_by_one(generator):
    asked = []

    def runs():
        for n in range(6):
            asked.append(n)
            yield pictures(4, generator)

    results = score_runs(Brightness(), runs(), frames=4, batch=2)
    next(results)
    assert asked == [0, 1]


def test_single_frames_have_no_patches(generator):
    scores = score_windows(Brightness(), pictures(3, generator), frames=1)
    assert scores.patch is None
    assert scores.window_patch is None
    torch.testing.assert_close(scores.window, scores.frame)
    assert score_windows(Brightness(patches=False), pictures(6, generator), frames=4).patch is None


def test_scores_are_computed_on_the_device_of_the_network(generator, device):
    run = pictures(9, generator)
    there = score_windows(Brightness().to(device), run, frames=4, device=device)
    assert all(value.device.type == "cpu" for value in there)
    torch.testing.assert_close(there.frame, score_windows(Brightness(), run, frames=4).frame)


def test_a_batch_size_of_0_is_rejected(generator):
    with pytest.raises(ValueError, match="batch"):
        next(score_runs(Brightness(), [pictures(2, generator)], frames=2, batch=0))


def test_half_precision_gives_nearly_the_same_scores(generator):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weights = nn.Linear(8 * 8 * 3, 1)

    class Product(nn.Module):
        def forward(self, frames):
            logits = weights(frames.flatten(2))[..., 0]
            return SegmentOutput(logits.mean(dim=1), logits, None, None)

    run = pictures(6, generator)
    exact = score_windows(Product(), run, frames=3)
    half = score_windows(Product(), run, frames=3, half=True)
    assert half.frame.dtype == torch.float32
    assert not torch.equal(half.frame, exact.frame)
    torch.testing.assert_close(half.frame, exact.frame, atol=0.01, rtol=0.01)
    assert not torch.is_autocast_enabled("cpu")
