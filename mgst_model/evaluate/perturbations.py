"""What happens to videos on their way: seven perturbations at five severities, to measure robustness with.

Kinds and values are those of DeeperForensics-1.0 [Jiang et al., CVPR 2020]; everything is done to crops here, and what
its published code gets wrong is not repeated:

- what it calls JPEG compression divides the resolution; it is called ``pixelation`` here, and that is what it is;
- its contrast multiplies all values, and so only darkens; ours scales the distance from mid-grey, the same in all
  frames, whatever they show;
- its blocks have 8 pixels, and their number is multiplied by the shorter side over 256, rounded down: pictures below
  256 pixels get none. Ours have 1/32 of the shorter side and a fixed number, so that their share of the picture is that
  of the reference at 256 pixels, at any size;
- its blur has a kernel in pixels of the video; ours is given at a height of 256 pixels and grows with the picture, so
  that crops far below that hardly change at the first severities;
- its noise and its blocks come from generators that nobody seeded; ours from the one handed in;
- its noise goes back to 8 bits without a limit where it is used as published, and bright pixels come out black; ours
  are rounded, then kept in 0 to 255.

Noise and blocks differ from frame to frame, as in the reference, which works frame by frame. With the same seed, blocks
of a lower severity are some of those of a higher one, and the noise is the same, weaker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional

from mgst_data.augment import ColourJitter, GaussianBlur, GaussianNoise
from mgst_data.augment.compression import FrameCodec
from mgst_data.augment.photometric import PictureAugmentation
from mgst_data.core import Segment, UsageError, check_generator
from mgst_data.core.checks import check_frames

SEVERITIES = (1, 2, 3, 4, 5)
# Of the shorter side; 8 pixels of 256.
_BLOCK = 1 / 32
_GREY = 128

Frames = UInt8[Tensor, "t 3 h w"]


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One kind of perturbation.

    Attributes:
        values: One for each severity, from 1 to 5.
        unit: What they say.
        apply: Changes frames at a value; draws from the generator.
    """

    values: tuple[float, ...]
    unit: str
    apply: Callable[[Frames, float, torch.Generator], Frames] | None = None

    @property
    def needs_codec(self) -> bool:
        """Whether a video codec does it, which has to be handed in."""
        return self.apply is None


def perturb(
    frames: UInt8[Tensor, "t 3 h w"],
    kind: str,
    severity: int,
    generator: torch.Generator,
    *,
    codec: FrameCodec | None = None,
) -> UInt8[Tensor, "t 3 h w"]:
    """Perturbs the frames of one segment or video. The same seed gives the same bytes.

    Args:
        frames: RGB; at least one.
        kind: A name in :data:`PERTURBATIONS`.
        severity: 1 (hardly visible) to 5.
        generator: On the CPU.
        codec: Codes and decodes frames at a constant rate factor, for ``h264``, such as
            ``mgst_data.video.h264.encode_h264``; it gets them on the CPU.

    Returns:
        As many frames of the same size, on the same device; the ones handed in stay as they are.

    Raises:
        UsageError: for a kind or severity that there is not, or if there is no codec where one is needed.
        TypeError: for frames that are no uint8 tensor, or a generator that is none on the CPU.
        ValueError: for frames of another shape, or none; if the codec returns frames of another number or size.
    """
    check_frames(frames, 4, kind="uint8")
    check_generator(generator)
    if len(frames) == 0:
        raise ValueError("there is no frame to perturb: hand in at least one")
    if kind not in PERTURBATIONS:
        raise UsageError(f"unknown perturbation {kind!r}", hint="known: " + ", ".join(PERTURBATIONS))
    if severity not in SEVERITIES:
        raise UsageError(f"severity is {severity}, outside 1 to 5", where=f"perturbation {kind}")
    chosen = PERTURBATIONS[kind]
    value = chosen.values[severity - 1]
    if chosen.apply is not None:
        return chosen.apply(frames, value, generator)
    if codec is None:
        raise UsageError("needs a video codec", where=f"perturbation {kind}", hint="hand one in, such as encode_h264")
    coded = codec(frames.cpu(), int(value)).to(frames.device)
    if coded.shape != frames.shape:
        raise ValueError(f"the codec returned {tuple(coded.shape)} for {tuple(frames.shape)}")
    return coded


def _augmented(
    augmentation: PictureAugmentation[Any], frames: UInt8[Tensor, "t 3 h w"], generator: torch.Generator
) -> UInt8[Tensor, "t 3 h w"]:
    """One draw for all frames; rounded, not cut off."""
    changed = augmentation(Segment.of(frames[None]), generator=generator).frames[0]
    return changed.mul(255).round_().clamp_(0, 255).to(torch.uint8)


