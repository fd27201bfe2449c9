"""A segment: T consecutive frames of one face with everything that is known of them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

PATCH_GRID = 14


@dataclass(frozen=True, slots=True)
class Segment:
    """A batch of B segments of T frames.

    Attributes:
        frames: RGB in [0, 1].
        landmarks: Pixels of the frames; column x, then row y.
        valid: False where a frame has no usable face; augmentations leave such frames untouched.
        mask: Manipulated share of every pixel, [0, 1].
        label: Share of manipulation of the segment: 0 real, 1 fake.
        frame_label: The same for every frame.
        patch_label: The same for every patch of a G x G grid.
    """

    frames: Float[Tensor, "b t 3 h w"]
    landmarks: Float[Tensor, "b t k 2"]
    valid: Bool[Tensor, "b t"]
    mask: Float[Tensor, "b t 1 h w"]
    label: Float[Tensor, " b"]
    frame_label: Float[Tensor, "b t"]
    patch_label: Float[Tensor, "b t g g"]

    def __post_init__(self) -> None:
        leading = self.frames.shape[:2]
        for name in ("landmarks", "valid", "mask", "frame_label", "patch_label"):
            if getattr(self, name).shape[:2] != leading:
                raise ValueError(
                    f"{name} {tuple(getattr(self, name).shape)} does not match frames {tuple(self.frames.shape)}"
                )
        if self.label.shape != leading[:1] or self.mask.shape[-2:] != self.frames.shape[-2:]:
            raise ValueError(f"label or mask does not match frames {tuple(self.frames.shape)}")

    def __repr__(self) -> str:
        b, t, _, h, w = self.frames.shape
        return (
            f"Segment({b}x{t} frames of {h}x{w}, {self.landmarks.shape[2]} landmarks, "
            f"{self.frames.dtype}, {self.frames.device})"
        )

    @staticmethod
    def of(
        frames: Tensor,
        landmarks: Tensor,
        *,
        valid: Tensor | None = None,
        label: Tensor | None = None,
        grid: int = PATCH_GRID,
    ) -> Segment:
        """Makes a segment from frames and landmarks alone.

        Args:
            frames: ``(b, t, 3, h, w)``; uint8 is divided by 255, floats are taken as [0, 1].
            landmarks: ``(b, t, k, 2)`` pixels.
            valid: ``(b, t)``; all frames by default.
            label: ``(b,)``; all real by default. Frames and patches of a fake get its label.
            grid: Patches per side.

        Raises:
            ValueError: if the shapes do not match.
        """
        if frames.ndim != 5 or frames.shape[2] != 3:
            raise ValueError(f"frames are (b, t, 3, h, w), not {tuple(frames.shape)}")
        if frames.dtype == torch.uint8:
            frames = frames.float() / 255
        b, t, _, h, w = frames.shape
        label = frames.new_zeros(b) if label is None else label.to(frames)
        return Segment(
            frames=frames,
            landmarks=landmarks.to(device=frames.device, dtype=torch.float32),
            valid=torch.ones(b, t, dtype=torch.bool, device=frames.device) if valid is None else valid,
            mask=frames.new_zeros(b, t, 1, h, w),
            label=label,
            frame_label=label[:, None].expand(b, t).clone(),
            patch_label=label[:, None, None, None].expand(b, t, grid, grid).clone(),
        )

    def to(self, device: torch.device | str) -> Segment:
        """The same segment on another device."""
        return Segment(**{f.name: getattr(self, f.name).to(device) for f in dataclasses.fields(self)})

    def replace(self, **changes: Tensor) -> Segment:
        """The same segment with some fields exchanged."""
        return dataclasses.replace(self, **changes)
