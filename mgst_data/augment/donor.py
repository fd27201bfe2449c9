"""Faces of others as sources of a blend: every segment may get that of another one of its batch, fitted to it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from mgst_data.augment import draw
from mgst_data.augment.base import Params, on_rows
from mgst_data.augment.colour import match_colour
from mgst_data.augment.warp import affine_grid, resample
from mgst_data.core.geometry import apply_transform, eye_distance, similarity_transform

# Reach of a landmark in the field that carries features onto features, in distances of the eyes; ours.
_REACH = 0.2
# Weight of no displacement in that field, next to which a landmark's is 1 where it lies; ours.
_REST = 0.05
# Pixels of a picture that a cell of the field has at most, on each side.
_CELL = 8
# Added to the distance of a candidate for every frame in which the target has a face and it has none.
_UNKNOWN = 1e3


@dataclass(frozen=True)
class DonorParams(Params):
    """What was drawn of donors.

    Attributes:
        given: Whether the segment gets a donor; its source is the segment itself otherwise.
        step: How far on in the batch, round its end, each candidate lies.
        fit: Share of the way from the donor's features, where a turned and scaled face has them, to the target's.
        match: Share of the way from the donor's colours to the target's.
    """

    given: Bool[Tensor, " b"]
    step: Int[Tensor, "b c"]
    fit: Float[Tensor, " b"]
    match: Float[Tensor, " b"]


class Donor:
    """Chooses another segment of the batch as source, lays its face on the target's, and matches its colours.

    As in face X-ray [Li et al., CVPR 2020] the donor is the candidate whose landmarks are nearest, and gets the mean
    and deviation of the target's colours. How features are carried onto features is ours: a similarity transform in
    every frame, and a share of what it leaves, spread by a Gaussian kernel around the landmarks. With a share of 0
    brows and nose lie where the donor has them, as after an alignment; with 1, about where the target has them.

    A segment that is alone in its batch is its own source. With this augmentation alone, what becomes of a segment
    depends on those beside it: a part of a batch, with the same parameters, may get other donors. Who is in a
    picture is not known here: another segment may be of the same person. Sources are made for a batch at once, in
    float32: on a CPU that takes the memory of several batches.

    Args:
        p: How likely a segment gets a donor.
        candidates: How many others are compared.
        fit_range: Shares of the way to the target's features.
        match_range: Shares of the way to the target's colours.

    Raises:
        ValueError: for a range or probability that makes no sense.
    """

    def __init__(
        self,
        *,
        p: float = 0.0,
        candidates: int = 8,
        fit_range: tuple[float, float] = (0.0, 1.0),
        match_range: tuple[float, float] = (0.5, 1.0),
    ) -> None:
        draw.check_share("p", p)
        draw.check_range("fit_range", fit_range, low=0, high=1)
        draw.check_range("match_range", match_range, low=0, high=1)
        if candidates < 1:
            raise ValueError(f"a donor is chosen among at least one candidate, not {candidates}")
        self.p, self.candidates, self.fit_range, self.match_range = p, candidates, fit_range, match_range

    def sample(self, b: int, generator: torch.Generator) -> DonorParams:
        """Draws for ``b`` segments; candidates of one are all different as long as there are enough."""
        order = torch.rand(b, max(b - 1, 1), generator=generator).argsort(dim=1) + 1
        return DonorParams(
            given=draw.chance((b,), self.p if b > 1 else 0.0, generator),
            step=order[:, torch.arange(self.candidates) % order.shape[1]],
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
        if self.p == 0:
            return own
        others = (own[:, None] + params.step) % len(landmarks)
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

    def sources(
        self,
        frames: Float[Tensor, "b t 3 h w"],
        landmarks: Float[Tensor, "b t k 2"],
        chosen: Int[Tensor, " b"],
        mask: Float[Tensor, "b t 1 y x"],
        params: DonorParams,
    ) -> Float[Tensor, "b t 3 h w"]:
        """Frames of the donors, their faces where those of the segments are; of segments without one, their own.

        Args:
            frames: Of the batch.
            landmarks: Pixels; finite.
            chosen: As :meth:`choose` gives it.
            mask: Where colours are compared; of any size.
            params: On the CPU.
        """
        if self.p == 0:
            return frames
        h, w = frames.shape[3:]
        here = params.to(frames.device)

        def fitted(some: Tensor, rows: Tensor | slice) -> Tensor:
            donor, (n, t) = chosen[rows], some.shape[:2]
            to, from_ = landmarks[rows].float().flatten(0, 1), landmarks[donor].float().flatten(0, 1)
            fit = here.fit[rows][:, None].expand(n, t).flatten()
            looked_up = resample(frames[donor].flatten(0, 1), _grid(from_, to, fit, (h, w)))
            weight = functional.interpolate(mask[rows].flatten(0, 1).float(), (h, w), mode="bilinear")
            source = looked_up.reshape(some.shape).float()
            matched = match_colour(source, some.float(), weight.reshape(n, t, 1, h, w), together=(-4, -2, -1))
            return torch.lerp(source, matched, here.match[rows][:, None, None, None, None]).to(some.dtype)

        return on_rows(frames, params.given, fitted)


def _grid(
    from_: Float[Tensor, "n k 2"], to: Float[Tensor, "n k 2"], fit: Float[Tensor, " n"], size: tuple[int, int]
) -> Float[Tensor, "n h w 2"]:
    """Where each pixel of a target is looked up in its donor, as ``grid_sample`` wants it."""
    matrix = similarity_transform(to, from_)
    left = (from_ - apply_transform(matrix, to)) * fit[:, None, None]
    rows, columns = (-(-side // _CELL) for side in size)
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