def _colour(
    frames: UInt8[Tensor, "t 3 h w"], generator: torch.Generator, *, contrast: float = 1.0, saturation: float = 1.0
) -> UInt8[Tensor, "t 3 h w"]:
    jitter = ColourJitter(
        brightness_range=(0, 0),
        contrast_range=(contrast, contrast),
        saturation_range=(saturation, saturation),
        hue_range=(0, 0),
    )
    return _augmented(jitter, frames, generator)


def _saturation(frames: UInt8[Tensor, "t 3 h w"], value: float, generator: torch.Generator) -> UInt8[Tensor, "t 3 h w"]:
    """Factor of the distance from grey of the same luminance."""
    return _colour(frames, generator, saturation=value)


def _contrast(frames: UInt8[Tensor, "t 3 h w"], value: float, generator: torch.Generator) -> UInt8[Tensor, "t 3 h w"]:
    """Factor of the distance from mid-grey."""
    return _colour(frames, generator, contrast=value)


def _block_wise(frames: UInt8[Tensor, "t 3 h w"], value: float, generator: torch.Generator) -> UInt8[Tensor, "t 3 h w"]:
    """Grey squares at places drawn for each frame; they may overlap."""
    t, _, h, w = frames.shape
    side = max(1, round(_BLOCK * min(h, w)))
    most = int(max(PERTURBATIONS["block_wise"].values))
    # All places are drawn whatever the severity, so that a higher one adds to a lower one.
    share = torch.rand(t, most, 2, generator=generator)[:, : int(value)]
    corner = (share * torch.tensor((h - side + 1, w - side + 1))).long()
    step = torch.arange(side)
    rows = (corner[..., 0, None] + step)[..., :, None].expand(-1, -1, side, side)
    columns = (corner[..., 1, None] + step)[..., None, :].expand(-1, -1, side, side)
    covered = torch.zeros(t, h, w, dtype=torch.bool)
    covered[torch.arange(t)[:, None, None, None].expand_as(rows), rows, columns] = True
    return frames.masked_fill(covered[:, None].to(frames.device), _GREY)


def _noise(frames: UInt8[Tensor, "t 3 h w"], value: float, generator: torch.Generator) -> UInt8[Tensor, "t 3 h w"]:
    """Normal noise of this variance, where the range of a channel is 1; another for each frame, pixel and channel."""
    return _augmented(GaussianNoise(sigma_range=(value**0.5, value**0.5)), frames, generator)


def _blur(frames: UInt8[Tensor, "t 3 h w"], value: float, generator: torch.Generator) -> UInt8[Tensor, "t 3 h w"]:
    """A Gaussian that ends at three deviations, as kernels of this length with a deviation of a sixth of it do."""
    return _augmented(GaussianBlur(sigma_range=(value / 6, value / 6)), frames, generator)


def _pixelation(
    frames: UInt8[Tensor, "t 3 h w"],
    value: float,
    generator: torch.Generator,  # noqa: ARG001 - nothing to draw
) -> UInt8[Tensor, "t 3 h w"]:
    """Divides the resolution; every pixel that is left becomes a square. A factor needs no reference size."""
    h, w = frames.shape[-2:]
    small = functional.adaptive_avg_pool2d(frames.float(), (max(1, h // int(value)), max(1, w // int(value))))
    large = functional.interpolate(small, size=(h, w), mode="nearest")
    return large.round_().clamp_(0, 255).to(torch.uint8)


PERTURBATIONS: Mapping[str, Perturbation] = {
    "saturation": Perturbation((0.4, 0.3, 0.2, 0.1, 0.0), "factor of the distance from grey", _saturation),
    "contrast": Perturbation((0.85, 0.725, 0.6, 0.475, 0.35), "factor of the distance from mid-grey", _contrast),
    "block_wise": Perturbation((16, 32, 48, 64, 80), "grey blocks", _block_wise),
    "gaussian_noise": Perturbation((0.001, 0.002, 0.005, 0.01, 0.05), "variance", _noise),
    "gaussian_blur": Perturbation((7, 9, 13, 17, 21), "length of the kernel at 256 pixels", _blur),
    "pixelation": Perturbation((2, 3, 4, 5, 6), "divisor of the resolution", _pixelation),
    "h264": Perturbation((30, 32, 35, 38, 40), "constant rate factor"),
}
