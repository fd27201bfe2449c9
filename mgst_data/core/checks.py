"""Checks of frames and landmarks that users hand in. An error says what is wanted, what was given, and what to do.

Types and shapes are always checked. Values are looked at where that is cheap: those of plain tensors on the CPU, and of
large ones a sample. A GPU is never waited for, and while compiling no value is looked at.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

# What interpolation by cubic or Lanczos kernels may leave beyond [0, 1].
_LOWEST, _HIGHEST = -0.25, 1.25
# Landmarks that spread over fewer pixels than this are no pixels: shares of a frame spread over 1, [-1, 1] over 2.
_LEAST_SPREAD = 3.0
# Values that are looked at, however many there are: that takes a tenth of a millisecond.
_SAMPLE = 2**14
# Dimensions of frames, by their number.
_DIMENSIONS = {4: "(n, 3, h, w)", 5: "(b, t, 3, h, w)"}
_FLOATING = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_WANTED = {
    "uint8": "torch.uint8",
    "floating": "floating-point in [0, 1]",
    "uint8 or floating": "torch.uint8, or floating-point in [0, 1]",
}

Kind = Literal["uint8", "floating", "uint8 or floating"]


def check_tensor(name: str, value: object) -> Tensor:
    """Gives a tensor back, and raises TypeError, with a hint, for anything else."""
    if isinstance(value, Tensor):
        return value
    given = type(value)
    known = given.__name__ if given.__module__ == "builtins" else f"{given.__module__}.{given.__name__}"
    hint = ""
    if given.__module__ == "numpy":
        hint = f": hand in torch.from_numpy({name})"
    elif isinstance(value, list | tuple):
        hint = f": hand in torch.stack({name}) of tensors, or torch.from_numpy(numpy.stack({name})) of arrays"
    raise TypeError(f"{name} must be a torch.Tensor, not {'None' if value is None else known}{hint}")


def check_shape(name: str, value: object, want: tuple[int | str, ...], frames: Tensor) -> Tensor:
    """Gives a tensor back, and raises unless it has the shape that goes with some frames; a letter is any number.

    Raises:
        TypeError: for anything but a tensor.
        ValueError: for another shape.
    """
    tensor = check_tensor(name, value)
    shape = tuple(tensor.shape)
    # Every segment that is made comes by here: the quick comparison first.
    if shape == want:
        return tensor
    if len(shape) == len(want) and all(isinstance(w, str) or n == w for n, w in zip(shape, want, strict=True)):
        return tensor
    wanted = ", ".join(map(str, want)) + ("," if len(want) == 1 else "")
    raise ValueError(f"{name} must be ({wanted}) for frames {tuple(frames.shape)}, not {shape}")


def check_dtype(name: str, value: Tensor, dtype: torch.dtype | None) -> None:
    """Raises TypeError unless a tensor is of a type; of any floating-point type for None."""
    if not (value.is_floating_point() if dtype is None else value.dtype == dtype):
        raise TypeError(f"{name} must be {dtype or 'floating-point'}, not {value.dtype}")


def check_frames(frames: object, *ranks: int, kind: Kind, values: bool = True) -> Tensor:
    """Gives frames back, and raises unless they are an RGB tensor that a function can take.

    Args:
        frames: What was handed in.
        ranks: Numbers of dimensions: 4 for (n, 3, h, w), 5 for (b, t, 3, h, w). n and b may be 0, the others not.
        kind: Which dtypes: uint8 for 0 to 255, floating-point for [0, 1]; -0.25 to 1.25 is accepted, as interpolation
            overshoots.
        values: Whether floating-point values are looked at, a sample of them, and on the CPU only.

    Raises:
        TypeError: for anything but a tensor, and for another dtype.
        ValueError: for another shape, and for values out of range.
    """
    frames = check_tensor("frames", frames)
    shape = tuple(frames.shape)
    if frames.ndim not in ranks or shape[-3] != 3:
        last = frames.ndim in ranks and shape[-1] == 3
        hint = ": move the colours before rows and columns, frames.movedim(-1, -3)" if last else ""
        raise ValueError(f"frames must be {' or '.join(_DIMENSIONS[rank] for rank in ranks)}, not {shape}{hint}")
    if 0 in shape[1:]:
        missing = "pixel" if 0 in shape[-2:] else "frame: a segment has at least one"
        raise ValueError(f"frames {shape} hold no {missing}")
    given = "floating" if frames.dtype in _FLOATING else str(frames.dtype).removeprefix("torch.")
    if given not in kind.split(" or "):
        raise TypeError(f"frames must be {_WANTED[kind]}, not {frames.dtype}: {_conversion(frames.dtype, kind)}")
    if values and given == "floating" and _has_values(frames):
        _check_range(frames.detach())
    return frames


def _conversion(given: torch.dtype, kind: Kind) -> str:
    """What turns frames of a dtype into those that are wanted."""
    if given.is_floating_point:
        return "pass (frames * 255).round().to(torch.uint8) if values are in [0, 1]"
    if given == torch.bool:
        return "pass frames.float()" if kind != "uint8" else "pass frames.to(torch.uint8) * 255"
    return f"pass frames{' / 255' if kind == 'floating' else '.to(torch.uint8)'} if values are 0 to 255"


def _check_range(frames: Tensor) -> None:
    step = max(1, math.isqrt(frames.numel() // _SAMPLE))
    low, high = (float(value) for value in frames[..., ::step, ::step].aminmax())
    found = f"floating-point frames must be RGB in [0, 1], not {low:.4g} to {high:.4g}"
    if low < _LOWEST:
        hint = "augment before normalising by mean and standard deviation, which networks here do themselves"
        raise ValueError(f"{found}; values below 0: {hint}")
    if high > _HIGHEST:
        raise ValueError(f"{found}; values up to 255: pass uint8, or divide by 255")


def check_landmarks(landmarks: object, frames: Tensor, valid: Tensor | None = None) -> Tensor:
    """Gives landmarks back, and raises unless they are pixels of some frames.

    Args:
        landmarks: What was handed in; any type of numbers.
        frames: ``(b, t, 3, h, w)``.
        valid: Frames whose landmarks mean something; None for all. Landmarks that are not finite mean nothing either.

    Raises:
        TypeError: for anything but a tensor of numbers.
        ValueError: for another shape; and where they can be looked at, if the landmarks of no frame spread over 3
            pixels or more.
    """
    landmarks = check_shape("landmarks", landmarks, (*frames.shape[:2], "k", 2), frames)
    if landmarks.dtype == torch.bool or landmarks.is_complex():
        raise TypeError(f"landmarks must be numbers, pixels of the frames, not {landmarks.dtype}")
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
    found = f"landmarks must be pixels, not shares of the frame: they spread over {max(spread):.2g} pixels of {w} x {h}"
    if max(spread) > 0:
        raise ValueError(f"{found}; multiply x by the width and y by the height")
    raise ValueError(f"{found}; of frames without a face, hand in NaN, and without any landmarks, hand in none")


def _has_values(tensor: Tensor) -> bool:
    """Whether values can be looked at, and without waiting. Subclasses may have none, as torch's fake tensors."""
    if torch.compiler.is_compiling() or type(tensor) is not Tensor:
        return False
    return tensor.device.type == "cpu" and tensor.numel() > 0
