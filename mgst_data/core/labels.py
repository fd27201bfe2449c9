"""Labels of a pseudo-fake that follow from its mask: for segments, frames and patches."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from mgst_data.core.devices import constant
from mgst_data.core.geometry import similarity_transform
from mgst_data.core.polygons import hull_mask
from mgst_data.core.precision import without_autocast

# A patch counts as manipulated if more than this share of it is.
PATCH_THRESHOLD = 0.04
# Side in pixels at which masks of neighbouring frames are compared; enough for 14 x 14 patches.
_COMPARED = 112
# Landmarks that move with the head and hardly with the mouth: nose and eyes, of 68 points.
_RIGID_68 = slice(27, 48)


def patches(mask: Float[Tensor, "b t 1 h w"], grid: int) -> Float[Tensor, "b t grid grid"]:
    """Computes the mean of a mask over each patch.

    Args:
        mask: Mask in [0, 1].
        grid: Patches per side.
    """
    b, t, _, h, w = mask.shape
    return functional.adaptive_avg_pool2d(mask.reshape(b * t, 1, h, w), grid).reshape(b, t, grid, grid)


def binary_patches(patch_label: Float[Tensor, "b t g g"]) -> Bool[Tensor, "b t g g"]:
    """Returns which patches count as manipulated: more than 4 % of the patch. The threshold is our own choice."""
    return patch_label > PATCH_THRESHOLD


def boundary(mask: Float[Tensor, "b t 1 h w"]) -> Float[Tensor, "b t 1 h w"]:
    """Computes 4 M (1 - M): 1 where both faces are mixed equally, 0 where there is only one [Face X-ray, CVPR 2020]."""
    return 4 * mask * (1 - mask)


@without_autocast
def severity(mask: Float[Tensor, "b t 1 h w"], landmarks: Float[Tensor, "b t k 2"]) -> Float[Tensor, "b t"]:
    """Computes the mean of the mask over the convex hull of the landmarks. This measure is our own.

    Args:
        mask: Mask in [0, 1].
        landmarks: Landmarks in pixels of the mask.

    Returns:
        Mean in [0, 1]; 0 where the hull is empty.
    """
    b, t, _, h, w = mask.shape
    side = min(_COMPARED, h)
    scale = constant((side / w, side / h), landmarks)
    face = hull_mask((landmarks + 0.5) * scale - 0.5, (side, side))[:, :, None].to(mask.dtype)
    small = functional.adaptive_avg_pool2d(mask.reshape(b * t, 1, h, w), side).reshape(b, t, 1, side, side)
    share: Tensor = (small * face).sum(dim=(2, 3, 4)) / face.sum(dim=(2, 3, 4)).clamp_min(1)
    return share


def transition(frame_mask: Float[Tensor, "b t"]) -> Float[Tensor, "b t-1"]:
    """Returns 1 where the frame mask differs from that of the frame before, 0 elsewhere."""
    return (frame_mask[:, 1:] != frame_mask[:, :-1]).to(frame_mask.dtype)


@without_autocast
def carried(maps: Float[Tensor, "b t c h w"], landmarks: Float[Tensor, "b t k 2"]) -> Float[Tensor, "b t-1 c h w"]:
    """Moves each map with the head to its place in the next frame. The last map is not used.

    The motion of the head is the similarity transform between the landmarks of eyes and nose. Pixels from outside the
    map are 0. This method is our own.

    Args:
        maps: Maps that belong to the face, such as masks or residuals.
        landmarks: Landmarks in pixels of the maps.

    Returns:
        Map t - 1 at the place that the head has in frame t, for t = 1, 2, ...

    Raises:
        ValueError: if there are not 68 or 81 landmarks.
    """
    b, t, c, h, w = maps.shape
    if landmarks.shape[2] not in (68, 81):
        raise ValueError(f"the rigid landmarks are not known for {landmarks.shape[2]} landmarks; known: 68, 81")
    if b == 0 or t == 1:
        return maps[:, 1:]
    # In [-1, 1], the coordinates of grid_sample; from frame t back to t - 1.
    rigid = (landmarks[:, :, _RIGID_68].nan_to_num() + 0.5) * constant((2 / w, 2 / h), landmarks) - 1
    back = similarity_transform(rigid[:, 1:], rigid[:, :-1]).flatten(0, 1)
    where = functional.affine_grid(back, [len(back), c, h, w], align_corners=False)
    before = functional.grid_sample(maps[:, :-1].flatten(0, 1).float(), where, align_corners=False)
    return before.reshape(b, t - 1, c, h, w).to(maps.dtype)


def temporal_patches(
    mask: Float[Tensor, "b t 1 h w"], landmarks: Float[Tensor, "b t k 2"], grid: int
) -> Float[Tensor, "b t-1 grid grid"]:
    """Computes how much the mask changes from one frame to the next, relative to the face.

    The mask of frame t - 1 is moved with the head before it is subtracted from the mask of frame t. With constant
    parameters and a moving head, a plain |M_t - M_t-1| would measure the motion of the head. This method is our own.

    Args:
        mask: Mask in [0, 1].
        landmarks: Landmarks in pixels of the mask.
        grid: Patches per side.

    Raises:
        ValueError: if there are not 68 or 81 landmarks.
    """
    return _change_on_the_face(mask, landmarks, grid)


def residual_change(
    fake: Float[Tensor, "b t 3 h w"], real: Float[Tensor, "b t 3 h w"], landmarks: Float[Tensor, "b t k 2"], grid: int
) -> Float[Tensor, "b t-1 grid grid"]:
    """Computes how much the forgery changes from one frame to the next: mean |D_t - D_t-1| over each patch.

    D = fake - real is what the forgery adds to a frame. D of frame t - 1 is moved with the head before it is
    subtracted. So a constant forgery on a moving head changes little. This method is our own.

    Args:
        fake: Pseudo-fakes, RGB in [0, 1].
        real: Paired real segments, equal to the fakes where nothing is manipulated.
        landmarks: Landmarks in pixels of the frames.
        grid: Patches per side.

    Returns:
        Mean over the colours, in units of the pixel value, [0, 2]. Frames are compared at 112 pixels per side or less,
        where resampling blurs little.

    Raises:
        ValueError: if there are not 68 or 81 landmarks.
    """
    return _change_on_the_face(fake - real, landmarks, grid)


@without_autocast
def _change_on_the_face(maps: Tensor, landmarks: Tensor, grid: int) -> Tensor:
    b, t, c, h, w = maps.shape
    side = min(_COMPARED, h)
    small = functional.adaptive_avg_pool2d(maps.flatten(0, 1), side).reshape(b, t, c, side, side).float()
    scale = constant((side / w, side / h), landmarks)
    before = carried(small, (landmarks + 0.5) * scale - 0.5)
    if t == 1:
        return maps.new_zeros(b, 0, grid, grid)
    change = (small[:, 1:] - before).abs().mean(dim=2)
    return functional.adaptive_avg_pool2d(change.flatten(0, 1), grid).reshape(b, t - 1, grid, grid).to(maps.dtype)


def frame_label_of(mask: Float[Tensor, "b t 1 h w"]) -> Float[Tensor, "b t"]:
    """Returns 1 for frames in which any pixel is manipulated, 0 for the others."""
    return (mask.flatten(2).amax(dim=2) > 0).to(mask.dtype)
