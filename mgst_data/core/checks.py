"""Checks of frames and landmarks that users pass in. An error names what is expected, what was given, and what to do.

Types and shapes are always checked. Values are checked only where that is cheap: on the CPU, for plain tensors, and on
a sample of large tensors. The checks never wait for a GPU, and they read no value while torch compiles.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

# Cubic and Lanczos interpolation may overshoot [0, 1] this far.
_LOWEST, _HIGHEST = -0.25, 1.25
# Landmarks that spread over less than this are not in pixels: coordinates in [0, 1] spread over 1, in [-1, 1] over 2.
_LEAST_SPREAD = 3.0
# Largest number of values that are checked; that takes 0.1 ms.
_SAMPLE = 2**14
# Shape of frames for each number of dimensions.
_DIMENSIONS = {4: "(n, 3, h, w)", 5: "(b, t, 3, h, w)"}
_FLOATING = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_WANTED = {
    "uint8": "have dtype torch.uint8",
    "floating": "be floating-point in [0, 1]",
    "uint8 or floating": "have dtype torch.uint8, or be floating-point in [0, 1]",
}

Kind = Literal["uint8", "floating", "uint8 or floating"]


def check_tensor(name: str, value: object) -> Tensor:
    """Returns a value unchanged if it is a tensor.

    Args:
        name: Name of the value in error messages.
        value: Value that the user passed in.

    Raises:
        TypeError: if the value is not a tensor. The message says how to convert NumPy arrays and lists.
    """
    if isinstance(value, Tensor):
        return value
    given = type(value)
    known = given.__name__ if given.__module__ == "builtins" else f"{given.__module__}.{given.__name__}"
    hint = ""
    if given.__module__ == "numpy":
        hint = f"; pass torch.from_numpy({name})"
    elif isinstance(value, list | tuple):
        hint = f"; pass torch.stack({name}) for tensors, or torch.from_numpy(numpy.stack({name})) for arrays"
    raise TypeError(f"{name} must be a torch.Tensor, got {'None' if value is None else known}{hint}")


def check_shape(name: str, value: object, want: tuple[int | str, ...], frames: Tensor) -> Tensor:
    """Returns a value unchanged if it is a tensor of the shape that belongs to some frames.

    Args:
        name: Name of the value in error messages.
        value: Value that the user passed in.
        want: Expected shape. A letter stands for any size.
        frames: Frames that the value belongs to; only named in the error message.

    Raises:
        TypeError: if the value is not a tensor.
        ValueError: if the shape is different.
    """
    tensor = check_tensor(name, value)
    shape = tuple(tensor.shape)
    # Every new segment runs this check, so the fast comparison comes first.
    if shape == want:
        return tensor
    if len(shape) == len(want) and all(isinstance(w, str) or n == w for n, w in zip(shape, want, strict=True)):
        return tensor
    wanted = ", ".join(map(str, want)) + ("," if len(want) == 1 else "")
    raise ValueError(f"{name} must have shape ({wanted}) for frames {tuple(frames.shape)}, got {shape}")


def check_dtype(name: str, value: Tensor, dtype: torch.dtype | None) -> None:
    """Checks the dtype of a tensor.

    Args:
        name: Name of the tensor in error messages.
        value: Tensor to check.
        dtype: Expected dtype; None for any floating-point dtype.

    Raises:
        TypeError: if the dtype is different.
    """
    if not (value.is_floating_point() if dtype is None else value.dtype == dtype):
        raise TypeError(
            f"{name} must have {f'dtype {dtype}' if dtype else 'a floating-point dtype'}, got {value.dtype}"
        )


def check_frames(frames: object, *ranks: int, kind: Kind, values: bool = True) -> Tensor:
    """Returns frames unchanged if they are an RGB tensor that a function accepts.

    Args:
        frames: Frames that the user passed in.
        ranks: Accepted numbers of dimensions: 4 for (n, 3, h, w), 5 for (b, t, 3, h, w). n and b may be 0, the other
            sizes may not.
        kind: Accepted dtypes: uint8 for values from 0 to 255, floating-point for values in [0, 1]. Values from -0.25 to
            1.25 are accepted, because interpolation overshoots.
        values: Whether to check floating-point values. Only a sample is checked, and only on the CPU.

    Raises:
        TypeError: if the frames are not a tensor, or have another dtype.
        ValueError: if the shape is different, or values are out of range.
    """
    frames = check_tensor("frames", frames)
    shape = tuple(frames.shape)
    if frames.ndim not in ranks or shape[-3] != 3:
        last = frames.ndim in ranks and shape[-1] == 3
        hint = "; move the channels before rows and columns with frames.movedim(-1, -3)" if last else ""
        raise ValueError(
            f"frames must have shape {' or '.join(_DIMENSIONS[rank] for rank in ranks)}, got {shape}{hint}"
        )
    if 0 in shape[1:]:
        missing = "pixel" if 0 in shape[-2:] else "frame in each segment"
        raise ValueError(f"frames must have at least one {missing}, got shape {shape}")
    given = "floating" if frames.dtype in _FLOATING else str(frames.dtype).removeprefix("torch.")
    if given not in kind.split(" or "):
        raise TypeError(f"frames must {_WANTED[kind]}, got {frames.dtype}; {_conversion(frames.dtype, kind)}")
    if values and given == "floating" and _has_values(frames):
        _check_range(frames.detach())
    return frames


def _conversion(given: torch.dtype, kind: Kind) -> str:
    """Returns the advice that turns frames of a dtype into the dtype that is expected."""
    if given.is_floating_point:
        return "pass (frames * 255).round().to(torch.uint8) if their values are in [0, 1]"
    if given == torch.bool:
        return "pass frames.float()" if kind != "uint8" else "pass frames.to(torch.uint8) * 255"
    return f"pass frames{' / 255' if kind == 'floating' else '.to(torch.uint8)'} if their values are 0 to 255"


def _check_range(frames: Tensor) -> None:
    step = max(1, math.isqrt(frames.numel() // _SAMPLE))
    low, high = (float(value) for value in frames[..., ::step, ::step].aminmax())
    found = f"floating-point frames must be RGB in [0, 1], got {low:.4g} to {high:.4g}"
    if low < _LOWEST:
        hint = "pass frames without normalisation by mean and standard deviation: the networks of mgst normalise them"
        raise ValueError(f"{found}; {hint}")
    if high > _HIGHEST:
        raise ValueError(f"{found}; for values up to 255, pass uint8 or divide by 255")


def check_landmarks(landmarks: object, frames: Tensor, valid: Tensor | None = None) -> Tensor:
    """Returns landmarks unchanged if they are in pixels of some frames.

    Args:
        landmarks: Landmarks that the user passed in, ``(b, t, k, 2)``; any real dtype.
        frames: Frames ``(b, t, 3, h, w)`` that the landmarks belong to.
        valid: Frames that have usable landmarks, ``(b, t)``; None for all frames. Landmarks that are not finite are
            ignored in any case.

    Raises:
        TypeError: if the landmarks are not a tensor of real numbers.
        ValueError: if the shape is different. Also if values can be read, and the landmarks spread over less than 3
            pixels in every frame.
    """
    landmarks = check_shape("landmarks", landmarks, (*frames.shape[:2], "k", 2), frames)
    if landmarks.dtype == torch.bool or landmarks.is_complex():
        raise TypeError(f"landmarks must have a real dtype, got {landmarks.dtype}")
    if landmarks.shape[2] > 1 and _has_values(landmarks):
        seen = landmarks.isfinite().flatten(2).all(dim=2)
        if valid is not None and _has_values(valid):
            seen = seen & valid
        _check_spread(landmarks[seen], frames)
    return landmarks


def _check_spread(landmarks: Tensor, frames: Tensor) -> None:
    spread = (landmarks.amax(dim=1) - landmarks.amin(dim=1)).amax(dim=1).tolist()
    if not spread or max(spread) >= _LEAST_SPREAD:
        return
    h, w = frames.shape[-2:]
    found = (
        f"landmarks must be in pixels, got landmarks that spread over {max(spread):.2g} pixels in frames of {w} x {h}"
    )
    if max(spread) > 0:
        raise ValueError(f"{found}; if they are relative to the frame, multiply x by the width and y by the height")
    raise ValueError(f"{found}; for frames without a face pass NaN, and without any landmarks pass None")


def _has_values(tensor: Tensor) -> bool:
    """Returns whether values can be read without waiting. Subclasses such as torch's fake tensors may have none."""
    if torch.compiler.is_compiling() or type(tensor) is not Tensor:
        return False
    return tensor.device.type == "cpu" and tensor.numel() > 0
