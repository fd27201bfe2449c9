"""Steps on pictures with OpenCV: on a CPU several times as fast as with torch, with the same result.

OpenCV is imported by the first call, so that this package can be imported without it. All tensors are float32.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def on_cpu(*tensors: Tensor) -> bool:
    """Returns whether all tensors are on a CPU and nothing records what is computed: no gradients, no torch.compile."""
    if torch.compiler.is_compiling():
        return False
    grad = torch.is_grad_enabled()
    return all(one.device.type == "cpu" and not (grad and one.requires_grad) for one in tensors)


def usable(*tensors: Tensor) -> bool:
    """Returns whether the functions of this module can process these tensors."""
    return on_cpu(*tensors) and all(one.dtype == torch.float32 for one in tensors)


def hsv_to_rgb(
    hue: Float[Tensor, "*n h w"], saturation: Float[Tensor, "*n h w"], value: Float[Tensor, "*n h w"]
) -> Float[Tensor, "*n 3 h w"]:
    """Converts the hexcone model to RGB.

    Args:
        hue: Hue in degrees; cyclic.
        saturation: Saturation in [0, 1].
        value: Value in [0, 1].
    """
    import cv2

    *leading, height, width = hue.shape
    rgb = hue.new_empty(*leading, 3, height, width)
    out = _planes(rgb).reshape(-1, 3, height, width)
    for *parts, planes in zip(_planes(hue), _planes(saturation), _planes(value), out, strict=True):
        mixed = cv2.merge(parts)
        cv2.split(cv2.cvtColor(mixed, cv2.COLOR_HSV2RGB, mixed), list(planes))
    return rgb


def enlarge(pictures: Float[Tensor, "*n h w"], factor: int) -> Float[Tensor, "*n h2 w2"]:
    """Enlarges pictures by bilinear interpolation, as with ``align_corners=False``.

    Args:
        pictures: Pictures of any number of dimensions.
        factor: Integer factor, at least 1.
    """
    import cv2

    *leading, height, width = pictures.shape
    large = pictures.new_empty(*leading, height * factor, width * factor)
    for one, out in zip(_planes(pictures), _planes(large), strict=True):
        cv2.resize(one, (width * factor, height * factor), out, interpolation=cv2.INTER_LINEAR)
    return large


def correlate(
    pictures: Float[Tensor, "n *c h w"], kernels: Float[Tensor, "n y x"], *, zeros: bool = False
) -> Float[Tensor, "n *c h w"]:
    """Correlates each row of a batch with its own kernel.

    Args:
        pictures: Pictures to filter.
        kernels: Kernels with odd sides.
        zeros: Whether pixels outside the picture are 0; otherwise border pixels are repeated.
    """
    import cv2

    border = cv2.BORDER_CONSTANT if zeros else cv2.BORDER_REPLICATE
    filtered = pictures.new_empty(pictures.shape)
    for kernel, *rows in zip(kernels.numpy(), _rows(pictures), _rows(filtered), strict=True):
        for one, out in zip(*rows, strict=True):
            cv2.filter2D(one, -1, kernel, out, borderType=border)
    return filtered


def _planes(pictures: Tensor) -> Any:
    """Returns all pictures of a tensor as one array (n, h, w). It shares the memory of the tensor if possible."""
    return pictures.detach().reshape(-1, *pictures.shape[-2:]).numpy()


def _rows(pictures: Tensor) -> Any:
    """Returns all pictures of a batch as one array (b, n, h, w); see :func:`_planes`."""
    return _planes(pictures).reshape(len(pictures), -1, *pictures.shape[-2:])
