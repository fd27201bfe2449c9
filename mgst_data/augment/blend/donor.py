"""Faces of others as sources of a blend: every segment may get that of another one of its batch, fitted to it."""

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

# Reach of a landmark in the field that carries features onto features, in distances of the eyes; ours.
_REACH = 0.2
# Weight of no displacement in that field, next to which a landmark's is 1 where it lies; ours.
_REST = 0.05
# Cells of the field on each side of a picture: 8 pixels of one of 256.
_CELLS = 32
# Added to the distance of a candidate for every frame in which the target has a face and it has none.
_UNKNOWN = 1e3


@dataclass(frozen=True)
class DonorParams(Params):
    """What was drawn of donors.

    Attributes:
        given: Whether the segment gets a donor; its source is the segment itself otherwise.
        offset: How far on in the batch, round its end, each candidate lies.
        fit: Share of the way from the donor's features, where a turned and scaled face has them, to the target's.
        match: Share of the way from the donor's colours to the target's.
    """

    given: Bool[Tensor, " b"]
    offset: Int[Tensor, "b c"]
    fit: Float[Tensor, " b"]
    match: Float[Tensor, " b"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Donor:
    """Chooses another segment of the batch as source, lays its face on the target's, and matches its colours.

    As in face X-ray [Li et al., CVPR 2020] the donor is the candidate whose landmarks are nearest, and gets the mean
    and deviation of the target's colours. How features are carried onto features is ours: a similarity transform in
    every frame, and a share of what it leaves, spread by a Gaussian kernel around the landmarks. With a share of 0
    brows and nose lie where the donor has them, as after an alignment; with 1, most of the way to where the target has
    them.

    A segment that is alone in its batch is its own source. With this augmentation alone, what becomes of a segment
    depends on those beside it: a part of a batch, with the same parameters, may get other donors. Who is in a
    picture is not known here: another segment may be of the same person.

    Attributes:
        p: How likely a segment gets a donor.
        candidates: How many others are compared.
        fit_range: Shares of the way to the target's features.
        match_range: Shares of the way to the target's colours.

    Raises:
        ValueError: for a range or probability that makes no sense.
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
            raise ValueError(f"a donor is chosen among at least one candidate, not {self.candidates}")

    def sample(self, b: int, generator: torch.Generator) -> DonorParams:
        """Draws for ``b`` segments; candidates of one are all different as long as there are enough."""
        if self.p == 0 or b < 2:  # who never gets one draws nothing
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
        """Number of the segment that each one's source comes from; never waits for a device.

        Args:
            landmarks: Pixels; finite.
            usable: Frames whose landmarks mean something.
            params: On the device of the landmarks.
        """
        own = torch.arange(len(landmarks), device=landmarks.device)
        if self.p == 0 or len(own) < 2:
            return own
        others = (own[:, None] + params.offset) % len(landmarks)
        # Means over the frames that have a face: those without one say nothing of its shape.
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
        """Frames of donors, their faces where those of the targets are, in their colours.

        Args:
            faces: Of the donors.
            target: Frames that they are fitted to.
            landmarks: Of both, in this order; pixels; finite.
            mask: Where colours are compared.
            params: On the device of the frames.
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
    """Where each pixel of a target is looked up in its donor, as ``grid_sample`` wants it."""
    matrix = similarity_transform(to, from_)
    left = (from_ - apply_transform(matrix, to)) * fit[:, None, None]
    rows, columns = (min(side, _CELLS) for side in size)
    # Middles of the cells, counted in pixels.
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
