"""Weights on disk: safetensors for the numbers, JSON for all else. Nothing is ever unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from mgst_data.core import UsageError
from mgst_data.shards.storage import write_atomic
from mgst_model.networks.build import build_network
from mgst_model.networks.config import NetworkConfig

FORMAT = 1
WEIGHTS, CARD = ".safetensors", ".json"
BEST = "best"


@dataclass(frozen=True, slots=True)
class LoadedNetwork:
    """A network that is ready to score.

    Attributes:
        network: In evaluation mode.
        frames: Frames per segment that it is to be shown.
        size: Side of its frames, pixels.
        info: What else is known: its data set, its training, its validation.
    """

    network: nn.Module
    frames: int
    size: int
    info: Mapping[str, Any]


def save_network(
    path: str | Path,
    network: nn.Module,
    config: NetworkConfig,
    *,
    frames: int,
    size: int,
    info: Mapping[str, Any] | None = None,
) -> Path:
    """Writes ``PATH.safetensors`` and ``PATH.json``; returns the former.

    Args:
        path: Without suffix, or with one of these.
        network: Its state is written as it is.
        config: What it was built from.
        frames: Frames per segment that it is to be shown.
        size: Side of its frames, pixels.
        info: Plain values for JSON.

    Raises:
        OutputError: if it cannot be written.
    """
    stem = _stem(Path(path))
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    card = {
        "format": FORMAT,
        "network": {**asdict(config), "pretrained": "random"},
        "frames": frames,
        "size": size,
        "info": dict(info or {}),
    }
    # The card goes first: weights whose card is older would be read with the wrong one.
    write_atomic(stem.with_name(stem.name + CARD), (json.dumps(card, indent=1) + "\n").encode())
    weights = stem.with_name(stem.name + WEIGHTS)
    write_atomic(weights, save(state))
    return weights


def load_network(path: str | Path, device: torch.device | str = "cpu") -> LoadedNetwork:
    """Reads a network that :func:`save_network` wrote.

    Args:
        path: Of ``.safetensors`` or ``.json``, of both without suffix, or of the folder of a training, of which the
            best network is taken.
        device: Where to put it.

    Raises:
        UsageError: if it is not there, is of another kind, damaged, or does not fit its own description.
    """
    given = Path(path)
    stem = given / BEST if given.is_dir() else _stem(given)
    weights, card = (stem.with_name(stem.name + suffix) for suffix in (WEIGHTS, CARD))
    hint = f"weights are a pair of files, NAME{WEIGHTS} and NAME{CARD}"
    if given.is_file() and given.suffix not in (WEIGHTS, CARD):
        raise UsageError(
            "is no file of weights of this toolkit", where=path, hint=hint + "; others are never unpickled"
        )
    for file in (weights, card):
        if not file.is_file():
            raise UsageError("is not there", where=file, hint=hint)
    description = _read_card(card)
    config = NetworkConfig(**description["network"])
    # What is drawn here is overwritten at once, and must not move the draws of the caller.
    with torch.random.fork_rng(devices=[]):
        network = build_network(config)
    try:
        network.load_state_dict(load_file(weights))
    except SafetensorError as error:
        raise UsageError(f"is damaged: {error}", where=weights, hint="copy or train it again") from error
    except RuntimeError as error:
        raise UsageError(f"does not fit {card.name}: {str(error).splitlines()[0]}", where=weights) from error
    return LoadedNetwork(network.to(device).eval(), description["frames"], description["size"], description["info"])


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_bytes())
        if card["format"] != FORMAT:
            raise UsageError(f"is of format {card['format']}, but this version reads {FORMAT}", where=path)
        NetworkConfig(**card["network"])
        return {name: card[name] for name in ("network", "frames", "size", "info")}
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"does not describe a network: {error!r}", where=path) from error


def _stem(path: Path) -> Path:
    return path.with_suffix("") if path.suffix in (WEIGHTS, CARD) else path
