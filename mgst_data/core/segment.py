"""Segments (T consecutive frames of one face with landmarks, mask and labels), and pairs of a real and a fake one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mgst_data.core import labels
from mgst_data.core.checks import check_dtype, check_frames, check_landmarks, check_shape, check_tensor

PATCH_GRID = 14
# Fields with a fixed dtype. All other fields are floating-point, in the precision of the frames.
_DTYPES = {"landmarks": torch.float32, "valid": torch.bool}


@dataclass(frozen=True, slots=True)
class Segment:
    """A batch of B segments of T frames.

    Types and shapes are checked whenever a segment is made. Values are checked only by :meth:`of`.

    Attributes:
        frames: RGB in [0, 1]; float32, float16 or bfloat16. At least one frame and one pixel.
        landmarks: Landmarks in pixels of the frames, column x, then row y. Always float32.
        valid: False where a frame has no usable face. Augmentations that need a face leave such frames unchanged.
        mask: Manipulated share of every pixel, [0, 1].
        label: Degree of manipulation of each segment, [0, 1]: 0 real, 1 fake.
        frame_label: Degree of manipulation of each frame, [0, 1].
        patch_label: Degree of manipulation of each patch of a G x G grid, [0, 1]: the mean of ``mask`` over the patch
            if the mask is known, or 1 for patches that were replaced as a whole.
    """

    frames: Float[Tensor, "b t 3 h w"]
    landmarks: Float[Tensor, "b t k 2"]
    valid: Bool[Tensor, "b t"]
    mask: Float[Tensor, "b t 1 h w"]
    label: Float[Tensor, " b"]
    frame_label: Float[Tensor, "b t"]
    patch_label: Float[Tensor, "b t g g"]

    def __post_init__(self) -> None:
        check_frames(self.frames, 5, kind="floating", values=False)
        b, t, _, h, w = self.frames.shape
        g = check_tensor("patch_label", self.patch_label).shape[-1:]
        shapes: dict[str, tuple[int | str, ...]] = {
            "landmarks": (b, t, "k", 2),
            "valid": (b, t),
            "mask": (b, t, 1, h, w),
            "label": (b,),
            "frame_label": (b, t),
            "patch_label": (b, t, *g, "g"),
        }
        for name, shape in shapes.items():
            check_dtype(name, check_shape(name, getattr(self, name), shape, self.frames), _DTYPES.get(name))

    def __repr__(self) -> str:
        b, t, _, h, w = self.frames.shape
        return (
            f"Segment({b}x{t} frames of {h}x{w}, {self.landmarks.shape[2]} landmarks, "
            f"{self.frames.dtype}, {self.frames.device})"
        )

    @staticmethod
    def of(
        frames: Tensor,
        landmarks: Tensor | None = None,
        *,
        valid: Tensor | None = None,
        label: Tensor | None = None,
        grid: int = PATCH_GRID,
    ) -> Segment:
        """Makes a segment from frames and landmarks.

        Types and shapes are always checked. Values are checked where that costs almost nothing: landmarks, and a sample
        of floating-point frames. Both are checked on the CPU only, and not while torch compiles.

        Args:
            frames: Frames ``(b, t, 3, h, w)``, or ``(n, 3, h, w)`` for n single pictures, which become segments of one
                frame. uint8 is divided by 255. Floating-point frames must be in [0, 1]; -0.25 to 1.25 is accepted,
                because interpolation overshoots.
            landmarks: Landmarks ``(b, t, k, 2)`` or ``(n, k, 2)`` in pixels, any real dtype; NaN where there is no
                face. May be None if no augmentation needs them.
            valid: Frames with a usable face, ``(b, t)``, bool. By default all frames whose landmarks are finite.
            label: Label of each segment, ``(b,)``; by default 0 (real). Frames and patches get the label of their
                segment.
            grid: Patches per side.

        Raises:
            TypeError: if a value is not a tensor (for example a NumPy array), or has another dtype.
            ValueError: if shapes do not match, there are no frames, or floating-point frames are not in [0, 1]. Also if
                each frame has several landmarks that spread over less than 3 pixels, because they are then not in
                pixels.
        """
        frames = check_frames(frames, 4, 5, kind="uint8 or floating")
        if frames.ndim == 4:
            frames = frames[:, None]
            if landmarks is not None and check_tensor("landmarks", landmarks).ndim == 3:
                landmarks = landmarks[:, None]
        b, t, _, h, w = frames.shape
        if valid is not None:
            check_dtype("valid", check_shape("valid", valid, (b, t), frames), torch.bool)
        if label is not None:
            check_shape("label", label, (b,), frames)
        landmarks = torch.zeros(b, t, 0, 2) if landmarks is None else check_landmarks(landmarks, frames, valid)
        if frames.dtype == torch.uint8:
            frames = frames.float() / 255
        landmarks = landmarks.to(device=frames.device, dtype=torch.float32)
        if valid is None:
            valid = landmarks.isfinite().flatten(2).all(dim=2)
        label = frames.new_zeros(b) if label is None else label.to(frames)
        return Segment(
            frames=frames,
            landmarks=landmarks,
            valid=valid.to(frames.device),
            mask=frames.new_zeros(b, t, 1, h, w),
            label=label,
            frame_label=label[:, None].expand(b, t).clone(),
            patch_label=label[:, None, None, None].expand(b, t, grid, grid).clone(),
        )

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, rows: slice | Int[Tensor, " n"]) -> Segment:
        """Returns some segments of the batch."""
        return Segment(**{name: value[rows] for name, value in self._fields()})

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Segment:
        """Returns the segment on another device or in another precision.

        Args:
            device: Device to move to; None for the same device.
            dtype: Dtype of frames, mask and labels; None for the same dtype. ``landmarks`` and ``valid`` keep their
                dtype.
        """

        def moved(name: str, value: Tensor) -> Tensor:
            fixed = dtype is None or name in ("landmarks", "valid")
            return value.to(device) if fixed else value.to(device, dtype)

        return Segment(**{name: moved(name, value) for name, value in self._fields()})

    def replace(self, **changes: Tensor) -> Segment:
        """Returns the segment with some fields replaced."""
        return dataclasses.replace(self, **changes)

    def _fields(self) -> list[tuple[str, Tensor]]:
        return [(f.name, getattr(self, f.name)) for f in dataclasses.fields(self)]


@dataclass(frozen=True, slots=True)
class RealFakePair:
    """A pseudo-fake and the real segment that it was made from. Both have the same label-preserving changes.

    Attributes:
        real: Real segment; label 0.
        fake: Pseudo-fake. It is bit-identical to ``real`` where ``fake.mask`` is 0. ``fake.frame_label`` is the frame
            mask.
    """

    real: Segment
    fake: Segment

    def __post_init__(self) -> None:
        if self.real.frames.shape != self.fake.frames.shape:
            shapes = f"{tuple(self.real.frames.shape)} and {tuple(self.fake.frames.shape)}"
            raise ValueError(f"the frames of real and fake must have the same shape, got {shapes}")

    def __len__(self) -> int:
        return len(self.fake)

    def __getitem__(self, rows: slice | Int[Tensor, " n"]) -> RealFakePair:
        """Returns some pairs of the batch."""
        return RealFakePair(self.real[rows], self.fake[rows])

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> RealFakePair:
        """Returns the pair on another device or in another precision.

        Args:
            device: Device to move to; None for the same device.
            dtype: Dtype of frames, masks and labels; None for the same dtype. ``landmarks`` and ``valid`` keep their
                dtype.
        """
        return RealFakePair(self.real.to(device, dtype), self.fake.to(device, dtype))

    def both(self) -> Segment:
        """Returns the real segments, then the fake segments, as one batch for training a detector."""
        pairs = zip(self.real._fields(), self.fake._fields(), strict=True)
        return Segment(**{name: torch.cat((real, fake)) for (name, real), (_, fake) in pairs})

    @property
    def severity(self) -> Float[Tensor, "b t"]:
        """Mean of the mask over the face; see :func:`mgst_data.core.labels.severity`."""
        return labels.severity(self.fake.mask, self.fake.landmarks)

    @property
    def boundary(self) -> Float[Tensor, "b t 1 h w"]:
        """Map that is 1 where both faces are mixed equally; see :func:`mgst_data.core.labels.boundary`."""
        return labels.boundary(self.fake.mask)

    @property
    def patch_mask(self) -> Bool[Tensor, "b t g g"]:
        """Patches that count as manipulated; see :func:`mgst_data.core.labels.binary_patches`."""
        return labels.binary_patches(self.fake.patch_label)

    @property
    def transition(self) -> Float[Tensor, "b s"]:
        """1 where the frame mask changes from one frame to the next; s = t - 1."""
        return labels.transition(self.fake.frame_label)

    @property
    def temporal_patches(self) -> Float[Tensor, "b s g g"]:
        """Change of the mask relative to the face, s = t - 1; see :func:`mgst_data.core.labels.temporal_patches`."""
        return labels.temporal_patches(self.fake.mask, self.fake.landmarks, self.fake.patch_label.shape[-1])
