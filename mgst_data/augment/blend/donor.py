"""Donors: the source of a blend can be the face of another segment of the batch, fitted to the target."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from mgst_data.augment.base import Params
from mgst_data.augment.functional import draw
from mgst_data.augment.functional.colour import match_colour
from mgst_data.augment.functional.warp import affine_grid, resample
from mgst_data.core.geometry import apply_transform, eye_distance, similarity_transform

# Radius of the influence of a landmark on the displacement field, in eye distances. Our own choice.
_REACH = 0.2
# Weight of zero displacement in that field; a landmark has the weight 1 at its own position. Our own choice.
_REST = 0.05
# Cells of the field per side of a picture: 8 pixels per cell in a picture of 256.
_CELLS = 32
# Added to the distance of a candidate for every frame in which the target has a face and the candidate has none.
_UNKNOWN = 1e3


@dataclass(frozen=True)
class DonorParams(Params):
    """Parameters of donors.

    Attributes:
        given: Whether the segment gets a donor; otherwise the source is the segment itself.
        offset: Position of each candidate in the batch, relative to the segment, modulo the batch size.
        fit: How far the features of the donor are moved to those of the target, after rotation and scaling: 0 not at
            all, 1 as far as possible.
        match: How far the colours of the donor are moved to those of the target, [0, 1].
    """

    given: Bool[Tensor, " b"]
    offset: Int[Tensor, "b c"]
    fit: Float[Tensor, " b"]
    match: Float[Tensor, " b"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Donor:
    """Chooses another segment of the batch as source, moves its face onto the target, and matches its colours.

    As in face X-ray [Li et al., CVPR 2020], the donor is the candidate with the nearest landmarks, and gets the mean
    and deviation of the colours of the target. The alignment of features is our own, not that of the paper: a
    similarity transform in every frame, plus a share of the remaining displacement, spread by a Gaussian kernel around
    the landmarks. With a share of 0, brows and nose stay where the donor has them after the alignment. With 1, they
    move most of the way to the target.

    A segment that is alone in its batch is its own source. This is the only augmentation whose result depends on the
    other segments of the batch: a part of a batch with the same parameters may get other donors. Identities are not
    known here: the donor may show the same person.

    Attributes:
        p: Probability that a segment gets a donor.
        candidates: Number of other segments that are compared.
        fit_range: How far features are moved to those of the target, [0, 1].
        match_range: How far colours are moved to those of the target, [0, 1].

    Raises:
        ValueError: if a range or probability is invalid.
    """

    p: float = 0.0
    candidates: int = 8
    fit_range: tuple[float, float] = (0.0, 1.0)
    match_range: tuple[float, float] = (0.5, 1.0)

    def __post_init__(self) -> None:
        draw.check_share("p", self.p)
        for name in ("fit_range", "match_range"):
            draw.check_range(name, getattr(self, name), low=0, high=1)
        if self.candidates < 1:
            raise ValueError(f"candidates must be at least 1, got {self.candidates}")

    def sample(self, b: int, generator: torch.Generator) -> DonorParams:
        """Draws parameters. The candidates of a segment are different as long as the batch is large enough.

        Args:
            b: Number of segments.
            generator: Random generator on the CPU.
        """
        if self.p == 0 or b < 2:  # without donors nothing is drawn
            share, none = torch.zeros(b), torch.zeros(b, self.candidates, dtype=torch.long)
            return DonorParams(torch.zeros(b, dtype=torch.bool), none, share, share)
        order = torch.rand(b, b - 1, generator=generator).argsort(dim=1) + 1
        return DonorParams(
            given=draw.chance((b,), self.p, generator),
            offset=order[:, torch.arange(self.candidates) % order.shape[1]],
            fit=draw.uniform((b,), *self.fit_range, generator),
            match=draw.uniform((b,), *self.match_range, generator),
        )

    def choose(
        self, landmarks: Float[Tensor, "b t k 2"], usable: Bool[Tensor, "b t"], params: DonorParams
    ) -> Int[Tensor, " b"]:
        """Returns the number of the segment that each source comes from. Never waits for a device.

        Args:
            landmarks: Landmarks in pixels; finite.
            usable: Frames with usable landmarks.
            params: Parameters of :meth:`sample`, on the device of the landmarks.
        """
        own = torch.arange(len(landmarks), device=landmarks.device)
        if self.p == 0 or len(own) < 2:
            return own
        others = (own[:, None] + params.offset) % len(landmarks)
        # Means over the frames with a face, because the others have no shape of a face.
        weight = usable[:, :, None, None].float()
        mean = (landmarks.float() * weight).sum(dim=1) / weight.sum(dim=1).clamp_min(1)
        to, from_ = mean[:, None], mean[others]
        matrix = similarity_transform(from_, to.expand_as(from_))
        left = (apply_transform(matrix, from_) - to).square().sum(dim=-1).mean(dim=-1)
        missing = (usable[:, None] & ~usable[others]).sum(dim=-1)
        left = left / to.var(dim=-2).sum(dim=-1).clamp_min(1e-6) + _UNKNOWN * missing
        nearest = others.gather(1, left.argmin(dim=1, keepdim=True))[:, 0]
        return torch.where(params.given & usable[nearest].any(dim=1), nearest, own)

    def fitted(
        self,
        faces: Float[Tensor, "n t 3 h w"],
        target: Float[Tensor, "n t 3 h w"],
        landmarks: tuple[Float[Tensor, "n t k 2"], Float[Tensor, "n t k 2"]],
        mask: Float[Tensor, "n t 1 h w"],
        params: DonorParams,
    ) -> Float[Tensor, "n t 3 h w"]:
        """Returns frames of donors with the faces at the position, and in the colours, of the targets.

        Args:
            faces: Frames of the donors.
            target: Frames that the donors are fitted to.
            landmarks: Landmarks of donors and of targets, in pixels; finite.
            mask: Weight of each pixel in the colour statistics.
            params: Parameters of :meth:`sample`, on the device of the frames.
        """
        (n, t), size = target.shape[:2], (target.shape[3], target.shape[4])
        from_, to = (points.float().flatten(0, 1) for points in landmarks)
        grid = _grid(from_, to, params.fit[:, None].expand(n, t).flatten(), size)
        source = resample(faces.flatten(0, 1), grid).reshape(target.shape).float()
        matched = match_colour(source, target.float(), mask.float(), together=(-4, -2, -1))
        return torch.lerp(source, matched, params.match[:, None, None, None, None]).to(target.dtype)


def _grid(
    from_: Float[Tensor, "n k 2"], to: Float[Tensor, "n k 2"], fit: Float[Tensor, " n"], size: tuple[int, int]
) -> Float[Tensor, "n h w 2"]:
    """Computes where each pixel of a target is read from in its donor, in the coordinates of ``grid_sample``."""
    matrix = similarity_transform(to, from_)
    left = (from_ - apply_transform(matrix, to)) * fit[:, None, None]
    rows, columns = (min(side, _CELLS) for side in size)
    # Centres of the cells, in pixels.
    y = (torch.arange(rows, device=to.device) + 0.5) * (size[0] / rows) - 0.5
    x = (torch.arange(columns, device=to.device) + 0.5) * (size[1] / columns) - 0.5
    reach = (_REACH * eye_distance(to)).clamp_min(1.0)[:, None]
    # exp(-(dx^2 + dy^2)) is a product of a term per column and one per row.
    across = torch.exp(-0.5 * ((x - to[:, :, :1]) / reach[..., None]).square())
    down = torch.exp(-0.5 * ((y - to[:, :, 1:]) / reach[..., None]).square())
    total = (down[:, :, :, None] * across[:, :, None, :]).sum(dim=1)
    field = [
        ((left[:, :, i, None] * down)[:, :, :, None] * across[:, :, None, :]).sum(dim=1) / (total + _REST)
        for i in (0, 1)
    ]
    unit = torch.stack((field[0] * (2 / size[1]), field[1] * (2 / size[0])), dim=1)
    smooth = functional.interpolate(unit, size, mode="bilinear").permute(0, 2, 3, 1)
    return affine_grid(matrix, size) + smooth
