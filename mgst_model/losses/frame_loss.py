"""Distance-based losses of frames: real frames near a prototype, fake frames at a distance from it."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from mgst_model.losses.average import Average, identity, share_of_mean


def frame_distance(embedding: Float[Tensor, "b t e"], prototype: Float[Tensor, " e"]) -> Float[Tensor, "b t"]:
    """Returns 1 - cos of the angle between embedding and prototype, in [0, 2], as float32.

    The distance is 1 while the prototype is 0.

    Args:
        embedding: Embeddings of frames.
        prototype: Prototype of real frames.
    """
    return 1 - functional.cosine_similarity(embedding.float(), prototype.float(), dim=-1)


def frame_loss(
    distance: Float[Tensor, "b t"],
    frame_label: Float[Tensor, "b t"],
    severity: Float[Tensor, "b t"],
    valid: Bool[Tensor, "b t"],
    *,
    margin: float = 0.5,
    full_severity: float = 0.2,
    average: Average = identity,
) -> Float[Tensor, ""]:
    """Returns the mean of d over real frames plus the mean of max(0, m w(s) - d) over fake frames.

    w(s) = min(1, s / s_full) is our own addition: a frame with little manipulation need not be far from real frames.

    Args:
        distance: d, the distance from the prototype of real frames; see :func:`frame_distance`.
        frame_label: 0 for real frames, including the frames of a fake that are outside its frame mask; above 0 for fake
            frames.
        severity: s, the share of the face that is manipulated, [0, 1]; 1 for fakes without a known mask.
        valid: False for frames without a face, which are left out.
        margin: m, the distance at which fake frames have no loss.
        full_severity: s_full, the severity from which on the whole margin applies; above 0.
        average: Mean of a count over all processes; see :mod:`mgst_model.losses.average`.
    """
    fake = (frame_label > 0) & valid
    real = (frame_label <= 0) & valid
    distance = distance.float().where(valid, 0)
    short = (margin * _weight(severity, full_severity) - distance).relu()
    totals = torch.stack((distance.where(real, 0).sum(), short.where(fake, 0).sum()))
    counts = average(torch.stack((real.sum(), fake.sum())).float())
    return share_of_mean(totals, counts).sum()


def paired_margin_loss(
    real_distance: Float[Tensor, "b t"],
    fake_distance: Float[Tensor, "b t"],
    severity: Float[Tensor, "b t"],
    valid: Bool[Tensor, "b t"],
    *,
    margin: float = 0.5,
    full_severity: float = 0.2,
    average: Average = identity,
) -> Float[Tensor, ""]:
    """Returns the mean of max(0, m w(s) + d_real - d_fake) over the manipulated frames of real-fake pairs.

    Both segments of a pair differ only in the manipulation, so the loss depends only on it. This loss is our own design
    for pseudo-fakes.

    Args:
        real_distance: Distances of the paired real segments from the prototype of real frames.
        fake_distance: Distances of the pseudo-fakes, frame by frame.
        severity: s, the share of the face that is manipulated, [0, 1]. Frames of severity 0 are left out.
        valid: False for frames without a face, which are left out.
        margin: m, by which a fake frame must be further away than its paired real frame.
        full_severity: Severity from which on w(s) is 1, as in :func:`frame_loss`; above 0.
        average: Mean of a count over all processes; see :mod:`mgst_model.losses.average`.
    """
    known = valid & (severity > 0)
    apart = fake_distance.float().where(known, 0) - real_distance.float().where(known, 0)
    short = (margin * _weight(severity, full_severity) - apart).relu().where(known, 0)
    return share_of_mean(short.sum(), average(known.sum().float()))


def single_centre_loss(
    embedding: Float[Tensor, "b t e"],
    centre: Float[Tensor, " e"],
    frame_label: Float[Tensor, "b t"],
    valid: Bool[Tensor, "b t"],
    *,
    margin: float = 0.3,
    unit_length: bool = True,
    average: Average = identity,
) -> Float[Tensor, ""]:
    """Returns M_real + max(0, M_real - M_fake + m sqrt(D)).

    M is the mean Euclidean distance of the real or the fake frames from the centre. The loss and the margin are those
    of Li et al., "Frequency-aware Discriminative Feature Learning Supervised by Single-Center Loss for Face Forgery
    Detection" (CVPR 2021). If one class is missing, the second term is 0.

    Args:
        embedding: Embeddings of frames, with D channels.
        centre: Centre of real frames.
        frame_label: 0 for real frames, above 0 for fake frames.
        valid: False for frames without a face, which are left out.
        margin: m.
        unit_length: Whether embeddings have length 1. The margin is then m instead of m sqrt(D), because entries are
            smaller by sqrt(D) than the formula expects, and no distance exceeds 2.
        average: Mean of a count over all processes; see :mod:`mgst_model.losses.average`. The second term is on or off
            for all processes together.
    """
    distance = torch.linalg.vector_norm(embedding.float().where(valid[..., None], 0) - centre.float(), dim=-1)
    fake = (frame_label > 0) & valid
    real = (frame_label <= 0) & valid
    totals = torch.stack((distance.where(real, 0).sum(), distance.where(fake, 0).sum()))
    counts = average(torch.stack((real.sum(), fake.sum())).float())
    of_real, of_fake = share_of_mean(totals, counts).unbind()
    short = of_real - of_fake + margin * (1 if unit_length else math.sqrt(embedding.shape[-1]))
    # The mean over processes of a maximum differs from the maximum of the mean. All processes use the sign of the mean.
    needed = (average(short.detach()) > 0) & (counts > 0).all()
    return of_real + short.where(needed, 0)


class Prototype(nn.Module):
    """The running mean of the embeddings of real frames, of length 1.

    Its state is the buffer ``centre``, which is part of the state dict. It is 0 until the first update.

    Args:
        size: Number of channels of an embedding.
        momentum: Share of the old centre in the new one, [0, 1).

    Raises:
        ValueError: if ``momentum`` is outside [0, 1).
    """

    centre: Tensor

    def __init__(self, size: int, *, momentum: float = 0.99) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), got {momentum}")
        self.momentum = momentum
        self.register_buffer("centre", torch.zeros(size))

    @torch.no_grad()
    def update(self, embedding: Float[Tensor, "b t e"], real: Bool[Tensor, "b t"], average: Average = identity) -> None:
        """Moves the centre towards the mean embedding of the real frames of all processes.

        The first update takes that mean as the centre. If no process has a real frame, the centre stays. The update
        does not synchronise with the device.

        Args:
            embedding: Embeddings of the frames of this process.
            real: True for the frames that count: real frames with a face.
            average: Mean of a tensor over all processes, called once.
        """
        total = embedding.float().where(real[..., None], 0).sum(dim=(0, 1))
        shared = average(torch.cat((total, real.sum().float()[None])))
        mean, count = share_of_mean(shared[:-1], shared[-1]), shared[-1]
        old = self.centre.float()
        new = torch.where(old.any(), old.lerp(mean, 1 - self.momentum), mean)
        self.centre.copy_(torch.where(count > 0, functional.normalize(new, dim=0), old))


def _weight(severity: Tensor, full_severity: float) -> Tensor:
    return (severity.float() / full_severity).clamp(0, 1)
