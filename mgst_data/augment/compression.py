"""Compression: JPEG, an approximation of H.264 that runs on any device, and real codecs that are passed in.

This is our own code because JPEG of kornia takes 9 times as long on one core (``benchmarks/results/augment.json``) and
draws from torch's global generator, and because kornia has no video codec.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

from mgst_data.augment.base import AUGMENTATIONS
from mgst_data.augment.functional import draw
from mgst_data.augment.functional.colour import rgb_to_ycbcr, ycbcr_to_rgb
from mgst_data.augment.photometric import PictureAugmentation, PictureParams
from mgst_data.core.segment import Segment

# Tables K.1 (luminance) and K.2 (chrominance) of ITU-T T.81, row by row.
_LUMINANCE_TABLE = (
    16, 11, 10, 16, 24, 40, 51, 61,
    12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,
    24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMINANCE_TABLE = (
    17, 18, 24, 47, 99, 99, 99, 99,
    18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99,
    *(99,) * 32,
)  # fmt: skip
# Quantisers of chroma for quantisers of luma from 30 to 51 (table 8-15 of ITU-T H.264). Below 30, both are the same.
_CHROMA_QP = (29, 30, 31, 32, 32, 33, 34, 34, 35, 35, 36, 36, 37, 37, 37, 38, 38, 38, 39, 39, 39, 39)
# Side of a macroblock: 2 x 2 blocks of luma, one block of each chroma at half size.
_MACROBLOCK = 16
# Factor of the step size of predicted frames: the default of x264.
_PREDICTED = 1.4
# Level shift of a block, times 8: 128 of 255 for luma, and the grey of chroma.
_LUMA_LEVEL, _CHROMA_LEVEL = 8 * 128 / 255, 8 * 0.5


@dataclass(frozen=True)
class JpegParams(PictureParams):
    """JPEG quality of each segment."""

    quality: Int[Tensor, " b"]


@AUGMENTATIONS.register("jpeg")
class Jpeg(PictureAugmentation[JpegParams]):
    """Compresses every frame as JPEG and decodes it. Label-preserving; segment grain; qualities 40 to 100 as in SBI.

    The arithmetic of baseline JPEG [ITU-T T.81, JFIF] runs on the device and in one batch: YCbCr, chroma at half size,
    8 x 8 DCT, the tables of annex K scaled as in the library of the IJG, rounding, and the inverse, with chroma
    interpolated linearly. Entropy coding is left out, because it is lossless. Two details are our own: only
    coefficients are rounded, not samples, and the gradient passes the rounding unchanged. Where matrix products are
    rounded to TF32, a coefficient half-way between two steps may be rounded to the other step.

    Args:
        quality_range: Quality on the scale of the IJG, integers from 1 to 100; both ends can be drawn.
        subsample: Whether chroma has half the size (4:2:0), the default of most encoders.
        p: Probability that a segment is compressed.
    """

    def __init__(self, *, quality_range: tuple[int, int] = (40, 100), subsample: bool = True, p: float = 1.0) -> None:
        super().__init__(p=p)
        draw.check_counts("quality_range", quality_range, low=1, high=100)
        self.quality_range, self.subsample = quality_range, subsample

    def sample(self, segment: Segment, generator: torch.Generator) -> JpegParams:
        """Draws which segments are compressed, and the quality."""
        active = draw.chance((len(segment),), self.p, generator)
        return JpegParams(active, draw.integers((len(segment),), *self.quality_range, generator))

    def change(self, frames: Float[Tensor, "n t 3 h w"], params: JpegParams) -> Float[Tensor, "n t 3 h w"]:
        """Quantises the coefficients of every block."""
        # The tables are for samples in [0, 255], the frames are in [0, 1].
        tables = (quantisation_tables(params.quality) / 255).to(frames.device, frames.dtype, non_blocking=True)
        tables = tables[:, :, None, None, None, :, None, :]
        luma, chroma = to_blocks(frames, subsample=self.subsample)
        return from_blocks(_quantise(luma, tables[:, 0]), _quantise(chroma, tables[:, 1]), *frames.shape[-2:])


def quantisation_tables(quality: Int[Tensor, " n"]) -> Float[Tensor, "n 2 8 8"]:
    """Returns step sizes of luminance and chrominance for samples in [0, 255].

    They are the tables of annex K, scaled by the formula of the IJG.
    """
    tables = torch.tensor((_LUMINANCE_TABLE, _CHROMINANCE_TABLE)).reshape(2, 8, 8)
    percent = torch.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return ((tables * percent[:, None, None, None] + 50) // 100).clamp(1, 255).float()


@dataclass(frozen=True)
class BlockCodecParams(PictureParams):
    """Quantiser of each segment, and its first key frame."""

    qp: Int[Tensor, " b"]
    phase: Int[Tensor, " b"]


@AUGMENTATIONS.register("block_codec")
class BlockCodec(PictureAugmentation[BlockCodecParams]):
    """Makes block artefacts like a video codec at a low bit rate. Label-preserving; segment grain.

    This is our own approximation of H.264: it makes the same kinds of artefacts, but not those of a real encoder. A
    codec predicts each frame from the decoded frame before it, in sequence. Here every frame is predicted from the last
    key frame (from the first key frame if there is none before), so all frames are coded at once. A difference is coded
    with steps 1.4 times as large (the ratio of x264). A macroblock of 16 x 16 pixels with a small difference is copied
    from the key frame, and stays still until the next key frame. There is no motion search, no prediction within a
    frame and no deblocking filter.

    Blocks are 8 x 8, and chroma has half the size. The step doubles every 6 quantisers and is 1 at quantiser 4, with
    the dead zones (1/3, 1/6) and the chroma table of H.264. The gradient passes the quantisation unchanged; where a
    block was copied, it goes to the key frame.

    Args:
        qp_range: Quantisers, integers from 0 to 51; both ends can be drawn. 23 and 40 are common rates (CRF) of
            deepfake data sets.
        key_every: Frames from one key frame to the next.
        p: Probability that a segment is compressed.

    Raises:
        ValueError: if a range is invalid or ``key_every`` is below 1.
    """

    def __init__(self, *, qp_range: tuple[int, int] = (23, 40), key_every: int = 8, p: float = 1.0) -> None:
        super().__init__(p=p)
        draw.check_counts("qp_range", qp_range, low=0, high=51)
        if key_every < 1:
            raise ValueError(f"key_every must be at least 1, got {key_every}")
        self.qp_range, self.key_every = qp_range, key_every

    def sample(self, segment: Segment, generator: torch.Generator) -> BlockCodecParams:
        """Draws which segments are compressed, the quantiser, and the first key frame."""
        b = (len(segment),)
        active = draw.chance(b, self.p, generator)
        qp = draw.integers(b, *self.qp_range, generator)
        return BlockCodecParams(active, qp, draw.integers(b, 0, self.key_every - 1, generator))

    def change(self, frames: Float[Tensor, "n t 3 h w"], params: BlockCodecParams) -> Float[Tensor, "n t 3 h w"]:
        """Codes key frames and the differences to them, both as coefficients, which are linear in the samples."""
        number, phase = torch.arange(frames.shape[1]), params.phase[:, None]
        key = phase + ((number - phase) // self.key_every).clamp_min(0) * self.key_every
        key = key.clamp_max(frames.shape[1] - 1)
        luma_step, chroma_step = _steps(params.qp).to(frames.device, frames.dtype, non_blocking=True).unbind(1)
        is_key, key = (x.to(frames.device, non_blocking=True) for x in (key == number, key))
        rows = torch.arange(len(frames), device=frames.device)[:, None]
        luma, chroma = to_blocks(frames, subsample=True)
        still_luma = _quantise(luma, luma_step, dead_zone=1 / 3)[rows, key]
        still_chroma = _quantise(chroma, chroma_step, dead_zone=1 / 3)[rows, key]
        luma, chroma = luma - still_luma, chroma - still_chroma
        # By Parseval, the mean square of the coefficients is that of the samples.
        power = functional.avg_pool2d(luma.detach().square().mean(dim=(4, 6))[:, :, 0], 2)
        coded = (power > (luma_step[:, :, 0, :, 0, :, 0] / 8).square()) & ~is_key[:, :, None, None]
        coded = coded[:, :, None, :, None, :, None].to(frames.dtype)
        luma = _quantise(luma, luma_step * _PREDICTED, dead_zone=1 / 6)
        luma = luma * coded.repeat_interleave(2, dim=3).repeat_interleave(2, dim=5)
        chroma = _quantise(chroma, chroma_step * _PREDICTED, dead_zone=1 / 6) * coded
        return from_blocks(luma.add_(still_luma), chroma.add_(still_chroma), *frames.shape[-2:])


def _steps(qp: Int[Tensor, " n"]) -> Float[Tensor, "n 2 1 1 1 1 1 1"]:
    """Returns steps of luma and chroma for samples in [0, 1] and an orthonormal DCT.

    The step is 1/255 at quantiser 4 and doubles every 6 quantisers.
    """
    chroma = torch.tensor((*range(30), *_CHROMA_QP))[qp]
    step: Tensor = 2 ** ((torch.stack((qp, chroma), dim=1) - 4) / 6) / 255
    return step[:, :, None, None, None, None, None, None]


@runtime_checkable
class FrameCodec(Protocol):
    """Codec that encodes the frames of a segment at a constant rate factor, and decodes them."""

    def __call__(self, frames: UInt8[Tensor, "t 3 h w"], crf: int, /) -> UInt8[Tensor, "t 3 h w"]:
        """Encodes and decodes frames.

        Args:
            frames: Frames of one segment, on the CPU.
            crf: Constant rate factor.

        Returns:
            Decoded frames of the same number and size, on the CPU.
        """
        ...


@dataclass(frozen=True)
class H264Params(PictureParams):
    """Constant rate factor of each segment."""

    crf: Int[Tensor, " b"]


@AUGMENTATIONS.register("h264")
class H264(PictureAugmentation[H264Params]):
    """Encodes each segment as a video with a real codec, and decodes it. Label-preserving; segment grain.

    Use it offline: it processes segments one by one and waits for the device, because the codec runs on the CPU. It is
    the only augmentation that does so. The gradient passes unchanged. :class:`BlockCodec` is an approximation for any
    device. The default rates are those of common deepfake data sets::

        from mgst_data.video.h264 import encode_h264

        H264(encode_h264, crf_range=(23, 40), p=0.5)

    Args:
        codec: Function that encodes and decodes the frames of one segment.
        crf_range: Constant rate factors, integers from 0 (lossless except for chroma) to 51; both ends can be drawn.
        p: Probability that a segment is coded.
    """

    def __init__(self, codec: FrameCodec, *, crf_range: tuple[int, int] = (23, 40), p: float = 1.0) -> None:
        super().__init__(p=p)
        draw.check_counts("crf_range", crf_range, low=0, high=51)
        self.codec, self.crf_range = codec, crf_range

    def __repr__(self) -> str:
        name = getattr(self.codec, "__name__", repr(self.codec))
        return f"H264({name}, crf_range={self.crf_range}, p={self.p!r})"

    def sample(self, segment: Segment, generator: torch.Generator) -> H264Params:
        """Draws which segments are coded, and the rate factor."""
        active = draw.chance((len(segment),), self.p, generator)
        return H264Params(active, draw.integers((len(segment),), *self.crf_range, generator))

    def change(self, frames: Float[Tensor, "n t 3 h w"], params: H264Params) -> Float[Tensor, "n t 3 h w"]:
        """Passes one segment after another to the codec.

        Raises:
            ValueError: if the codec returns another number or size of frames.
        """
        levels = frames.detach().mul(255).round_().clamp_(0, 255).to(torch.uint8).cpu()
        decoded = [self.codec(one, int(crf)) for one, crf in zip(levels, params.crf, strict=True)]
        for one in decoded:
            if one.shape != levels.shape[1:]:
                shapes = f"{tuple(levels.shape[1:])}, got {tuple(one.shape)}"
                raise ValueError(f"the codec must return frames of shape {shapes}")
        return _through(torch.stack(decoded).to(frames.device, frames.dtype).div_(255), frames)


def to_blocks(
    frames: Float[Tensor, "n t 3 h w"], *, subsample: bool
) -> tuple[Float[Tensor, "n t 1 y 8 x 8"], Float[Tensor, "n t 2 v 8 u 8"]]:
    """Computes DCT coefficients of luma and chroma: level shift and 8 x 8 DCT-II [ITU-T T.81, A.3.1 and A.3.3].

    Border pixels are repeated if a side is not a multiple of the block size (8, or 16 with chroma at half size).

    Args:
        frames: RGB frames in [0, 1].
        subsample: Whether chroma has half the size.

    Returns:
        Coefficients of luma, and of both chroma channels, in blocks of 8 x 8.
    """
    n, t, _, h, w = frames.shape
    side = _MACROBLOCK if subsample else 8
    if h % side or w % side:
        flat = functional.pad(frames.flatten(0, 1), (0, -w % side, 0, -h % side), mode="replicate")
        frames = flat.reshape(n, t, *flat.shape[1:])
    planes = rgb_to_ycbcr(frames)
    dct = _dct()
    # One matrix averages two samples and transforms them.
    halved = dct @ torch.eye(8).repeat_interleave(2, dim=1).div_(2) if subsample else dct
    luma = _transform(planes[:, :, :1], dct.to(frames.device, frames.dtype, non_blocking=True))
    chroma = _transform(planes[:, :, 1:], halved.to(frames.device, frames.dtype, non_blocking=True))
    luma[..., 0, :, 0].sub_(_LUMA_LEVEL)
    chroma[..., 0, :, 0].sub_(_CHROMA_LEVEL)
    return luma, chroma


def from_blocks(
    luma: Float[Tensor, "n t 1 y 8 x 8"], chroma: Float[Tensor, "n t 2 v 8 u 8"], height: int, width: int
) -> Float[Tensor, "n t 3 {height} {width}"]:
    """Undoes :func:`to_blocks`, and may overwrite its arguments.

    Samples are clamped to [0, 1]. Chroma at half size is enlarged by bilinear interpolation.

    Args:
        luma: Coefficients of luma.
        chroma: Coefficients of both chroma channels.
        height: Height of the frames, pixels.
        width: Width of the frames, pixels.
    """
    luma[..., 0, :, 0].add_(_LUMA_LEVEL)
    chroma[..., 0, :, 0].add_(_CHROMA_LEVEL)
    back = _dct().mT.to(luma.device, luma.dtype, non_blocking=True)
    bright, colour = (_transform_back(blocks, back).clamp_(0, 1) for blocks in (luma, chroma))
    if colour.shape != (*bright.shape[:2], 2, *bright.shape[3:]):
        large = functional.interpolate(colour.flatten(0, 1), scale_factor=2.0, mode="bilinear", align_corners=False)
        colour = large.reshape(*bright.shape[:2], 2, *bright.shape[3:])
    return ycbcr_to_rgb(torch.cat((bright, colour), dim=2)[..., :height, :width])


def _dct() -> Float[Tensor, "8 8"]:
    """Returns the orthonormal DCT-II of eight samples."""
    frequency, place = torch.arange(8)[:, None], torch.arange(8)
    matrix = torch.cos((2 * place + 1) * frequency * (math.pi / 16)) / 2
    matrix[0] /= math.sqrt(2)
    return matrix


def _transform(planes: Float[Tensor, "n t c h w"], matrix: Float[Tensor, "8 s"]) -> Float[Tensor, "n t c y 8 x 8"]:
    """Transforms blocks of s x s samples to 8 x 8 coefficients: along the columns, then along the rows."""
    n, t, c, h, w = planes.shape
    s = matrix.shape[1]
    down = matrix @ planes.reshape(n, t, c, h // s, s, w)
    return down.reshape(n, t, c, h // s, 8, w // s, s) @ matrix.mT


def _transform_back(blocks: Float[Tensor, "n t c y 8 x 8"], matrix: Float[Tensor, "8 8"]) -> Float[Tensor, "n t c h w"]:
    """Transforms coefficients back to samples."""
    return (matrix @ (blocks @ matrix.mT).flatten(-2)).flatten(-3, -2)


def _quantise(blocks: Tensor, step: Tensor, *, dead_zone: float = 0.5) -> Tensor:
    """Rounds to multiples of the step: ``floor(|x| / step + dead_zone)`` with the sign of x; 0.5 is plain rounding."""
    steps = blocks / step
    shrunk = steps if dead_zone == 0.5 else functional.softshrink(steps, 0.5 - dead_zone)
    return _through(shrunk.round(), steps).mul_(step)


def _through(exact: Tensor, smooth: Tensor) -> Tensor:
    """Returns the first value with the gradient of the second. The result is a new tensor if the first one is."""
    return smooth + (exact - smooth).detach() if smooth.requires_grad else exact
