"""Where networks run."""

from __future__ import annotations

import torch

from mgst_data.core import UsageError

PRECISIONS = ("auto", "fp32", "bf16")


def in_half(precision: str, device: str) -> bool:
    """Whether a network multiplies in bfloat16: "auto" does so where the device has instructions for it."""
    if precision != "auto":
        return precision == "bf16"
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def choose_device(name: str) -> str:
    """The device that "auto", "cpu" or "cuda" stands for; raises UsageError for CUDA where there is none."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device is available", where="--device cuda", hint="take auto or cpu")
    return name
