"""What is learnt: segments become twins with labels at every grain, outputs become losses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mgst_data.augment import Donor, SelfBlend, label_preserving, temporal_fakes
from mgst_data.core import FAKE, REAL, RealFakePair, Segment, check_generator, labels
from mgst_model import losses
from mgst_model.losses import Average, identity
from mgst_model.networks.config import NetworkConfig
from mgst_model.networks.output import SegmentOutput
from mgst_model.train.config import NONE, AugmentConfig, DataConfig, LossConfig


@dataclass(frozen=True, slots=True)
class Examples:
    """What a network is shown, and what it should say: n segments, of which the first ``pairs`` are real twins.

    Attributes:
        frames: RGB in [0, 1].
        label: 0 real, 1 fake.
        frame_label: The same for frames; of a fake, some may be real.
        severity: Share of the face that is manipulated, [0, 1]; 1 for fakes whose mask is not known.
        valid: False where a frame has no face.
        boundary: Where both faces are mixed, [0, 1].
        patch_target: Patches that change as forgeries do, from one frame to the next; s = t - 1.
        patch_known: False for patches that are left out: of frames without a face, of fakes without masks.
        pairs: Real twins; their fakes follow in the same order.
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
    """Makes its own fakes, and judges what a network says of them. Owns no network, no optimizer and no device.

    Its state is the prototype of real frames.

    Args:
        data: Which fakes are learnt, and the size of frames.
        augment: What is done to segments.
        loss: Weights and constants.
        network: Tells the length of embeddings.
    """

    def __init__(self, data: DataConfig, augment: AugmentConfig, loss: LossConfig, network: NetworkConfig) -> None:
        super().__init__()
        self.data, self.augment, self.loss = data, augment, loss
        self.blend = replace(SelfBlend.preset(augment.blend), donor=Donor(p=augment.donor))
        self.temporal = temporal_fakes(p=augment.temporal) if augment.temporal and data.frames > 1 else None
        self.preserve = label_preserving(augment.recipe) if augment.recipe != NONE else None
        self.prototype = losses.Prototype(network.embedding)

    @torch.no_grad()
    def examples(
        self, segment: Segment, generator: torch.Generator, *, has_mask: Bool[Tensor, " b"] | None = None
    ) -> Examples:
        """Makes fakes of the real segments, and augments all of them.

        Args:
            segment: Real ones, and fakes where those are learnt.
            generator: On the CPU.
            has_mask: Fakes whose mask is known; on the CPU. None: no mask is.

        Raises:
            TypeError: for what is no generator on the CPU.
        """
        return self._make(segment, generator, has_mask, augmented=True)

    @torch.no_grad()
    def test_examples(
        self, segment: Segment, generator: torch.Generator, *, has_mask: Bool[Tensor, " b"] | None = None
    ) -> Examples:
        """The same without the label-preserving augmentations: to validate with."""
        return self._make(segment, generator, has_mask, augmented=False)

    def losses(
        self, output: SegmentOutput, examples: Examples, *, ramp: float = 1.0, average: Average = identity
    ) -> dict[str, Tensor]:
        """Every part of the loss, unweighted but for ``ramp``, and their weighted sum under "total".

        Args:
            output: What the network said of the examples.
            examples: What it was shown.
            ramp: Factor on the weights of patch and frame loss, [0, 1].
            average: The mean of a count over all processes.
        """
        weights = examples.valid.any(dim=1).float()
        parts = {"segment": losses.segment_loss(output.logit, examples.label, weight=weights, average=average)}
        total = parts["segment"]
        if output.patch_logits is not None and self.loss.patch:
            parts["patch"] = self._patch_loss(output.patch_logits, examples, average)
            total = total + ramp * self.loss.patch * parts["patch"]
        if output.embedding is not None and self.loss.frame:
            parts["frame"] = self._frame_loss(output.embedding, examples, average)
            total = total + ramp * self.loss.frame * parts["frame"]
        return {"total": total, **parts}

    def update(self, output: SegmentOutput, examples: Examples, *, average: Average = identity) -> None:
        """Moves the prototype of real frames; before the losses of the first step, which need one."""
        if output.embedding is not None and self.loss.frame:
            real = (examples.frame_label == REAL) & examples.valid
            self.prototype.update(output.embedding.detach(), real, average)

    def _make(
        self, segment: Segment, generator: torch.Generator, has_mask: Bool[Tensor, " b"] | None, *, augmented: bool
    ) -> Examples:
        check_generator(generator)
        blended = (segment.label == REAL) if self.data.fakes != "videos" else torch.zeros_like(segment.valid[:, 0])
        twins, others = blended.nonzero()[:, 0], (~blended).nonzero()[:, 0]
        parts = []
        if len(twins) or not len(others):
            parts.append(self._twins(segment[twins], generator, augmented=augmented))
        if len(others):
            known = torch.zeros_like(blended) if has_mask is None else has_mask.to(others.device)
            rest = segment[others]
            if augmented and self.preserve is not None:
                rest = cast("Segment", self.preserve(rest, generator=generator))
            parts.append(_of_videos(rest, known[others]))
        return _joined(parts)

    def _twins(self, real: Segment, generator: torch.Generator, *, augmented: bool) -> Examples:
        pair = self.blend(real, generator=generator)
        if self.temporal is not None:
            pair = cast("RealFakePair", self.temporal(pair, generator=generator))
        if augmented and self.preserve is not None:
            pair = cast("RealFakePair", self.preserve(pair, generator=generator))
        both = pair.both()
        fake = pair.fake
        target = losses.patch_targets(
            fake.frames, pair.real.frames, fake.patch_label, fake.landmarks, threshold=self.loss.change
        )
        return _examples(
            both,
            severity=torch.cat((torch.zeros_like(pair.severity), pair.severity)),
            target=torch.cat((torch.zeros_like(target), target)),
            known=torch.ones_like(both.label, dtype=torch.bool),
            pairs=len(pair),
        )

    def _patch_loss(self, logits: Tensor, examples: Examples, average: Average) -> Tensor:
        if self.loss.patch_target == "boundary":
            return losses.boundary_regression_loss(logits, examples.boundary, examples.patch_known, average=average)
        return losses.patch_loss(
            logits, examples.patch_target, examples.patch_known, gamma=self.loss.gamma, average=average
        )

    def _frame_loss(self, embedding: Tensor, examples: Examples, average: Average) -> Tensor:
        centre, margin = self.prototype.centre, self.loss.margin
        if self.loss.single_centre:
            return losses.single_centre_loss(
                embedding, centre, examples.frame_label, examples.valid, margin=margin, average=average
            )
        distance = losses.frame_distance(embedding, centre)
        loss = losses.frame_loss(
            distance, examples.frame_label, examples.severity, examples.valid, margin=margin, average=average
        )
        if self.loss.paired:
            real, fake = slice(0, examples.pairs), slice(examples.pairs, 2 * examples.pairs)
            loss = loss + self.loss.paired * losses.paired_margin_loss(
                distance[real],
                distance[fake],
                examples.severity[fake],
                examples.valid[fake],
                margin=margin,
                average=average,
            )
        return loss


def _of_videos(segment: Segment, has_mask: Bool[Tensor, " b"]) -> Examples:
    """Segments as they are. Of a fake whose mask is known, every manipulated patch counts as inconsistent."""
    fake, known = segment.label == FAKE, (segment.label == REAL) | has_mask
    share = labels.severity(segment.mask, segment.landmarks)
    manipulated = labels.binary_patches(segment.patch_label)
    return _examples(
        segment,
        severity=torch.where(has_mask[:, None], share, fake[:, None].to(share.dtype).expand_as(share)),
        target=manipulated[:, 1:] | manipulated[:, :-1],
        known=known,
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
        patch_known=(valid[:, 1:] & valid[:, :-1] & known[:, None])[:, :, None, None],
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
