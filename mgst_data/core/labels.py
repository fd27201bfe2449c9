"""What is known of a pseudo-fake, from its mask: labels for segments, frames and patches."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from mgst_data.core.geometry import similarity_transform
from mgst_data.core.polygons import hull_mask
from mgst_data.core.precision import without_autocast

# Share of a patch that has to be manipulated for the patch to count as such.
PATCH_THRESHOLD = 0.04
# Side at which masks are compared from frame to frame: patches of 14 x 14 need no more.
_COMPARED = 112
# Landmarks that move with the head and hardly with the mouth: nose, eyes and their corners (68 points).
_RIGID_68 = (*range(27, 36), *range(36, 48))


def patches(mask: Float[Tensor, "b t 1 h w"], grid: int) -> Float[Tensor, "b t grid grid"]:
    """Mean of the mask over each of ``grid`` x ``grid`` patches."""
    b, t, _, h, w = mask.shape
    return functional.adaptive_avg_pool2d(mask.reshape(b * t, 1, h, w), grid).reshape(b, t, grid, grid)


def binary_patches(patch_label: Float[Tensor, "b t g g"]) -> Bool[Tensor, "b t g g"]:
    """Patches of which more than 4 % is manipulated; the threshold is ours."""
    return patch_label > PATCH_THRESHOLD


def boundary(mask: Float[Tensor, "b t 1 h w"]) -> Float[Tensor, "b t 1 h w"]:
    """4 M (1 - M): 1 where both faces are mixed half and half, 0 where there is only one [Face X-ray, CVPR 2020]."""
    return 4 * mask * (1 - mask)


@without_autocast
def severity(mask: Float[Tensor, "b t 1 h w"], landmarks: Float[Tensor, "b t k 2"]) -> Float[Tensor, "b t"]:
    """Mean of the mask over the convex hull of the landmarks, [0, 1]; 0 where that is empty. Ours."""
    b, t, _, h, w = mask.shape
    side = min(_COMPARED, h)
    scale = landmarks.new_tensor((side / w, side / h))
    face = hull_mask((landmarks + 0.5) * scale - 0.5, (side, side))[:, :, None].to(mask.dtype)
    small = functional.adaptive_avg_pool2d(mask.reshape(b * t, 1, h, w), side).reshape(b, t, 1, side, side)
    share: Tensor = (small * face).sum(dim=(2, 3, 4)) / face.sum(dim=(2, 3, 4)).clamp_min(1)
    return share


def transition(gate: Float[Tensor, "b t"]) -> Float[Tensor, "b t-1"]:
    """1 where the gate differs from that of the frame before."""
    return (gate[:, 1:] != gate[:, :-1]).to(gate.dtype)


@without_autocast
def carried(maps: Float[Tensor, "b t c h w"], landmarks: Float[Tensor, "b t k 2"]) -> Float[Tensor, "b t-1 c h w"]:
    """Each frame's map but the last, carried along with the head to the place it has in the next frame.

    The head's motion is the similarity between the landmarks of eyes and nose. What comes in from outside a map is 0.
    Ours.

    Args:
        maps: Anything that belongs to the face: masks, residuals.
        landmarks: Pixels of the maps.

    Raises:
        ValueError: for another number of landmarks than 68 or 81.
    """
    b, t, c, h, w = maps.shape
    if landmarks.shape[2] not in (68, 81):
        raise ValueError(f"no rigid part is known of {landmarks.shape[2]} landmarks; known: 68, 81")
    if b == 0 or t == 1:
        return maps[:, 1:]
    # In [-1, 1], where grid_sample looks points up; from frame t back to t - 1.
    rigid = (landmarks[:, :, list(_RIGID_68)].nan_to_num() + 0.5) * landmarks.new_tensor((2 / w, 2 / h)) - 1
    back = similarity_transform(rigid[:, 1:], rigid[:, :-1]).flatten(0, 1)
    where = functional.affine_grid(back, [len(back), c, h, w], align_corners=False)
    before = functional.grid_sample(maps[:, :-1].flatten(0, 1).float(), where, align_corners=False)
    return before.reshape(b, t - 1, c, h, w).to(maps.dtype)


def temporal_patches(
    mask: Float[Tensor, "b t 1 h w"], landmarks: Float[Tensor, "b t k 2"], grid: int
) -> Float[Tensor, "b t-1 grid grid"]:
    """Change of the mask from one frame to the next, on the face and not in the picture.

    The mask of frame t - 1 is carried along with the head before it is subtracted from that of frame t: with steady
    parameters and a moving head, a plain |M_t - M_t-1| would show the motion of the head. Ours.

    Raises:
        ValueError: for another number of landmarks than 68 or 81.
    """
    return _change_on_the_face(mask, landmarks, grid)


def residual_change(
    fake: Float[Tensor, "b t 3 h w"], real: Float[Tensor, "b t 3 h w"], landmarks: Float[Tensor, "b t k 2"], grid: int
) -> Float[Tensor, "b t-1 grid grid"]:
    """How much the forgery itself changes from one frame to the next: mean |D_t - D_t-1| over each patch. Ours.

    D = fake - real is what the forgery adds to a frame. That of frame t - 1 is carried along with the head before it is
    subtracted, so that a steady forgery on a moving head changes little.

    Args:
        fake: Pseudo-fakes, RGB in [0, 1].
        real: Their twins, the same where nothing is manipulated.
        landmarks: Pixels of the frames.
        grid: Patches per side.

    Returns:
        In units of the pixel value, [0, 2], as a mean over colours; compared at 112 pixels or less per side, where
        resampling blurs little.

    Raises:
        ValueError: for another number of landmarks than 68 or 81.
    """
    return _change_on_the_face(fake - real, landmarks, grid)


@without_autocast
def _change_on_the_face(maps: Tensor, landmarks: Tensor, grid: int) -> Tensor:
    b, t, c, h, w = maps.shape
    side = min(_COMPARED, h)
    small = functional.adaptive_avg_pool2d(maps.flatten(0, 1), side).reshape(b, t, c, side, side).float()
    scale = landmarks.new_tensor((side / w, side / h))
    before = carried(small, (landmarks + 0.5) * scale - 0.5)
    if t == 1:
        return maps.new_zeros(b, 0, grid, grid)
    change = (small[:, 1:] - before).abs().mean(dim=2)
    return functional.adaptive_avg_pool2d(change.flatten(0, 1), grid).reshape(b, t - 1, grid, grid).to(maps.dtype)


def frame_label_of(mask: Float[Tensor, "b t 1 h w"]) -> Float[Tensor, "b t"]:
    """1 where any pixel of a frame is manipulated."""
    return (mask.flatten(2).amax(dim=2) > 0).to(mask.dtype)
