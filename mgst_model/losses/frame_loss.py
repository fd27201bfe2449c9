"""The distance-based frame-level loss: real frames gather around a prototype, fake frames keep away from it."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from mgst_model.losses.average import Average, identity, share_of_mean


def frame_distance(embedding: Float[Tensor, "b t e"], prototype: Float[Tensor, " e"]) -> Float[Tensor, "b t"]:
    """1 - cos of the angle between embedding and prototype, [0, 2], float32; 1 while the prototype is 0."""
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
    """Mean of d over real frames, plus the mean of max(0, m w(s) - d) over fake frames, w(s) = min(1, s / s_full).

    A frame that is hardly manipulated need not be far from real ones. Ours.

    Args:
        distance: d, from the prototype of real frames; see :func:`frame_distance`.
        frame_label: 0 for real frames, also for those of a fake that its gate left alone; fake above.
        severity: s, the share of the face that is manipulated, [0, 1]; 1 for fakes whose mask is not known.
        valid: False leaves a frame out: those without a face.
        margin: m, the distance that fake frames are kept at.
        full_severity: s_full, the severity from which on the whole margin is asked for; > 0.
        average: The mean of a count over all processes; see :mod:`mgst_model.losses.average`.
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
    """Mean of max(0, m w(s) + d_real - d_fake) over the manipulated frames of pseudo-fakes and their twins.

    Twins share everything but the forgery, so what is learnt from them is the forgery. Ours.

    Args:
        real_distance: Of the real twins, from the prototype of real frames.
        fake_distance: Of the pseudo-fakes, frame by frame.
        severity: s, the share of the face that is manipulated, [0, 1]; frames of severity 0 are left out.
        valid: False leaves a frame out: those without a face.
        margin: m, by which a fake frame is to be further away than its twin.
        full_severity: The severity from which on w(s) is 1, as in :func:`frame_loss`; > 0.
        average: The mean of a count over all processes; see :mod:`mgst_model.losses.average`.
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
    """M_real + max(0, M_real - M_fake + m sqrt(D)), M the mean euclidean distance of such frames from the centre.

    Li et al., "Frequency-aware Discriminative Feature Learning Supervised by Single-Center Loss for Face Forgery
    Detection" (CVPR 2021), with their margin. Where one class is missing the second term is 0.

    Args:
        embedding: D numbers per frame.
        centre: Of real frames.
        frame_label: 0 for real frames, fake above.
        valid: False leaves a frame out: those without a face.
        margin: m.
        unit_length: Embeddings of length 1 have entries smaller by sqrt(D) than those the formula is made for, and no
            two of them are further apart than 2: the margin is m then, not m sqrt(D).
        average: The mean of a count over all processes; see :mod:`mgst_model.losses.average`. The second term is on or
            off for all of them together.
    """
    distance = torch.linalg.vector_norm(embedding.float().where(valid[..., None], 0) - centre.float(), dim=-1)
    fake = (frame_label > 0) & valid
    real = (frame_label <= 0) & valid
    totals = torch.stack((distance.where(real, 0).sum(), distance.where(fake, 0).sum()))
    counts = average(torch.stack((real.sum(), fake.sum())).float())
    of_real, of_fake = share_of_mean(totals, counts).unbind()
    short = of_real - of_fake + margin * (1 if unit_length else math.sqrt(embedding.shape[-1]))
    # A maximum of means is no mean of maxima: whether it is positive is decided on the means over all processes.
    needed = (average(short.detach()) > 0) & (counts > 0).all()
    return of_real + short.where(needed, 0)


class Prototype(nn.Module):
    """The running mean of the embeddings of real frames, of length 1.

    Its state is the buffer ``centre``, which is 0 until the first update and travels in the state dict.

    Args:
        size: Numbers of an embedding.
        momentum: Share of the old centre in the new one, [0, 1).
    """

    centre: Tensor

    def __init__(self, size: int, *, momentum: float = 0.99) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum lies in [0, 1), not {momentum}")
        self.momentum = momentum
        self.register_buffer("centre", torch.zeros(size))

    @torch.no_grad()
    def update(self, embedding: Float[Tensor, "b t e"], real: Bool[Tensor, "b t"], average: Average = identity) -> None:
        """Moves the centre towards the mean embedding of the real frames of all processes.

        The first update takes that mean as it is; without a real frame in any process the centre stays. Nothing here
        waits for the device.

        Args:
            embedding: Of this process's frames.
            real: Which frames count: real ones with a face.
            average: The mean of a tensor over all processes, called once.
        """
        total = embedding.float().where(real[..., None], 0).sum(dim=(0, 1))
        shared = average(torch.cat((total, real.sum().float()[None])))
        mean, count = share_of_mean(shared[:-1], shared[-1]), shared[-1]
        old = self.centre.float()
        new = torch.where(old.any(), old.lerp(mean, 1 - self.momentum), mean)
        self.centre.copy_(torch.where(count > 0, functional.normalize(new, dim=0), old))


def _weight(severity: Tensor, full_severity: float) -> Tensor:
    return (severity.float() / full_severity).clamp(0, 1)
