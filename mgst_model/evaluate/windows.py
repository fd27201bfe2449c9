"""Scores long runs of frames in windows: scores of windows, frames and patches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from mgst_model.networks.output import SegmentOutput


class RunScores(NamedTuple):
    """Scores of a run of n consecutive frames, in [0, 1], on the CPU. Higher means more likely fake.

    Attributes:
        windows: First frame of each window, and the frame after its last frame.
        window: Score of each window, as the network returns it for a segment.
        frame: Score of each frame: the mean over the windows that cover it.
        patch: Score of each patch of each frame: the mean over all pairs of consecutive frames, in all windows, that
            contain the frame. None if the network has no patch logits. The mean over both pairs is our own choice,
            because patch logits belong to pairs of frames.
        window_patch: Score of each patch of each window: the mean over the pairs of frames in the window.
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
    """Returns windows of ``frames`` consecutive frames that together cover a run.

    A window begins every ``stride`` frames. If the last window would end after the run, it is moved back, so that no
    frame is invented. A run that is shorter than a window is one window of its own length.

    Args:
        count: Number of frames of the run, at least 1.
        frames: Number of frames of a window, at least 1.
        stride: Frames from the start of one window to the start of the next, in [1, ``frames``].

    Raises:
        ValueError: if a window or a run is empty, or ``stride`` would leave out frames between two windows.
    """
    if frames < 1 or count < 1:
        raise ValueError(f"count and frames must be at least 1, got {count} and {frames}")
    if not 1 <= stride <= frames:
        raise ValueError(f"stride must be in [1, {frames}] for windows of {frames} frames, got {stride}")
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
    """Scores one run of consecutive frames. :func:`score_runs` does the same for several runs.

    Args:
        network: Network on ``device``, in evaluation mode. It takes ``(b, t, 3, h, w)`` in [0, 1] and returns a
            :class:`SegmentOutput`.
        pictures: Frames of the run, RGB.
        frames: Number of frames of a window.
        stride: Frames from the start of one window to the start of the next. None: ``frames``, so that windows do not
            overlap.
        batch: Largest number of windows per call of the network.
        device: Device of the network.
        half: Compute in bfloat16, see :func:`score_runs`.
    """
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

    Windows of several runs share a batch, so that the device is not idle on short runs. A run is released as soon as it
    is scored. The caller moves the network to the device and sets evaluation mode.

    Args:
        network: Takes ``(b, t, 3, h, w)`` in [0, 1] and returns a :class:`SegmentOutput`.
        runs: RGB frames of each run. All have the same size.
        frames: Number of frames of a window.
        stride: Frames from the start of one window to the start of the next. None: ``frames``, so that windows do not
            overlap.
        batch: Largest number of windows per call of the network.
        device: Device of the network.
        half: Compute in bfloat16. This is faster on devices with bfloat16 instructions, and changes a logit by about
            0.01.

    Raises:
        ValueError: if ``frames``, ``stride`` or ``batch`` is out of range.
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
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
    """Scores some runs together: windows of the same length share a call of the network."""
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
        output: SegmentOutput = network(pictures.to(device, non_blocking=True).float().div_(255))
        segment, frame = (logits.float().sigmoid().cpu() for logits in (output.logit, output.frame_logits))
        patch = None if output.patch_logits is None else output.patch_logits.float().sigmoid().cpu()
    # A single frame has no pairs of frames: networks return None or an empty tensor.
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
