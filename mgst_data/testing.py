"""Tests for code of other projects: whether an augmentation, a layout or a detector satisfies the contract of mgst.

They are plain functions for any test runner. Importing this module needs torch only::

    from mgst_data.testing import check_augmentation


    def test_my_augmentation():
        check_augmentation(MyAugmentation(p=1.0))
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import UInt8
from torch import Tensor

from mgst_data import _contract as contract
from mgst_data._label_contract import check_labels
from mgst_data._painted import difference, example_pair, example_segment
from mgst_data.augment import Step
from mgst_data.core import Detections, RealFakePair, Segment
from mgst_data.core.locations import is_url

__all__ = ["check_augmentation", "check_detector", "check_layout", "example_pair", "example_segment"]


def check_augmentation(
    augmentation: Step[Any],
    *,
    segment: Segment | RealFakePair | None = None,
    seed: int = 0,
    draws: int = 3,
    exact_batch: bool = True,
    exact_mask: bool = True,
    differentiable: bool = True,
    no_wait: bool = False,
) -> None:
    """Checks that an augmentation satisfies the contract of the augmentations of mgst.

    Drawing: parameters are drawn on the CPU, from the generator that is passed in and no other, and depend only on the
    shape of the segment. Every tensor has one row per segment.

    Applying: ``apply`` is a pure function, and its results are bit-identical in every call. It does not modify its
    input. The result of a segment does not depend on the other segments of the batch. Dtype, device and ranges are
    kept; landmarks are float32. Half precision gives nearly the same result. Autocast changes nothing. A segment of one
    frame works or raises ValueError. An empty batch gives an empty batch, and no result has segments without frames.

    Labels: segments, frames and patches are marked where the mask is. A label-preserving augmentation keeps real
    segments real, and keeps fakes fake if any of their pixels are left. It changes both segments of a real-fake pair in
    the same way, and mask and landmarks move with the pixels. A label-making augmentation, or a blend that makes
    real-fake pairs, changes pixels only inside the mask, marks exactly the frames that it changes, and does not change
    the paired real segment.

    Args:
        augmentation: An Augmentation, a blend that makes real-fake pairs, or a container of them. It should change most
            segments: the check fails if nothing is changed, because then nothing is tested.
        segment: Segments that it is tried on, :func:`example_segment` by default. Pass real-fake pairs, for example
            :func:`example_pair`, for an augmentation that needs them.
        seed: Seed of all draws.
        draws: Number of times that it draws and applies.
        exact_batch: Whether the result of a segment is bit-identical in any batch; otherwise the tolerance is 1e-4.
        exact_mask: Whether nothing changes outside the mask or in the paired real segment. Use False for a sequence
            that blends and then applies other augmentations.
        differentiable: Whether gradients reach the frames.
        no_wait: Whether ``apply`` reads no values on the device, so that it never waits for a GPU.

    Raises:
        AssertionError: if a rule of the contract is violated. The message names the rule and what was found.
    """
    subject = contract.Subject(augmentation)
    subject.require(isinstance(augmentation, Step), "is not a Step: derive it from Augmentation")
    data = example_segment(seed=seed) if segment is None else segment
    active = False
    for number in range(seed, seed + draws):
        params = contract.check_draws(subject, data, number)
        out = contract.check_replay(subject, data, params, number)
        contract.check_result(subject, data, out)
        contract.check_batch(subject, data, params, out, atol=0.0 if exact_batch else 1e-4)
        contract.check_half(subject, data, params, out)
        contract.check_autocast(subject, data, params, out, number)
        contract.check_single_frame(subject, data, number)
        if differentiable:
            contract.check_gradient(subject, data, params)
        if no_wait:
            contract.check_no_wait(subject, data, params)
        contract.check_empty_batch(subject, data, number)
        check_labels(subject, data, params, exact_mask=exact_mask)
        active |= bool(difference(data, out))
    subject.require(active, f"does nothing in {draws} draws, so nothing is checked: use a larger p, or more draws")


@runtime_checkable
class _Layout(Protocol):
    """Protocol of :class:`mgst_data.datasets.Layout`, which is not imported only for its name."""

    def recognises(self, root: Path) -> bool: ...

    def scan(self, root: Path) -> Any: ...


def check_layout(layout: _Layout, root: Path) -> None:
    """Checks that a layout reads a data set as the layouts of mgst do.

    The data set should be complete: every file that it names exists. The layout must recognise the data set, but not an
    empty folder. Two scans must be equal. Every video and mask must be a file. Videos must be named relative to the
    root. Real videos, and no others, must have the method "real" and no source. Unique keys and known splits and labels
    are checked by scans and records themselves.

    Args:
        layout: Layout to check.
        root: Root folder of a data set of this layout.

    Raises:
        AssertionError: if a rule is violated. The message names the first record that violates it.
    """
    import tempfile

    from mgst_data.datasets import Scan

    subject = contract.Subject(layout)
    subject.require(layout.recognises(root) is True, f"does not recognise {root}")
    with tempfile.TemporaryDirectory() as empty:
        subject.require(layout.recognises(Path(empty)) is False, "recognises an empty folder")
    scan = subject.of(Scan, layout.scan(root), "scan returns")
    subject.require(len(scan.records), "scan finds no video")
    subject.require(layout.scan(root) == scan, "a second scan finds other records, another order or other notes")
    for record in scan.records:
        for path in filter(None, (record.path, record.mask_path)):
            subject.require(
                is_url(path) or Path(path).is_absolute(), f"{record.key}: path must be absolute or a URL, got {path}"
            )
            subject.require(is_url(path) or Path(path).is_file(), f"{record.key}: {path}: no such file")
        relative = not Path(record.video).is_absolute() and ".." not in Path(record.video).parts
        subject.require(relative, f"{record.key}: video must be relative to the root, got {record.video}")
        same = (record.label == 0) == (record.method == "real")
        message = f"{record.key}: label and method do not agree, got label {record.label} and method {record.method!r}"
        subject.require(same, message)
        subject.require(record.label or not record.source_key, f"{record.key}: a real video must have no source_key")


def check_detector(
    detector: Callable[[Tensor], Detections], frames: UInt8[Tensor, "f 3 h w"], *, atol: float = 0.05
) -> None:
    """Checks that a face detector returns what tracking needs.

    Detections are flat columns on the CPU. Frames are in range and ascending; scores are in [0, 1] and descending
    within a frame. Boxes have an area, and part of it is in the frame. All values are finite. Each frame gives the same
    detections alone and in the batch. The frames are not modified. Frames without a face work, and so does an empty
    batch.

    Args:
        detector: Function of frames that returns detections.
        frames: Several frames with faces, preferably with different numbers of faces.
        atol: Largest difference between batches: of boxes and points in pixels; of scores in hundredths.

    Raises:
        AssertionError: if a rule is violated.
    """
    subject = contract.Subject(detector)
    before = frames.clone()
    found = subject.of(Detections, detector(frames), "returns")
    subject.require(torch.equal(frames, before), "modifies the frames")
    _check_faces(subject, found, frames)
    subject.require(len(found), "finds no face in these frames, so nothing is checked")
    for i in range(len(frames)):
        alone, within = detector(frames[i : i + 1]), found[found.frame == i]
        subject.require(len(alone) == len(within), f"frame {i}: {len(within)} faces in the batch, {len(alone)} alone")
        for name, limit in (("boxes", atol), ("points", atol), ("scores", atol * 1e-2)):
            far = float((getattr(alone, name) - getattr(within, name)).abs().max()) if len(alone) else 0.0
            subject.require(far <= limit, f"frame {i}: {name} alone and in the batch differ by {far:.2g}")
    black, none = torch.zeros_like(frames[:2]), frames[:0]
    _check_faces(subject, detector(black), black)
    try:
        nothing = subject.of(Detections, detector(none), "returns")
    except contract.FAILURES as error:
        raise AssertionError(f"{detector!r}: an empty batch fails: {type(error).__name__}: {error}") from error
    subject.require(len(nothing) == 0, f"finds {len(nothing)} faces in an empty batch")
    _check_faces(subject, nothing, none)


def _check_faces(subject: contract.Subject, found: Detections, frames: UInt8[Tensor, "f 3 h w"]) -> None:
    """Checks the rules for all detections in a batch of frames."""
    n, (h, w) = len(found), frames.shape[-2:]
    columns = {"frame": (n,), "boxes": (n, 4), "scores": (n,), "points": (n, 5, 2)}
    for name, shape in columns.items():
        value = getattr(found, name)
        kind = torch.int64 if name == "frame" else torch.float32
        given = f"{value.dtype} {tuple(value.shape)} on {value.device.type}"
        subject.require(given == f"{kind} {shape} on cpu", f"{name} must be {kind} {shape} on cpu, got {given}")
        subject.require(value.isfinite().all(), f"{name} is not finite")
    if not n:
        return
    subject.require(found.frame.min() >= 0 and found.frame.max() < len(frames), "frame is outside the batch")
    step, fall = found.frame.diff(), found.scores.diff()
    subject.require((step >= 0).all(), "frame is not ascending")
    subject.require((fall[step == 0] <= 0).all(), "scores are not descending within a frame")
    subject.require(found.scores.min() >= 0 and found.scores.max() <= 1, "scores are not in [0, 1]")
    subject.require(
        (found.boxes[:, 2:] > found.boxes[:, :2]).all(),
        "boxes must be x0, y0, x1, y1 with an area, got one without an area",
    )
    inside = found.boxes.clamp(torch.zeros(4), torch.tensor((w, h, w, h)))
    subject.require((inside[:, 2:] > inside[:, :2]).all(), "a box is outside its frame")
