"""Which library runs a network, and in which number format."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from mgst_data.core import UsageError
from mgst_model.export.runtime import ExportedNetwork, export_once, load_onnx
from mgst_model.networks.checkpoint import PACKAGED, weights_file
from mgst_model.networks.hub import is_hub_name
from mgst_model.networks.remote_weights import fetch_file, is_weights_url

Precision = Literal["auto", "fp32", "bf16"]
Runtime = Literal["torch", "onnx"]


def runtime_of(weights: str | Path | None, runtime: Runtime | None) -> Runtime:
    """Returns the library that runs a network.

    Args:
        weights: Weights, or an exported file.
        runtime: The wanted library; None for the one that suits the weights.

    Raises:
        UsageError: if the weights are an ``.onnx`` file, and another library is wanted.
    """
    exported = str(weights).lower().endswith(".onnx")
    if exported and runtime == "torch":
        raise UsageError("torch does not run .onnx files", where=weights, hint="leave out the runtime, or give weights")
    return runtime or ("onnx" if exported else "torch")


def local_weights(weights: str | Path) -> str | Path:
    """Returns weights on this machine: those of a repository or behind a URL are downloaded.

    Args:
        weights: Weights, or an exported file.

    Raises:
        UsageError: if they are missing, or cannot be downloaded.
    """
    if is_weights_url(weights) and str(weights).lower().endswith(".onnx"):
        return fetch_file(str(weights))
    return weights_file(weights) if is_weights_url(weights) or is_hub_name(weights) else weights


def load_exported(
    weights: str | Path | None, *, device: str = "auto", precision: Precision = "auto"
) -> ExportedNetwork:
    """Loads a network for ONNX Runtime, see ``runtime`` of :func:`load_detector`.

    Args:
        weights: An ``.onnx`` file, or weights that are exported the first time; None for those of the toolkit.
        device: "cpu" or "auto".
        precision: "fp32" or "auto".

    Raises:
        UsageError: if the weights cannot be read, or another device or precision is wanted.
        ImportError: if ONNX Runtime is not installed.
        MgstError: if an export gives other scores than the weights.
    """
    if device not in ("cpu", "auto") or precision == "bf16":
        wanted = f"device {device}" if device not in ("cpu", "auto") else "precision bf16"
        raise UsageError(f"ONNX Runtime computes in fp32 on the CPU, not with {wanted}", hint="use the runtime torch")
    weights = PACKAGED if weights is None else weights
    return load_onnx(weights if str(weights).lower().endswith(".onnx") else export_once(weights))


def uses_bfloat16(precision: Precision, device: str) -> bool:
    """Whether a network computes in bfloat16. "auto" means yes on devices with bfloat16 instructions.

    Args:
        precision: "fp32", "bf16" or "auto".
        device: Device of the network.
    """
    if precision != "auto":
        return precision == "bf16"
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
