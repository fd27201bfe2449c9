"""The patch-level temporal loss: what of a forgery changes from one frame to the next, and where."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from mgst_data.core import labels
from mgst_model.losses.average import Average, identity, share_of_mean


def patch_loss(
    logits: Float[Tensor, "b s g g"],
    target: Float[Tensor, "b s g g"] | Bool[Tensor, "b s g g"],
    known: Bool[Tensor, "#b #s #g #g"],
    *,
    gamma: float = 2.0,
    average: Average = identity,
) -> Float[Tensor, ""]:
    """Balanced focal cross-entropy over patches.

    The focal loss is -(1 - q)^gamma log q, with q the probability of what is true [Lin et al., "Focal Loss for Dense
    Object Detection", ICCV 2017]. It is averaged over positive and over negative patches, of which there are many
    more, and the loss is the mean of both averages (ours, in place of the factor alpha). A class that a batch lacks
    adds 0: the other does not count twice for it.

    Args:
        logits: > 0 for patches that change as forgeries do; any float type, computed in float32.
        target: [0, 1]; a target between counts in both classes, by its share.
        known: False leaves a patch out: frames without a face, fakes whose mask is not known. Broadcasts.
        gamma: >= 0; 0 gives plain cross-entropy.
        average: The mean of a count over all processes; see :mod:`mgst_model.losses.average`.
    """
    known = known.expand_as(logits)
    # Masked on both sides of the logarithm, so that not even an infinite logit reaches the gradient.
    logits = logits.float().where(known, 0)
    target = target.float().where(known, 0)
    log_fake, log_real = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    positive, negative = target * known, (1 - target) * known
    # (1 - q)^gamma as a power of e: its slope is finite where 1 - q vanishes, for any gamma.
    of_positive = -(positive * (gamma * log_real).exp() * log_fake).sum()
    of_negative = -(negative * (gamma * log_fake).exp() * log_real).sum()
    counts = average(torch.stack((positive.sum(), negative.sum())))
    return share_of_mean(torch.stack((of_positive, of_negative)), counts).mean()


def temporal_targets(
    patch_mask: Bool[Tensor, "b t g g"], change: Float[Tensor, "b s g g"], *, threshold: float
) -> Bool[Tensor, "b s g g"]:
    """Patches that are manipulated in frame t or t - 1 and in which the forgery changes; s = t - 1. Ours.

    Args:
        patch_mask: Manipulated patches of every frame.
        change: How much the forgery itself changes, such as :func:`mgst_data.core.labels.residual_change`.
        threshold: What ``change`` has to exceed, in its unit.
    """
    return (patch_mask[:, 1:] | patch_mask[:, :-1]) & (change > threshold)


def patch_targets(
    fake_frames: Float[Tensor, "b t 3 h w"],
    real_frames: Float[Tensor, "b t 3 h w"],
    patch_label: Float[Tensor, "b t g g"],
    landmarks: Float[Tensor, "b t k 2"],
    *,
    threshold: float,
) -> Bool[Tensor, "b s g g"]:
    """The targets of pseudo-fakes, from their frames and those of their real twins; s = t - 1. Ours.

    Args:
        fake_frames: RGB in [0, 1].
        real_frames: The twins: the same where nothing is manipulated.
        patch_label: Share of every patch that is manipulated, [0, 1]; counts from 4 % on.
        landmarks: Pixels of the frames, 68 or 81 of them.
        threshold: Least change of the residual between fake and twin, in units of the pixel value [0, 1].
    """
    with torch.no_grad():
        change = labels.residual_change(fake_frames, real_frames, landmarks, patch_label.shape[-1])
        return temporal_targets(labels.binary_patches(patch_label), change, threshold=threshold)


def boundary_targets(
    boundary: Float[Tensor, "b t 1 h w"], known: Bool[Tensor, "#b #s #g #g"], grid: int
) -> Float[Tensor, "b s grid grid"]:
    """|B_t - B_t-1| as a mean over patches, with mean 0 and deviation 1 over the known patches of a segment; s = t - 1.

    A segment in which nothing changes, such as a real one, has targets of 0.

    Args:
        boundary: Where both faces are mixed, [0, 1]; see :func:`mgst_data.core.labels.boundary`.
        known: False leaves a patch out of mean and deviation. Broadcasts.
        grid: Patches per side.
    """
    change = labels.patches((boundary[:, 1:] - boundary[:, :-1]).abs().float(), grid)
    inside = known.expand_as(change).float()
    count = inside.sum(dim=(1, 2, 3), keepdim=True).clamp_min(1)
    centred = change - (change * inside).sum(dim=(1, 2, 3), keepdim=True) / count
    variance = (centred.square() * inside).sum(dim=(1, 2, 3), keepdim=True) / count
    # A deviation below a ten-thousandth of the range of values is rounding.
    return centred * variance.rsqrt().where(variance > 1e-8, 0)


def boundary_regression_loss(
    prediction: Float[Tensor, "b s g g"],
    boundary: Float[Tensor, "b t 1 h w"],
    known: Bool[Tensor, "#b #s #g #g"],
    *,
    average: Average = identity,
) -> Float[Tensor, ""]:
    """Mean squared error of a predicted map of how the blending boundary changes; an alternative to `patch_loss`.

    The idea, and that the map is standardised, are those of FakeSTormer [ICCV 2025]; the pooling to patches is ours.

    Args:
        prediction: Any float type, computed in float32.
        boundary: Where both faces are mixed, [0, 1]; see :func:`boundary_targets`.
        known: False leaves a patch out. Broadcasts.
        average: The mean of a count over all processes; see :mod:`mgst_model.losses.average`.
    """
    with torch.no_grad():
        target = boundary_targets(boundary, known, prediction.shape[-1])
    known = known.expand_as(prediction)
    error = (prediction.float().where(known, 0) - target.where(known, 0)).square()
    return share_of_mean(error.sum(), average(known.sum().float()))
