"""Seven perturbations of test videos at five severities, to measure robustness.

Kinds and values are those of DeeperForensics-1.0 [Jiang et al., CVPR 2020]. All perturbations are applied to crops
here. The following defects of the published code are corrected:

- The reference calls a lower resolution "JPEG compression". Here it is called ``pixelation``.
- The contrast of the reference multiplies all values, so it only darkens. Here the distance from mid-grey is scaled, by
  the same factor in all frames.
- Blocks of the reference have 8 pixels. Their number is multiplied by the shorter side over 256 and rounded down, so
  frames below 256 pixels get none. Here a block has 1/32 of the shorter side and the number is fixed. The covered share
  of the frame is that of the reference at 256 pixels, at any frame size.
- The blur kernel of the reference is given in pixels of the video. Here it is given for a height of 256 pixels and
  grows with the frame. Crops far below 256 pixels hardly change at the first severities.
- Noise and blocks of the reference come from generators without a seed. Here they come from the generator that is
  passed in.
- Noise of the reference is converted to 8 bits without a limit, and bright pixels become black. Here values are rounded
  and limited to 0 to 255.

Noise and blocks differ between frames, as in the reference, which processes single frames. With the same seed, the
blocks of a lower severity are a subset of the blocks of a higher one, and the noise is the same but weaker.
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
# Side of a block as a share of the shorter side of the frame: 8 pixels of 256.
_BLOCK = 1 / 32
_GREY = 128

Frames = UInt8[Tensor, "t 3 h w"]


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One kind of perturbation.

    Attributes:
        values: Strength for each severity, from 1 to 5.
        unit: What the values mean.
        apply: Changes frames with a given value and draws from the generator. None if a video codec is needed.
    """

    values: tuple[float, ...]
    unit: str
    apply: Callable[[Frames, float, torch.Generator], Frames] | None = None

    @property
    def needs_codec(self) -> bool:
        """Whether the perturbation needs a video codec, which the caller passes in."""
        return self.apply is None


def perturb(
    frames: UInt8[Tensor, "t 3 h w"],
    kind: str,
    severity: int,
    generator: torch.Generator,
    *,
    codec: FrameCodec | None = None,
) -> UInt8[Tensor, "t 3 h w"]:
    """Perturbs the frames of one segment or video. The same seed gives bit-identical frames.

    Args:
        frames: RGB frames, at least one.
        kind: A name in :data:`PERTURBATIONS`.
        severity: 1 (hardly visible) to 5.
        generator: Generator on the CPU.
        codec: Encodes and decodes frames at a constant rate factor, such as ``mgst_data.video.h264.encode_h264``.
            Needed for ``h264``. It gets frames on the CPU.

    Returns:
        The same number of frames, of the same size and on the same device. The input is not modified.

    Raises:
        UsageError: if the kind or the severity is unknown, or a codec is needed and not given.
        TypeError: if ``frames`` is not a uint8 tensor, or ``generator`` is not a generator on the CPU.
        ValueError: if ``frames`` has another shape or is empty, or the codec changed the number or size of the frames.
    """
    check_frames(frames, 4, kind="uint8")
    check_generator(generator)
    if len(frames) == 0:
        raise ValueError("frames must have at least one frame, got 0")
    if kind not in PERTURBATIONS:
        raise UsageError(f"unknown perturbation {kind!r}", hint="known: " + ", ".join(PERTURBATIONS))
    if severity not in SEVERITIES:
        raise UsageError(f"severity must be in [1, 5], got {severity}", where=f"perturbation {kind}")
    chosen = PERTURBATIONS[kind]
    value = chosen.values[severity - 1]
    if chosen.apply is not None:
        return chosen.apply(frames, value, generator)
    if codec is None:
        raise UsageError("needs a video codec", where=f"perturbation {kind}", hint="pass one in, such as encode_h264")
    coded = codec(frames.cpu(), int(value)).to(frames.device)
    if coded.shape != frames.shape:
        raise ValueError(f"the codec returned shape {tuple(coded.shape)}, expected {tuple(frames.shape)}")
    return coded


def _augmented(
    augmentation: PictureAugmentation[Any], frames: UInt8[Tensor, "t 3 h w"], generator: torch.Generator
) -> UInt8[Tensor, "t 3 h w"]:
    """Applies the same parameters to all frames, and rounds to 8 bits instead of truncating."""
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
    """Scales the distance of each pixel from grey of the same luminance."""
    return _colour(frames, generator, saturation=value)


def _contrast(frames: UInt8[Tensor, "t 3 h w"], value: float, generator: torch.Generator) -> UInt8[Tensor, "t 3 h w"]:
    """Scales the distance of each pixel from mid-grey."""
    return _colour(frames, generator, contrast=value)


def _block_wise(frames: UInt8[Tensor, "t 3 h w"], value: float, generator: torch.Generator) -> UInt8[Tensor, "t 3 h w"]:
    """Draws grey squares at random places of each frame. Squares may overlap."""
    t, _, h, w = frames.shape
    side = max(1, round(_BLOCK * min(h, w)))
    most = int(max(PERTURBATIONS["block_wise"].values))
    # The same number of places is drawn at every severity, so that a higher severity only adds blocks.
    share = torch.rand(t, most, 2, generator=generator)[:, : int(value)]
    corner = (share * torch.tensor((h - side + 1, w - side + 1))).long()
    step = torch.arange(side)
    rows = (corner[..., 0, None] + step)[..., :, None].expand(-1, -1, side, side)
    columns = (corner[..., 1, None] + step)[..., None, :].expand(-1, -1, side, side)
    covered = torch.zeros(t, h, w, dtype=torch.bool)
    covered[torch.arange(t)[:, None, None, None].expand_as(rows), rows, columns] = True
    return frames.masked_fill(covered[:, None].to(frames.device), _GREY)


def _noise(frames: UInt8[Tensor, "t 3 h w"], value: float, generator: torch.Generator) -> UInt8[Tensor, "t 3 h w"]:
    """Adds normal noise of this variance (range of a channel: 1), independent for each frame, pixel and channel."""
    return _augmented(GaussianNoise(sigma_range=(value**0.5, value**0.5)), frames, generator)


def _blur(frames: UInt8[Tensor, "t 3 h w"], value: float, generator: torch.Generator) -> UInt8[Tensor, "t 3 h w"]:
    """Blurs with a Gaussian that ends at three standard deviations: the deviation is 1/6 of the kernel length."""
    return _augmented(GaussianBlur(sigma_range=(value / 6, value / 6)), frames, generator)


def _pixelation(
    frames: UInt8[Tensor, "t 3 h w"],
    value: float,
    generator: torch.Generator,  # noqa: ARG001 - nothing to draw
) -> UInt8[Tensor, "t 3 h w"]:
    """Divides the resolution by a factor; each remaining pixel becomes a square. A factor needs no reference size."""
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
