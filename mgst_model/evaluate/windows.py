"""Long runs of frames through a network that looks at a few at a time: scores of windows, frames and patches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from mgst_model.networks.output import SegmentOutput


class RunScores(NamedTuple):
    """How fake each part of a run of n consecutive frames looks, as scores in [0, 1]; on the CPU.

    Attributes:
        windows: First frame and the one after the last of each window.
        window: Score of each window, as the network gives it for a segment.
        frame: Of each frame: the mean over the windows that cover it.
        patch: Of each patch of each frame: the mean over all pairs of frames, in all windows, that the frame is one of.
            None where the network says nothing of patches. Ours.
        window_patch: Of each patch of each window: the mean over its pairs of frames.
    """

    windows: Int[Tensor, "w 2"]
    window: Float[Tensor, " w"]
    frame: Float[Tensor, " n"]
    patch: Float[Tensor, "n g g"] | None
    window_patch: Float[Tensor, "w g g"] | None


class _Window(NamedTuple):
    """Scores of one window of t frames."""

    segment: Float[Tensor, ""]
    frame: Float[Tensor, " t"]
    patch: Float[Tensor, "s g g"] | None


def windows_of(count: int, *, frames: int, stride: int) -> list[range]:
    """Windows of ``frames`` dense frames that cover all of ``count``.

    One begins every ``stride`` frames. Where the last would reach beyond the end, it reaches back instead, so that no
    frame is made up. A run that is shorter than a window is one window of its own length.

    Raises:
        ValueError: if a window or a run is empty, or if frames between two windows would be left out.
    """
    if frames < 1 or count < 1:
        raise ValueError(f"a run and a window have at least one frame, not {count} and {frames}")
    if not 1 <= stride <= frames:
        raise ValueError(f"windows of {frames} frames begin every 1 to {frames} frames, not every {stride}")
    if count <= frames:
        return [range(count)]
    starts = [*range(0, count - frames, stride), count - frames]
    return [range(start, start + frames) for start in starts]


def score_windows(
    network: nn.Module,
    pictures: UInt8[Tensor, "n 3 h w"],
    *,
    frames: int,
    stride: int | None = None,
    batch: int = 8,
    device: torch.device | str = "cpu",
    half: bool = False,
) -> RunScores:
    """Scores one run of consecutive frames; see :func:`score_runs`."""
    return next(score_runs(network, [pictures], frames=frames, stride=stride, batch=batch, device=device, half=half))


def score_runs(
    network: nn.Module,
    runs: Iterable[UInt8[Tensor, "_ 3 h w"]],
    *,
    frames: int,
    stride: int | None = None,
    batch: int = 8,
    device: torch.device | str = "cpu",
    half: bool = False,
) -> Iterator[RunScores]:
    """Scores runs of consecutive frames, one after another.

    Windows of several runs share a batch, so that short runs do not leave a device idle; a run is let go of as soon as
    it is scored. The network is used as it is: whoever hands it in has put it on the device and into evaluation.

    Args:
        network: Takes ``(b, t, 3, h, w)`` in [0, 1] and returns a :class:`SegmentOutput`.
        runs: RGB, all of one size.
        frames: Of a window.
        stride: From the start of one window to that of the next; by default ``frames``, so that windows do not overlap.
        batch: Windows per call of the network, at most.
        device: That of the network.
        half: Multiplies in bfloat16: quicker where the device has instructions for it. A logit moves by a hundredth or
            so.

    Raises:
        ValueError: if ``frames``, ``stride`` or ``batch`` makes no sense.
    """
    if batch < 1:
        raise ValueError(f"a batch has at least one window, not {batch}")
    waiting: list[tuple[UInt8[Tensor, "_ 3 h w"], list[range]]] = []
    for run in runs:
        waiting.append((run, windows_of(len(run), frames=frames, stride=frames if stride is None else stride)))
        if sum(len(windows) for _, windows in waiting) >= batch:
            yield from _score(network, waiting, batch, device, half)
            waiting = []
    yield from _score(network, waiting, batch, device, half)


def _score(
    network: nn.Module,
    runs: list[tuple[UInt8[Tensor, "_ 3 h w"], list[range]]],
    batch: int,
    device: torch.device | str,
    half: bool,
) -> Iterator[RunScores]:
    """Scores some runs at once: windows of one length go through the network together."""
    wanted = [(number, window) for number, (_, windows) in enumerate(runs) for window in windows]
    results: list[list[_Window]] = [[] for _ in runs]
    for _, same in groupby(sorted(wanted, key=lambda item: len(item[1])), key=lambda item: len(item[1])):
        alike = list(same)  # sorting is stable: the windows of a run stay in order
        for begin in range(0, len(alike), batch):
            some = alike[begin : begin + batch]
            pictures = torch.stack([runs[number][0][window.start : window.stop] for number, window in some])
            for (number, _), scored in zip(some, _scores_of(network, pictures, device, half), strict=True):
                results[number].append(scored)
    for (run, windows), mine in zip(runs, results, strict=True):
        yield _gather(len(run), windows, mine)


def _scores_of(
    network: nn.Module, pictures: UInt8[Tensor, "b t 3 h w"], device: torch.device | str, half: bool
) -> list[_Window]:
    with torch.inference_mode(), torch.autocast(torch.device(device).type, torch.bfloat16, enabled=half):
        output: SegmentOutput = network(pictures.to(device).float().div_(255))
        segment, frame = (logits.float().sigmoid().cpu() for logits in (output.logit, output.frame_logits))
        patch = None if output.patch_logits is None else output.patch_logits.float().sigmoid().cpu()
    # A single frame has no pairs, whether the network says so or returns none of them.
    if patch is not None and patch.shape[1] == 0:
        patch = None
    return [_Window(segment[i], frame[i], None if patch is None else patch[i]) for i in range(len(segment))]


def _gather(count: int, windows: list[range], scored: list[_Window]) -> RunScores:
    frame, covered = torch.zeros(count), torch.zeros(count)
    for window, one in zip(windows, scored, strict=True):
        frame[window.start : window.stop] += one.frame
        covered[window.start : window.stop] += 1
    pairs = [one.patch for one in scored if one.patch is not None]
    patch = window_patch = None
    if pairs:
        total, seen = torch.zeros(count, *pairs[0].shape[1:]), torch.zeros(count, 1, 1)
        for window, pair in zip(windows, pairs, strict=True):
            for part in (slice(window.start, window.stop - 1), slice(window.start + 1, window.stop)):
                total[part] += pair
                seen[part] += 1
        patch = total / seen
        window_patch = torch.stack([pair.mean(dim=0) for pair in pairs])
    return RunScores(
        windows=torch.tensor([(window.start, window.stop) for window in windows]),
        window=torch.stack([one.segment for one in scored]),
        frame=frame / covered,
        patch=patch,
        window_patch=window_patch,
    )
