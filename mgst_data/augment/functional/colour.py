"""Colour spaces, and changes of colour in them, for pictures whose channels are the third dimension from the end.

Any number of dimensions may come before the channels. Pictures are RGB in [0, 1]. Everything is computed in float32
(float64 for float64) and returned in the input dtype. There is no matrix product, because a GPU may round it to ten
bits. There is no selection per pixel, because it is slow on a CPU: curves of two pieces are sums of two clamped halves.
Gradients are finite everywhere.

This is our own code because ``kornia.color`` (0.9) takes 1.6 times (Lab, YCbCr) to 6 times (HSV) as long on one core,
and because ``mgst_data.augment`` needs torch only.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from mgst_data.augment.functional import opencv

# Weights of red, green and blue in luminance: ITU-R BT.601.
LUMINANCE = (0.299, 0.587, 0.114)
# A chroma below this has no defined hue. The bound keeps grey pixels and their gradients finite.
_GREY = 1e-6
# Tolerance of rounding down, in steps.
_WHOLE = 1e-3
# Below this, in units of Lab, a channel counts as flat: 8-bit greys are about 0.4 apart.
_FLAT = 0.1

# Linear sRGB to CIE XYZ, each row divided by its white point (D65), so that greys have X = Y = Z: IEC 61966-2-1.
_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
_TO_WHITE = tuple(tuple(share / sum(row) for share in row) for row in _XYZ)
_FROM_WHITE = tuple(map(tuple, torch.linalg.inv(torch.tensor(_TO_WHITE, dtype=torch.float64)).tolist()))
# Ends of the linear parts of two curves: that of sRGB (encoded and linear), and that of CIE 1976.
_KNEE, _LINEAR_KNEE = 0.04045, 0.04045 / 12.92
_DELTA = 6 / 29


def luminance(rgb: Float[Tensor, "*n 3 h w"]) -> Float[Tensor, "*n 1 h w"]:
    """Computes 0.299 R + 0.587 G + 0.114 B [ITU-R BT.601]."""
    return _luma(_wide(rgb)).unsqueeze(-3).to(rgb.dtype)


def rgb_to_ycbcr(rgb: Float[Tensor, "*n 3 h w"]) -> Float[Tensor, "*n 3 h w"]:
    """Converts RGB to Y, Cb, Cr in [0, 1], full range; chroma is 0.5 for greys [JFIF 1.02, ITU-T T.871]."""
    wide = _wide(rgb)
    luma = _luma(wide)
    blue = (wide[..., 2, :, :] - luma).mul_(0.5 / (1 - LUMINANCE[2])).add_(0.5)
    red = (wide[..., 0, :, :] - luma).mul_(0.5 / (1 - LUMINANCE[0])).add_(0.5)
    return torch.stack((luma, blue, red), dim=-3).to(rgb.dtype)


def ycbcr_to_rgb(ycbcr: Float[Tensor, "*n 3 h w"]) -> Float[Tensor, "*n 3 h w"]:
    """Undoes :func:`rgb_to_ycbcr`. The result is not clamped: not every Y, Cb, Cr is an RGB colour."""
    luma, blue, red = _wide(ycbcr).unbind(-3)
    from_red, from_blue = 2 * (1 - LUMINANCE[0]), 2 * (1 - LUMINANCE[2])
    red_in_green, blue_in_green = from_red * LUMINANCE[0] / LUMINANCE[1], from_blue * LUMINANCE[2] / LUMINANCE[1]
    r = torch.add(luma, red, alpha=from_red).sub_(from_red / 2)
    g = torch.add(luma, red, alpha=-red_in_green).sub_(blue, alpha=blue_in_green)
    b = torch.add(luma, blue, alpha=from_blue).sub_(from_blue / 2)
    return torch.stack((r, g.add_((red_in_green + blue_in_green) / 2), b), dim=-3).to(ycbcr.dtype)


def shift_hsv(
    rgb: Float[Tensor, "*n 3 h w"],
    hue: Float[Tensor, "..."],
    saturation: Float[Tensor, "..."],
    value: Float[Tensor, "..."],
    *,
    levels: tuple[float, float, float] | None = None,
) -> Float[Tensor, "*n 3 h w"]:
    """Adds to hue, saturation and value of the hexcone model [Smith, "Color gamut transform pairs", 1978].

    The hue is cyclic; saturation and value are clamped to [0, 1]. As in OpenCV, a grey has the hue 0 (red), so it
    becomes coloured if the saturation increases.

    Args:
        rgb: Pictures in [0, 1].
        hue: Added to the hue, in turns. Its dimensions are the first dimensions of ``rgb``, or 1: (b,) or (b, 1) for
            one value per segment, (b, t) for one per frame, () for one in all.
        saturation: Added to the saturation, in [-1, 1].
        value: Added to the value, in [-1, 1].
        levels: Steps per turn of the hue, and of saturation and value from 0 to 1. All three are then rounded to steps
            before the shift, and rounded down after it, as in albumentations on 8-bit pictures. None rounds nothing.
    """
    wide = _wide(rgb)
    r, g, b = wide.unbind(-3)
    turn, more, lighter = (_leading(shift, r).to(wide) for shift in (hue, saturation, value))
    high, low = torch.maximum(torch.maximum(r, g), b), torch.minimum(torch.minimum(r, g), b)
    chroma = high - low
    # With u = (channel - low) / chroma, the distance from red along the hexagon is 1 - u_r + u_g + u_b on both sides;
    # the sign of G - B distinguishes the sides.
    away = (g + b).sub_(r).sub_(low).add_(chroma).div_(chroma.clamp_min(_GREY)).copysign_(g - b)
    share = chroma / high.clamp_min(_GREY)
    if levels is None:
        # In turns, and above 0, so that frac wraps around.
        angle = torch.add(torch.remainder(turn, 1) + 1, away, alpha=1 / 6).frac_()
        share, top = share.add_(more).clamp_(0, 1), (high + lighter).clamp_(0, 1)
    else:
        angle = _stepped(away / 6, torch.remainder(turn, 1) + 1, levels[0]).frac_()
        share, top = (_stepped(*one).clamp_(0, 1) for one in ((share, more, levels[1]), (high, lighter, levels[2])))
    if opencv.usable(angle, share, top):
        return opencv.hsv_to_rgb(angle.mul_(360), share, top).to(rgb.dtype)
    span = share.mul_(top)
    # Six times a chroma, as angles are in turns; each channel is a trapezium over the circle.
    six, bottom = span * 6, top - span
    red = (angle - 0.5).abs_().clamp_(1 / 6, 1 / 3).sub_(1 / 6).mul_(six).add_(bottom)
    green = (angle - 1 / 3).abs_().clamp_(1 / 6, 1 / 3).sub_(1 / 6).mul_(six)
    blue = angle.sub_(2 / 3).abs_().clamp_(1 / 6, 1 / 3).sub_(1 / 6).mul_(six)
    # Rounding may make black slightly less than 0.
    return torch.stack((red, top - green, top - blue), dim=-3).clamp_min_(0).to(rgb.dtype)


def _stepped(values: Tensor, shift: Tensor, levels: float) -> Tensor:
    """Rounds values to steps, shifts them, and rounds them down to steps again."""
    # OpenCV rounds halves up. A whole number of steps must not be rounded down by one.
    return (values * levels).add_(0.5 + _WHOLE).floor_().add_((shift * levels + _WHOLE).floor()).div_(levels)


def rgb_to_lab(rgb: Float[Tensor, "*n 3 h w"]) -> Float[Tensor, "*n 3 h w"]:
    """Converts sRGB pictures to CIE 1976 L* in [0, 100], a*, b* under D65; a* = b* = 0 for greys.

    The curve and matrix of sRGB are those of IEC 61966-2-1, Lab is that of CIE 15. Half precision has steps of up to
    0.5 at L* = 100.
    """
    wide = _wide(rgb)
    linear = _power(wide.clamp(_KNEE, 1).add_(0.055).div_(1.055), 2.4)
    linear = linear.add(wide.clamp_max(_KNEE).sub_(_KNEE), alpha=1 / 12.92)
    x, y, z = (_cube_root(channel) for channel in _mix(_TO_WHITE, linear))
    light = y.mul(116).sub_(16)
    return torch.stack((light, x.sub(y).mul_(500), y.sub(z).mul_(200)), dim=-3).to(rgb.dtype)


def lab_to_rgb(lab: Float[Tensor, "*n 3 h w"]) -> Float[Tensor, "*n 3 h w"]:
    """Undoes :func:`rgb_to_lab`. Colours outside sRGB are clamped in linear light."""
    light, a, b = _wide(lab).unbind(-3)
    y = light.add(16).div_(116)
    x, z = torch.add(y, a, alpha=1 / 500), torch.sub(y, b, alpha=1 / 200)
    linear = torch.stack(_mix(_FROM_WHITE, torch.stack([_cube(channel) for channel in (x, y, z)], dim=-3)), dim=-3)
    rgb = _power(linear.clamp(_LINEAR_KNEE, 1), 1 / 2.4).mul(1.055).sub_(0.055)
    rgb = rgb.add(linear.clamp(0, _LINEAR_KNEE).sub_(_LINEAR_KNEE), alpha=12.92)
    return rgb.clamp_(0, 1).to(lab.dtype)


def match_colour(
    source: Float[Tensor, "*n 3 h w"],
    target: Float[Tensor, "*n 3 h w"],
    weight: Float[Tensor, "*m 1 h w"],
    *,
    together: tuple[int, ...] = (-2, -1),
) -> Float[Tensor, "*n 3 h w"]:
    """Gives the source the mean and the standard deviation of the target, in each channel of Lab.

    Reinhard et al., "Color transfer between images" (2001), in CIE Lab. Where all weights are 0, the source stays
    unchanged. A channel with a deviation of less than 0.1 Lab units counts as having a deviation of 0.1.

    Args:
        source: Pictures to recolour. All of their pixels are changed.
        target: Pictures whose colour the source gets.
        weight: Weight of each pixel in the statistics of both pictures, at least 0. It may lack dimensions of the
            pictures, or have size 1 there.
        together: Dimensions that share one mean. By default rows and columns, so each frame is matched separately. (-4,
            -2, -1) takes all frames of (b, t, 3, h, w) together, which cannot flicker.
    """
    weight = _wide(weight).expand(*source.shape[:-3], 1, *source.shape[-2:])
    weight = weight / weight.sum(dim=together, keepdim=True).clamp_min(_GREY)
    ours, theirs = rgb_to_lab(_wide(source)), rgb_to_lab(_wide(target))
    mean, deviation = _statistics(ours, weight, together)
    wanted, spread = _statistics(theirs, weight, together)
    scale = spread / deviation
    return lab_to_rgb(torch.addcmul(wanted - mean * scale, ours, scale)).to(source.dtype)


def _statistics(lab: Tensor, weight: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    mean = (lab * weight).sum(dim=dims, keepdim=True)
    variance = (lab - mean).square().mul(weight).sum(dim=dims, keepdim=True)
    return mean, variance.clamp_min(_FLAT**2).sqrt()


def _wide(pictures: Tensor) -> Tensor:
    """Returns pictures in float32, or in float64 if they have this dtype. Other dtypes are converted."""
    return pictures if pictures.dtype in (torch.float32, torch.float64) else pictures.float()


def _leading(values: Tensor, channel: Tensor) -> Tensor:
    """Reshapes parameters so that they broadcast over the first dimensions of a channel."""
    return values.reshape(values.shape + (1,) * (channel.ndim - values.ndim))


def _luma(wide: Tensor) -> Tensor:
    r, g, b = wide.unbind(-3)
    return (r * LUMINANCE[0]).add_(g, alpha=LUMINANCE[1]).add_(b, alpha=LUMINANCE[2])


def _mix(matrix: tuple[tuple[float, ...], ...], pictures: Tensor) -> list[Tensor]:
    """Returns three channels. Each is a weighted sum of the given three."""
    one, two, three = pictures.unbind(-3)
    return [(one * row[0]).add_(two, alpha=row[1]).add_(three, alpha=row[2]) for row in matrix]


def _power(base: Tensor, exponent: float) -> Tensor:
    """Computes a power of positive numbers in place. A quarter faster than ``pow`` and as exact as float32 needs.

    The base must be a new tensor. The result must not be changed in place, because its gradient uses it.
    """
    return base.log_().mul_(exponent).exp_()


def _cube_root(channel: Tensor) -> Tensor:
    """Computes the cube root of CIE, which is linear near black."""
    straight = channel.clamp_max(_DELTA**3).sub_(_DELTA**3)
    return _power(channel.clamp_min(_DELTA**3), 1 / 3).add(straight, alpha=1 / (3 * _DELTA**2))


def _cube(channel: Tensor) -> Tensor:
    straight = channel.clamp_max(_DELTA).sub_(_DELTA)
    return channel.clamp_min(_DELTA).pow_(3).add_(straight, alpha=3 * _DELTA**2)
