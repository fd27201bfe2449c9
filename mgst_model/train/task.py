"""The detection task: makes examples with labels at every grain from segments, and computes the losses."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mgst_data.augment import FaceCrop, SegmentSequential, SelfBlend, label_preserving, temporal_fakes
from mgst_data.augment.base import rows_of
from mgst_data.core import REAL, RealFakePair, Segment, check_generator, labels
from mgst_model import losses
from mgst_model.losses import Average, identity
from mgst_model.networks.network_config import NetworkConfig
from mgst_model.networks.output import SegmentOutput
from mgst_model.train.experiment import NONE, AugmentConfig, DataConfig, LossConfig

D = TypeVar("D", Segment, RealFakePair)


@runtime_checkable
class TaskExamples(Protocol):
    """Input of the network and labels for the trainer: n segments. Every task has its own class of examples."""

    @property
    def frames(self) -> Float[Tensor, "n t 3 h w"]:
        """RGB in [0, 1]."""

    @property
    def label(self) -> Float[Tensor, " n"]:
        """0 real, 1 fake."""

    @property
    def valid(self) -> Bool[Tensor, "n t"]:
        """False for frames without a face. Segments without any face are ignored in the validation."""

    def __len__(self) -> int:
        """Number of segments, n."""


@runtime_checkable
class Task(Protocol):
    """The methods of a task that :class:`~mgst_model.train.Trainer` uses. :class:`DetectionTask` has them.

    The trainer passes the examples of a task back to it unchanged. If a task is a :class:`torch.nn.Module`, its state
    is saved with the training, and it is moved to the device of the training.
    """

    def examples(
        self,
        segment: Segment,
        generator: torch.Generator,
        *,
        has_mask: Bool[Tensor, " b"] | None = None,
        label: Int[Tensor, " b"] | None = None,
    ) -> TaskExamples:
        """Makes training examples from a batch.

        Args:
            segment: Segments of the batch.
            generator: Source of all random numbers, on the CPU.
            has_mask: True for fakes with a known mask, on the CPU; None if no mask is known.
            label: Label of each segment, on the CPU: the values of ``segment.label``, which need not be read from the
                device then. None if they are not known.
        """

    def test_examples(
        self,
        segment: Segment,
        generator: torch.Generator,
        *,
        has_mask: Bool[Tensor, " b"] | None = None,
        label: Int[Tensor, " b"] | None = None,
    ) -> TaskExamples:
        """Makes validation examples from a batch.

        Args:
            segment: Segments of the batch.
            generator: Source of all random numbers, on the CPU.
            has_mask: True for fakes with a known mask, on the CPU; None if no mask is known.
            label: Label of each segment, on the CPU: the values of ``segment.label``, which need not be read from the
                device then. None if they are not known.
        """

    def losses(
        self, output: SegmentOutput, examples: Any, *, epoch: float = math.inf, average: Average = identity
    ) -> dict[str, Tensor]:
        """Computes scalars by name; the training minimises "total".

        Args:
            output: Output of the network for the examples.
            examples: The examples.
            epoch: Number of trained epochs, with the fraction of the current one; infinite in a validation.
            average: Mean of a count over all processes. Sums are divided by it, so that several processes have the same
                loss as one process with the whole batch.
        """

    def update(self, output: SegmentOutput, examples: Any, *, average: Average = identity) -> None:
        """Updates state that is not a weight, such as a running mean. It is called before the losses of every batch.

        Args:
            output: Output of the network for the examples.
            examples: The examples.
            average: Mean of a count over all processes.
        """


@dataclass(frozen=True, slots=True)
class Examples:
    """Input of the network and its labels: n segments. The first ``pairs`` of them are paired real segments.

    Attributes:
        frames: RGB in [0, 1].
        label: 0 real, 1 fake.
        frame_label: 0 real, 1 fake, per frame. Some frames of a fake may be real.
        severity: Share of the face that is manipulated, [0, 1]; 1 for fake frames without a known mask.
        valid: False for frames without a face.
        boundary: Blending boundary, [0, 1].
        patch_target: True for patches that change inconsistently from one frame to the next; s = t - 1.
        patch_known: False for patches that are left out: of frames without a face, and of fake frames without a known
            mask.
        pairs: Number of real-fake pairs. Their real segments come first, then their pseudo-fakes in the same order.
    """

    frames: Float[Tensor, "n t 3 h w"]
    label: Float[Tensor, " n"]
    frame_label: Float[Tensor, "n t"]
    severity: Float[Tensor, "n t"]
    valid: Bool[Tensor, "n t"]
    boundary: Float[Tensor, "n t 1 h w"]
    patch_target: Bool[Tensor, "n s g g"]
    patch_known: Bool[Tensor, "n s 1 1"]
    pairs: int

    def __len__(self) -> int:
        return len(self.label)


class DetectionTask(nn.Module):
    """Makes pseudo-fakes and computes the losses. It owns no network, no optimizer and no device.

    Its state is the prototype of real frames.

    Args:
        data: Options of the data: which fakes are used, and the number of frames.
        augment: Options of the augmentation.
        loss: Weights and constants of the losses. Losses whose network output is None are skipped.
        network: Options of the network, for the length of embeddings.
    """

    def __init__(
        self,
        data: DataConfig,
        augment: AugmentConfig | None = None,
        loss: LossConfig | None = None,
        network: NetworkConfig | None = None,
    ) -> None:
        super().__init__()
        augment, network = augment or AugmentConfig(), network or NetworkConfig()
        self.data, self.augment, self.loss = data, augment, loss or LossConfig()
        self.blend = SelfBlend.preset(augment.blend_preset)
        if augment.donor_p is not None:
            self.blend = replace(self.blend, donor=replace(self.blend.donor, p=augment.donor_p))
        self.temporal = temporal_fakes(p=augment.temporal_p) if augment.temporal_p and data.frames > 1 else None
        self.preserve = label_preserving(augment.recipe) if augment.recipe != NONE else None
        self.crop: FaceCrop | None = None
        self.test_crop: FaceCrop | None = None
        if data.face_margin is not None:
            self.crop = FaceCrop(size=data.size, margin_range=augment.face_margin_range)
            self.test_crop = FaceCrop(size=data.size, margin_range=(data.face_margin, data.face_margin))
        self.prototype = losses.Prototype(network.embedding_dim)

    @torch.no_grad()
    def examples(
        self,
        segment: Segment,
        generator: torch.Generator,
        *,
        has_mask: Bool[Tensor, " b"] | None = None,
        label: Int[Tensor, " b"] | None = None,
    ) -> Examples:
        """Makes pseudo-fakes from the real segments, and augments all segments.

        Args:
            segment: Real segments, and fakes if the training uses them.
            generator: Generator on the CPU.
            has_mask: True for fakes with a known mask, on the CPU; None if no mask is known.
            label: Label of each segment, on the CPU. None to read ``segment.label``, for which the CPU waits until the
                device has done all earlier work.

        Raises:
            TypeError: if ``generator`` is not a generator on the CPU.
        """
        return self._make(segment, generator, has_mask, label, augmented=True)

    @torch.no_grad()
    def test_examples(
        self,
        segment: Segment,
        generator: torch.Generator,
        *,
        has_mask: Bool[Tensor, " b"] | None = None,
        label: Int[Tensor, " b"] | None = None,
    ) -> Examples:
        """Makes validation examples: as in :meth:`examples`, without the label-preserving augmentations.

        Args:
            segment: Real segments, and fakes if the training uses them.
            generator: Generator on the CPU.
            has_mask: True for fakes with a known mask, on the CPU; None if no mask is known.
            label: Label of each segment, on the CPU. None to read ``segment.label``, for which the CPU waits until the
                device has done all earlier work.

        Raises:
            TypeError: if ``generator`` is not a generator on the CPU.
        """
        return self._make(segment, generator, has_mask, label, augmented=False)

    def losses(
        self, output: SegmentOutput, examples: Examples, *, epoch: float = math.inf, average: Average = identity
    ) -> dict[str, Tensor]:
        """Computes every part of the loss, unweighted, and their weighted sum as "total".

        Args:
            output: Output of the network for the examples.
            examples: The examples.
            epoch: Number of trained epochs. The weights of the patch and frame losses rise over the first
                ``ramp_epochs``.
            average: Mean of a count over all processes.
        """
        weights = examples.valid.any(dim=1).float()
        ramp = min(1.0, epoch / self.loss.ramp_epochs) if self.loss.ramp_epochs else 1.0
        parts = {"segment": losses.segment_loss(output.logit, examples.label, weight=weights, average=average)}
        total = parts["segment"]
        if output.patch_logits is not None and self.loss.patch_weight:
            parts["patch"] = self._patch_loss(output.patch_logits, examples, average)
            total = total + ramp * self.loss.patch_weight * parts["patch"]
        if output.embedding is not None and self.loss.frame_weight:
            parts["frame"] = self._frame_loss(output.embedding, examples, average)
            total = total + ramp * self.loss.frame_weight * parts["frame"]
        return {"total": total, **parts}

    def update(self, output: SegmentOutput, examples: Examples, *, average: Average = identity) -> None:
        """Updates the prototype of real frames, before the losses, which need it from the first step on.

        Args:
            output: Output of the network for the examples.
            examples: The examples.
            average: Mean of a count over all processes.
        """
        if output.embedding is not None and self.loss.frame_weight:
            real = (examples.frame_label == REAL) & examples.valid
            self.prototype.update(output.embedding.detach(), real, average)

    def _make(
        self,
        segment: Segment,
        generator: torch.Generator,
        has_mask: Bool[Tensor, " b"] | None,
        label: Int[Tensor, " b"] | None,
        *,
        augmented: bool,
    ) -> Examples:
        check_generator(generator)
        if self.augment.blend_at == "input" and self.crop is not None:
            segment = self._crop_of(augmented=augmented)(segment, generator=generator)
        blended = torch.zeros(len(segment), dtype=torch.bool)
        if self.data.fakes != "videos":
            blended = (segment.label.cpu() if label is None else label) == REAL
        sources, others = rows_of(blended), rows_of(~blended)
        parts = []
        if len(sources) or not len(others):
            parts.append(self._pairs(_rows(segment, sources), generator, augmented=augmented))
        if len(others):
            known = torch.zeros_like(blended) if has_mask is None else has_mask.cpu()
            rest = self._finished(_rows(segment, others), generator, augmented=augmented)
            parts.append(_of_videos(rest, known[others].to(segment.frames.device, non_blocking=True)))
        return _joined(parts)

    def _pairs(self, real: Segment, generator: torch.Generator, *, augmented: bool) -> Examples:
        pair = self._finished(self.blend(real, generator=generator), generator, augmented=augmented)
        both = pair.both()
        fake = pair.fake
        target = losses.patch_targets(
            fake.frames, pair.real.frames, fake.patch_label, fake.landmarks, threshold=self.loss.change_threshold
        )
        return _examples(
            both,
            severity=torch.cat((torch.zeros_like(pair.severity), pair.severity)),
            target=torch.cat((torch.zeros_like(target), target)),
            known=torch.ones_like(both.valid[:, 1:]),
            pairs=len(pair),
        )

    def _finished(self, data: D, generator: torch.Generator, *, augmented: bool) -> D:
        """Applies what follows the blend: the recipe, the crop after a native blend, and temporal inconsistencies.

        Blends and videos have one order of recipe and crop. Otherwise, their compression would differ.
        """
        segment = data.fake if isinstance(data, RealFakePair) else data
        recipe = self.preserve if augmented else None
        crop = self._crop_of(augmented=augmented) if self.augment.blend_at == "native" else None
        steps: list[SegmentSequential | FaceCrop | None] = [recipe, crop]
        if self.temporal is not None and segment.frames.shape[1] > 1:
            # They replace patches of the input of the network, so the frames need its size. The recipe is last.
            steps = [crop, self.temporal if isinstance(data, RealFakePair) else None, recipe]
        for step in steps:
            if step is not None:
                data = cast("D", step(data, generator=generator))
        return data

    def _crop_of(self, *, augmented: bool) -> FaceCrop:
        return cast("FaceCrop", self.crop if augmented else self.test_crop)

    def _patch_loss(self, logits: Tensor, examples: Examples, average: Average) -> Tensor:
        if self.loss.patch_target == "boundary":
            return losses.boundary_regression_loss(logits, examples.boundary, examples.patch_known, average=average)
        return losses.patch_loss(
            logits, examples.patch_target, examples.patch_known, gamma=self.loss.focal_gamma, average=average
        )

    def _frame_loss(self, embedding: Tensor, examples: Examples, average: Average) -> Tensor:
        centre, margin = self.prototype.centre, self.loss.frame_margin
        if self.loss.single_centre:
            return losses.single_centre_loss(
                embedding, centre, examples.frame_label, examples.valid, margin=margin, average=average
            )
        distance = losses.frame_distance(embedding, centre)
        loss = losses.frame_loss(
            distance, examples.frame_label, examples.severity, examples.valid, margin=margin, average=average
        )
        if self.loss.paired_weight:
            real, fake = slice(0, examples.pairs), slice(examples.pairs, 2 * examples.pairs)
            loss = loss + self.loss.paired_weight * losses.paired_margin_loss(
                distance[real],
                distance[fake],
                examples.severity[fake],
                examples.valid[fake],
                margin=margin,
                average=average,
            )
        return loss


def _rows(segment: Segment, rows: Int[Tensor, " n"]) -> Segment:
    """Returns some segments of a batch, in ascending order, without waiting for the device. ``rows`` is on the CPU."""
    return segment if len(rows) == len(segment) else segment[rows.to(segment.frames.device, non_blocking=True)]


def _of_videos(segment: Segment, has_mask: Bool[Tensor, " b"]) -> Examples:
    """Returns examples of unchanged segments. In a fake with a known mask, all manipulated patches are inconsistent.

    Without a mask, only patches of real frames are known.
    """
    real = segment.frame_label == REAL
    share = labels.severity(segment.mask, segment.landmarks)
    manipulated = labels.binary_patches(segment.patch_label)
    return _examples(
        segment,
        severity=torch.where(has_mask[:, None], share, segment.frame_label.to(share.dtype)),
        target=manipulated[:, 1:] | manipulated[:, :-1],
        known=(real[:, 1:] & real[:, :-1]) | has_mask[:, None],
        pairs=0,
    )


def _examples(segment: Segment, *, severity: Tensor, target: Tensor, known: Tensor, pairs: int) -> Examples:
    valid = segment.valid
    return Examples(
        frames=segment.frames,
        label=segment.label,
        frame_label=segment.frame_label,
        severity=severity,
        valid=valid,
        boundary=labels.boundary(segment.mask),
        patch_target=target,
        patch_known=(valid[:, 1:] & valid[:, :-1] & known)[:, :, None, None],
        pairs=pairs,
    )


def _joined(parts: list[Examples]) -> Examples:
    if len(parts) == 1:
        return parts[0]
    columns = [name for name in Examples.__slots__ if name != "pairs"]
    return Examples(
        **{name: torch.cat([getattr(part, name) for part in parts]) for name in columns},
        pairs=sum(part.pairs for part in parts),
    )
