"""Patch-level temporal losses: where a manipulation changes from one frame to the next."""

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

    The focal loss is -(1 - q)^gamma log q, where q is the probability of the true class [Lin et al., "Focal Loss for
    Dense Object Detection", ICCV 2017]. It is averaged over positive and over negative patches separately, and the loss
    is the mean of both averages. This balance is our own replacement for the factor alpha, because negative patches are
    far more frequent. If a batch lacks a class, that class adds 0, and the weight of the other class does not increase.

    Args:
        logits: Above 0 for patches that change inconsistently; any float type. The loss is computed in float32.
        target: [0, 1]. A target between 0 and 1 counts in both classes, by its share.
        known: False for patches that are left out: of frames without a face, and of fakes without a known mask.
            Broadcasts.
        gamma: At least 0; 0 gives plain cross-entropy.
        average: Mean of a count over all processes; see :mod:`mgst_model.losses.average`.
    """
    known = known.expand_as(logits)
    # Masked before and after the logarithm, so that an infinite logit of an unknown patch does not reach the gradient.
    logits = logits.float().where(known, 0)
    target = target.float().where(known, 0)
    log_fake, log_real = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    positive, negative = target * known, (1 - target) * known
    # (1 - q)^gamma is computed with exp: its gradient is finite at 1 - q = 0 for any gamma.
    of_positive = -(positive * (gamma * log_real).exp() * log_fake).sum()
    of_negative = -(negative * (gamma * log_fake).exp() * log_real).sum()
    counts = average(torch.stack((positive.sum(), negative.sum())))
    return share_of_mean(torch.stack((of_positive, of_negative)), counts).mean()


def temporal_targets(
    patch_mask: Bool[Tensor, "b t g g"], change: Float[Tensor, "b s g g"], *, threshold: float
) -> Bool[Tensor, "b s g g"]:
    """Returns the patches that are manipulated in frame t or t - 1 and in which the manipulation changes; s = t - 1.

    This definition of the target is our own, because pseudo-fakes have exact masks and residuals.

    Args:
        patch_mask: True for the manipulated patches of every frame.
        change: How much the manipulation changes, for example :func:`mgst_data.core.labels.residual_change`.
        threshold: ``change`` must exceed this value, in the unit of ``change``.
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
    """Returns the patch targets of pseudo-fakes, by comparison with the paired real segments; s = t - 1.

    This definition of the target is our own, see :func:`temporal_targets`.

    Args:
        fake_frames: RGB in [0, 1].
        real_frames: Frames of the paired real segments, equal to ``fake_frames`` where nothing is manipulated.
        patch_label: Share of every patch that is manipulated, [0, 1]. A patch counts as manipulated from 4 % on.
        landmarks: 68 or 81 landmarks in pixels of the frames.
        threshold: Smallest change of the residual between fake and real frames, in units of the pixel value [0, 1].
    """
    with torch.no_grad():
        change = labels.residual_change(fake_frames, real_frames, landmarks, patch_label.shape[-1])
        return temporal_targets(labels.binary_patches(patch_label), change, threshold=threshold)


def boundary_targets(
    boundary: Float[Tensor, "b t 1 h w"], known: Bool[Tensor, "#b #s #g #g"], grid: int
) -> Float[Tensor, "b s grid grid"]:
    """Returns ``|B_t - B_(t-1)|`` as patch means, standardised over the known patches of each segment; s = t - 1.

    The mean is 0 and the standard deviation is 1. A segment without change, such as a real one, has targets of 0.

    Args:
        boundary: Blending boundary, [0, 1]; see :func:`mgst_data.core.labels.boundary`.
        known: False for patches that are left out of mean and deviation. Broadcasts.
        grid: Patches per side.
    """
    change = labels.patches((boundary[:, 1:] - boundary[:, :-1]).abs().float(), grid)
    inside = known.expand_as(change).float()
    count = inside.sum(dim=(1, 2, 3), keepdim=True).clamp_min(1)
    centred = change - (change * inside).sum(dim=(1, 2, 3), keepdim=True) / count
    variance = (centred.square() * inside).sum(dim=(1, 2, 3), keepdim=True) / count
    # A standard deviation below 1e-4 of the range of values is a rounding error.
    return centred * variance.rsqrt().where(variance > 1e-8, 0)


def boundary_regression_loss(
    prediction: Float[Tensor, "b s g g"],
    boundary: Float[Tensor, "b t 1 h w"],
    known: Bool[Tensor, "#b #s #g #g"],
    *,
    average: Average = identity,
) -> Float[Tensor, ""]:
    """Mean squared error of a predicted map of the change of the blending boundary; an alternative to `patch_loss`.

    The idea and the standardisation of the map are those of FakeSTormer [ICCV 2025]. The pooling to patches is our own,
    because the network has one output per patch.

    Args:
        prediction: Predicted maps, any float type. The loss is computed in float32.
        boundary: Blending boundary, [0, 1]; see :func:`boundary_targets`.
        known: False for patches that are left out. Broadcasts.
        average: Mean of a count over all processes; see :mod:`mgst_model.losses.average`.
    """
    with torch.no_grad():
        target = boundary_targets(boundary, known, prediction.shape[-1])
    known = known.expand_as(prediction)
    error = (prediction.float().where(known, 0) - target.where(known, 0)).square()
    return share_of_mean(error.sum(), average(known.sum().float()))
