"""Our tests, for outsiders: does an augmentation, a layout or a detector of theirs keep what ours promise?

Plain functions for any test runner; importing this needs torch only::

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

from mgst_data import _promises as promises
from mgst_data._label_promises import check_labels
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
    """Checks that an augmentation keeps what those of this library promise.

    Draws: on the CPU, from the generator handed in and no other, by the shape of a segment alone; a row of every tensor
    for each segment. Applying: a pure function, bit-identical whenever it is done; the segment stays as it is and
    does not depend on its neighbours in the batch; dtype, device and ranges are kept, landmarks are float32; half
    precision gives nearly the same; autocast around it changes nothing; a single frame works or is a
    ValueError; an empty batch comes back, and no segment comes out without frames. Labels: segments, frames and patches
    are marked where the mask is. A label-preserving augmentation keeps real segments real, and fakes fake as far as
    anything is left of them; twins get the same; mask and landmarks go where their pixels go. Of a label-making one, or
    one that makes twins: pixels change inside the mask only, frames are marked if and only if they change, and the real
    twin stays as it is.

    Args:
        augmentation: An Augmentation, a blend that makes twins, or a container of them. It should do something to most
            segments: one that does nothing is not checked by trying it, and fails.
        segment: What it is tried on, :func:`example_segment` by default; twins, such as :func:`example_pair`, for an
            augmentation that needs them.
        seed: Of all draws.
        draws: How often it is drawn and applied.
        exact_batch: Whether a segment comes out bit-identical in any batch; otherwise to 1e-4.
        exact_mask: Whether nothing changes outside the mask, nor in the real twin. In a sequence that blends and then
            does other things, both do.
        differentiable: Whether gradients reach the frames.
        no_wait: Whether ``apply`` looks at no value on the device, so that a GPU is never waited for.

    Raises:
        AssertionError: saying which promise is broken, and what was found.
    """
    subject = promises.Subject(augmentation)
    subject.require(isinstance(augmentation, Step), "is no Step: derive it from Augmentation")
    data = example_segment(seed=seed) if segment is None else segment
    active = False
    for number in range(seed, seed + draws):
        params = promises.check_draws(subject, data, number)
        out = promises.check_replay(subject, data, params, number)
        promises.check_result(subject, data, out)
        promises.check_batch(subject, data, params, out, atol=0.0 if exact_batch else 1e-4)
        promises.check_half(subject, data, params, out)
        promises.check_autocast(subject, data, params, out, number)
        promises.check_single_frame(subject, data, number)
        if differentiable:
            promises.check_gradient(subject, data, params)
        if no_wait:
            promises.check_no_wait(subject, data, params)
        promises.check_empty_batch(subject, data, number)
        check_labels(subject, data, params, exact_mask=exact_mask)
        active |= bool(difference(data, out))
    subject.require(
        active, f"does nothing in {draws} draws, so that nothing is checked: give a larger p, or more draws"
    )


@runtime_checkable
class _Layout(Protocol):
    """As :class:`mgst_data.datasets.Layout`, which is not imported for its name only."""

    def recognises(self, root: Path) -> bool: ...

    def scan(self, root: Path) -> Any: ...


def check_layout(layout: _Layout, root: Path) -> None:
    """Checks that a layout reads a data set as ours do. The data set should be sound: what it names is there.

    It recognises the data set, but not a folder without anything; two scans are equal; every video and mask is a file;
    videos are named relative to the root; real videos, and no others, have the method "real", and no source. (That
    keys are unique, and splits and labels known, scans and records see to themselves.)

    Raises:
        AssertionError: saying what is wrong, with the first record that it is wrong with.
    """
    import tempfile

    from mgst_data.datasets import Scan

    subject = promises.Subject(layout)
    subject.require(layout.recognises(root) is True, f"does not recognise {root}")
    with tempfile.TemporaryDirectory() as empty:
        subject.require(layout.recognises(Path(empty)) is False, "recognises an empty folder")
    scan = subject.of(Scan, layout.scan(root), "scan gives")
    subject.require(len(scan.records), "finds no video")
    subject.require(layout.scan(root) == scan, "a second scan finds other records, another order or other notes")
    for record in scan.records:
        for path in filter(None, (record.path, record.mask_path)):
            subject.require(
                is_url(path) or Path(path).is_absolute(), f"{record.key}: {path} is no absolute path or URL"
            )
            subject.require(is_url(path) or Path(path).is_file(), f"{record.key}: {path} is no file")
        relative = not Path(record.video).is_absolute() and ".." not in Path(record.video).parts
        subject.require(relative, f"{record.key}: video is relative to the root, not {record.video}")
        same = (record.label == 0) == (record.method == "real")
        subject.require(same, f"{record.key}: label {record.label} and method {record.method!r}; real is 'real'")
        subject.require(record.label or not record.source_key, f"{record.key}: a real video with a source_key")


def check_detector(
    detector: Callable[[Tensor], Detections], frames: UInt8[Tensor, "f 3 h w"], *, atol: float = 0.05
) -> None:
    """Checks that a face detector gives what tracking needs.

    Flat columns on the CPU: frames in range and ascending, within a frame by falling score; scores in [0, 1]; boxes
    with an area, some of it in the frame; nothing that is not finite. Each frame gives the same alone as in the batch,
    the frames stay as they are, frames without a face work, and so does an empty batch.

    Args:
        detector: Whatever is called with frames.
        frames: In which it finds faces; several, better with different numbers of them.
        atol: Pixels that boxes and points, and ten thousandths that scores may differ by between batches.

    Raises:
        AssertionError: saying what is wrong.
    """
    subject = promises.Subject(detector)
    before = frames.clone()
    found = subject.of(Detections, detector(frames), "gives")
    subject.require(torch.equal(frames, before), "modifies the frames")
    _check_faces(subject, found, frames)
    subject.require(len(found), "finds no face in these frames, so that nothing is checked")
    for i in range(len(frames)):
        alone, within = detector(frames[i : i + 1]), found[found.frame == i]
        subject.require(len(alone) == len(within), f"frame {i}: {len(within)} faces in the batch, {len(alone)} alone")
        for name, limit in (("boxes", atol), ("points", atol), ("scores", atol * 1e-2)):
            far = float((getattr(alone, name) - getattr(within, name)).abs().max()) if len(alone) else 0.0
            subject.require(far <= limit, f"frame {i}: {name} alone and in the batch are {far:.2g} apart")
    black, none = torch.zeros_like(frames[:2]), frames[:0]
    _check_faces(subject, detector(black), black)
    try:
        nothing = subject.of(Detections, detector(none), "gives")
    except promises.FAILURES as error:
        raise AssertionError(f"{detector!r}: an empty batch does not work: {type(error).__name__}: {error}") from error
    subject.require(len(nothing) == 0, f"finds {len(nothing)} faces in an empty batch")
    _check_faces(subject, nothing, none)


def _check_faces(subject: promises.Subject, found: Detections, frames: UInt8[Tensor, "f 3 h w"]) -> None:
    """What holds for all detections in a batch of frames."""
    n, (h, w) = len(found), frames.shape[-2:]
    columns = {"frame": (n,), "boxes": (n, 4), "scores": (n,), "points": (n, 5, 2)}
    for name, shape in columns.items():
        value = getattr(found, name)
        kind = torch.int64 if name == "frame" else torch.float32
        given = f"{value.dtype} {tuple(value.shape)} on {value.device.type}"
        subject.require(given == f"{kind} {shape} on cpu", f"{name} is {kind} {shape} on cpu, not {given}")
        subject.require(value.isfinite().all(), f"{name} is not finite")
    if not n:
        return
    subject.require(found.frame.min() >= 0 and found.frame.max() < len(frames), "frame is beyond the batch")
    step, fall = found.frame.diff(), found.scores.diff()
    subject.require((step >= 0).all(), "frame is not ascending")
    subject.require((fall[step == 0] <= 0).all(), "scores do not fall within a frame")
    subject.require(found.scores.min() >= 0 and found.scores.max() <= 1, "scores are not in [0, 1]")
    subject.require((found.boxes[:, 2:] > found.boxes[:, :2]).all(), "boxes are x0, y0, x1, y1: one has no area")
    inside = found.boxes.clamp(torch.zeros(4), torch.tensor((w, h, w, h)))
    subject.require((inside[:, 2:] > inside[:, :2]).all(), "a box lies outside its frame")
