"""Colour spaces, and changes of colour in them, for pictures with their channels third from the end.

Any number of dimensions may come before the channels. Pictures are RGB in [0, 1]. All is worked out in float32 (float64
for float64), and comes back in the type it came in. There is no matrix product, which a GPU may round to ten bits, and
no choice pixel by pixel, which a CPU is slow at: curves of two pieces are sums of two clamped halves. Gradients are
finite everywhere.

This is own code because ``kornia.color`` (0.9) takes 1.6 times (Lab, YCbCr) to 6 times (HSV) as long on one core, and
because ``mgst_data.augment`` needs torch only.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

# Shares of red, green and blue in luminance: ITU-R BT.601.
LUMINANCE = (0.299, 0.587, 0.114)
# A chroma below this has no hue to speak of; it keeps grey pixels, and gradients at them, finite.
_GREY = 1e-6
# Below this, in units of Lab, a channel counts as flat: 8-bit greys are about 0.4 apart.
_FLAT = 0.1

# Linear sRGB to CIE XYZ, each row divided by the white of it (D65), so that greys have X = Y = Z: IEC 61966-2-1.
_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
_TO_WHITE = tuple(tuple(share / sum(row) for share in row) for row in _XYZ)
_FROM_WHITE = tuple(map(tuple, torch.linalg.inv(torch.tensor(_TO_WHITE, dtype=torch.float64)).tolist()))
# Where the straight pieces of the two curves end: sRGB's (encoded and linear), and CIE 1976's.
_KNEE, _LINEAR_KNEE = 0.04045, 0.04045 / 12.92
_DELTA = 6 / 29


def luminance(rgb: Float[Tensor, "*n 3 h w"]) -> Float[Tensor, "*n 1 h w"]:
    """0.299 R + 0.587 G + 0.114 B [ITU-R BT.601]."""
    return _luma(_wide(rgb)).unsqueeze(-3).to(rgb.dtype)


def rgb_to_ycbcr(rgb: Float[Tensor, "*n 3 h w"]) -> Float[Tensor, "*n 3 h w"]:
    """Y, Cb, Cr in [0, 1], chroma 0.5 for greys; full range [JFIF 1.02, ITU-T T.871]."""
    wide = _wide(rgb)
    luma = _luma(wide)
    blue = (wide[..., 2, :, :] - luma).mul_(0.5 / (1 - LUMINANCE[2])).add_(0.5)
    red = (wide[..., 0, :, :] - luma).mul_(0.5 / (1 - LUMINANCE[0])).add_(0.5)
    return torch.stack((luma, blue, red), dim=-3).to(rgb.dtype)


def ycbcr_to_rgb(ycbcr: Float[Tensor, "*n 3 h w"]) -> Float[Tensor, "*n 3 h w"]:
    """Undoes :func:`rgb_to_ycbcr`. Not clamped: not every Y, Cb, Cr is a colour."""
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
) -> Float[Tensor, "*n 3 h w"]:
    """Adds to hue, saturation and value of the hexcone model [Smith, "Color gamut transform pairs", 1978].

    The hue runs round in a circle, saturation and value are clamped to [0, 1]. A grey has the hue 0 (red) as in OpenCV,
    so that it turns coloured where the saturation rises.

    Args:
        rgb: Pictures.
        hue: Share of the circle to turn by. The dimensions are the first ones of ``rgb``, or 1: (b,) or (b, 1) holds
            for segments, (b, t) for frames, () for all.
        saturation: Added to the saturation, in [-1, 1].
        value: Added to the value, in [-1, 1].
    """
    wide = _wide(rgb)
    r, g, b = wide.unbind(-3)
    turn, more, lighter = (_leading(shift, r).to(wide) for shift in (hue, saturation, value))
    high, low = torch.maximum(torch.maximum(r, g), b), torch.minimum(torch.minimum(r, g), b)
    chroma = high - low
    # With u = (channel - low) / chroma, the distance from red along the hexagon is 1 - u_r + u_g + u_b on both sides;
    # the sign of G - B tells the sides apart.
    away = (g + b).sub_(r).sub_(low).add_(chroma).div_(chroma.clamp_min(_GREY)).copysign_(g - b)
    # In turns, and above 0, so that frac wraps around.
    angle = torch.add(torch.remainder(turn, 1) + 1, away, alpha=1 / 6).frac_()
    share = (chroma / high.clamp_min(_GREY)).add_(more).clamp_(0, 1)
    top = (high + lighter).clamp_(0, 1)
    span = share.mul_(top)
    # Six times a chroma, as angles are in turns; each channel is a trapezium over the circle.
    six, bottom = span * 6, top - span
    red = (angle - 0.5).abs_().clamp_(1 / 6, 1 / 3).sub_(1 / 6).mul_(six).add_(bottom)
    green = (angle - 1 / 3).abs_().clamp_(1 / 6, 1 / 3).sub_(1 / 6).mul_(six)
    blue = angle.sub_(2 / 3).abs_().clamp_(1 / 6, 1 / 3).sub_(1 / 6).mul_(six)
    # Black may come out a rounding error below 0.
    return torch.stack((red, top - green, top - blue), dim=-3).clamp_min_(0).to(rgb.dtype)


def rgb_to_lab(rgb: Float[Tensor, "*n 3 h w"]) -> Float[Tensor, "*n 3 h w"]:
    """CIE 1976 L* in [0, 100], a*, b* of sRGB pictures under D65; a* = b* = 0 for greys.

    Curve and matrix of sRGB from IEC 61966-2-1, Lab from CIE 15. Half precision has steps of up to 0.5 at L* = 100.
    """
    wide = _wide(rgb)
    linear = _power(wide.clamp(_KNEE, 1).add_(0.055).div_(1.055), 2.4)
    linear = linear.add(wide.clamp_max(_KNEE).sub_(_KNEE), alpha=1 / 12.92)
    x, y, z = (_cube_root(channel) for channel in _mix(_TO_WHITE, linear))
    light = y.mul(116).sub_(16)
    return torch.stack((light, x.sub(y).mul_(500), y.sub(z).mul_(200)), dim=-3).to(rgb.dtype)


def lab_to_rgb(lab: Float[Tensor, "*n 3 h w"]) -> Float[Tensor, "*n 3 h w"]:
    """Undoes :func:`rgb_to_lab`; colours that sRGB does not have are clamped, in linear light."""
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

    Reinhard et al., "Color transfer between images" (2001), in CIE Lab. Where the weights are all 0, the source stays
    as it is; a channel flatter than 0.1 of a Lab unit counts as having that deviation.

    Args:
        source: Pictures to recolour, as a whole.
        target: Pictures whose colour they get.
        weight: How much each pixel counts in the statistics of both, at least 0; it may lack dimensions that the
            pictures have, or have 1 there.
        together: Dimensions that share one mean: rows and columns by default, so that each frame is matched for itself;
            (-4, -2, -1) for all frames of (b, t, 3, h, w) at once, which cannot flicker.
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
    """Half precision becomes float32; the others stay what they are, and where they are."""
    return pictures if pictures.dtype in (torch.float32, torch.float64) else pictures.float()


def _leading(values: Tensor, channel: Tensor) -> Tensor:
    """Parameters over the first dimensions of a channel."""
    return values.reshape(values.shape + (1,) * (channel.ndim - values.ndim))


def _luma(wide: Tensor) -> Tensor:
    r, g, b = wide.unbind(-3)
    return (r * LUMINANCE[0]).add_(g, alpha=LUMINANCE[1]).add_(b, alpha=LUMINANCE[2])


def _mix(matrix: tuple[tuple[float, ...], ...], pictures: Tensor) -> list[Tensor]:
    """Three channels, each a sum of the three given."""
    one, two, three = pictures.unbind(-3)
    return [(one * row[0]).add_(two, alpha=row[1]).add_(three, alpha=row[2]) for row in matrix]


def _power(base: Tensor, exponent: float) -> Tensor:
    """A power of fresh, positive numbers, in place; a quarter faster than ``pow`` and as exact as float32 needs.

    The result must not be changed in place: its gradient is made of it.
    """
    return base.log_().mul_(exponent).exp_()


def _cube_root(channel: Tensor) -> Tensor:
    """CIE's cube root with its straight piece near black."""
    straight = channel.clamp_max(_DELTA**3).sub_(_DELTA**3)
    return _power(channel.clamp_min(_DELTA**3), 1 / 3).add(straight, alpha=1 / (3 * _DELTA**2))


def _cube(channel: Tensor) -> Tensor:
    straight = channel.clamp_max(_DELTA).sub_(_DELTA)
    return channel.clamp_min(_DELTA).pow_(3).add_(straight, alpha=3 * _DELTA**2)
