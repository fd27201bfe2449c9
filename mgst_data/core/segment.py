"""A segment: T consecutive frames of one face with everything that is known of them; and a pair of them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mgst_data.core import labels
from mgst_data.core.checks import check_dtype, check_frames, check_landmarks, check_shape, check_tensor

PATCH_GRID = 14
# Of the fields that are not floating-point of whatever precision the frames have.
_DTYPES = {"landmarks": torch.float32, "valid": torch.bool}


@dataclass(frozen=True, slots=True)
class Segment:
    """A batch of B segments of T frames.

    Types and shapes are checked whenever one is made; values only by :meth:`of`.

    Attributes:
        frames: RGB in [0, 1]; float32, float16 or bfloat16. At least one frame and one pixel.
        landmarks: Pixels of the frames; column x, then row y. float32 whatever the frames are.
        valid: False where a frame has no usable face; augmentations that need one leave such frames untouched.
        mask: Manipulated share of every pixel, [0, 1].
        label: Share of manipulation of the segment: 0 real, 1 fake.
        frame_label: The same for every frame.
        patch_label: The same for every patch of a G x G grid: the mean of ``mask`` there, where the mask is known, or 1
            for patches that were exchanged as a whole.
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
        """Makes a segment from frames and landmarks alone.

        Types and shapes are always checked. Values are where that costs next to nothing: a sample of floating-point
        frames, and landmarks, both on the CPU only and not while compiling.

        Args:
            frames: ``(b, t, 3, h, w)``, or ``(n, 3, h, w)`` for n single pictures, which become segments of one frame;
                uint8 is divided by 255, floats are taken as [0, 1], of which interpolation may overshoot: -0.25 to
                1.25 is accepted.
            landmarks: ``(b, t, k, 2)`` or ``(n, k, 2)`` pixels, of any type of numbers; NaN where there is no face. May
                be left out if no augmentation needs them.
            valid: ``(b, t)``, bool; by default all frames whose landmarks are finite.
            label: ``(b,)``; all real by default. Frames and patches of a fake get its label.
            grid: Patches per side.

        Raises:
            TypeError: for anything but tensors, such as NumPy arrays, and for other dtypes.
            ValueError: if the shapes do not match; if there are no frames; if floating-point frames are not in [0, 1];
                if several landmarks of a frame spread over less than 3 pixels in every frame, as shares of it would.
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
        """Some segments of the batch."""
        return Segment(**{name: value[rows] for name, value in self._fields()})

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Segment:
        """The same segment on another device; ``dtype`` changes frames, mask and labels, never the landmarks."""

        def moved(name: str, value: Tensor) -> Tensor:
            fixed = dtype is None or name in ("landmarks", "valid")
            return value.to(device) if fixed else value.to(device, dtype)

        return Segment(**{name: moved(name, value) for name, value in self._fields()})

    def replace(self, **changes: Tensor) -> Segment:
        """The same segment with some fields exchanged."""
        return dataclasses.replace(self, **changes)

    def _fields(self) -> list[tuple[str, Tensor]]:
        return [(f.name, getattr(self, f.name)) for f in dataclasses.fields(self)]


@dataclass(frozen=True, slots=True)
class RealFakePair:
    """A pseudo-fake and its real twin: the segment it was made from, with the same recolouring.

    Attributes:
        real: The twin; label 0.
        fake: Bit-identical to ``real`` where ``fake.mask`` is 0. ``fake.frame_label`` is the frame gate.
    """

    real: Segment
    fake: Segment

    def __post_init__(self) -> None:
        if self.real.frames.shape != self.fake.frames.shape:
            shapes = f"{tuple(self.real.frames.shape)} and {tuple(self.fake.frames.shape)}"
            raise ValueError(f"twins have the same shape, not {shapes}")

    def __len__(self) -> int:
        return len(self.fake)

    def __getitem__(self, rows: slice | Int[Tensor, " n"]) -> RealFakePair:
        """Some pairs of the batch."""
        return RealFakePair(self.real[rows], self.fake[rows])

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> RealFakePair:
        """See :meth:`Segment.to`."""
        return RealFakePair(self.real.to(device, dtype), self.fake.to(device, dtype))

    def both(self) -> Segment:
        """Real twins, then fakes, as one batch: what a detector trains on."""
        pairs = zip(self.real._fields(), self.fake._fields(), strict=True)
        return Segment(**{name: torch.cat((real, fake)) for (name, real), (_, fake) in pairs})

    @property
    def severity(self) -> Float[Tensor, "b t"]:
        """Mean of the mask over the face; see :func:`mgst_data.core.labels.severity`."""
        return labels.severity(self.fake.mask, self.fake.landmarks)

    @property
    def boundary(self) -> Float[Tensor, "b t 1 h w"]:
        """Where the blend is half and half; see :func:`mgst_data.core.labels.boundary`."""
        return labels.boundary(self.fake.mask)

    @property
    def patch_mask(self) -> Bool[Tensor, "b t g g"]:
        """Patches that are manipulated; see :func:`mgst_data.core.labels.binary_patches`."""
        return labels.binary_patches(self.fake.patch_label)

    @property
    def transition(self) -> Float[Tensor, "b s"]:
        """1 where the gate opens or closes from one frame to the next; s = t - 1."""
        return labels.transition(self.fake.frame_label)

    @property
    def temporal_patches(self) -> Float[Tensor, "b s g g"]:
        """Change of the mask on the face, s = t - 1; see :func:`mgst_data.core.labels.temporal_patches`."""
        return labels.temporal_patches(self.fake.mask, self.fake.landmarks, self.fake.patch_label.shape[-1])
