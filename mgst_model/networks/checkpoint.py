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
# Characters of a long reason that are shown.
_SHOWN = 200
WEIGHTS, CARD = ".safetensors", ".json"
BEST = "best"


@dataclass(frozen=True, slots=True)
class LoadedNetwork:
    """A network that is ready to score.

    Attributes:
        network: In evaluation mode.
        config: What it was built from; ``pretrained`` is "random" here.
        frames: Frames per segment that it is to be shown.
        size: Side of its frames, pixels.
        info: What else is known: its data set, its training, its validation.
    """

    network: nn.Module
    config: NetworkConfig
    frames: int
    size: int
    info: Mapping[str, Any]

    @property
    def shortest(self) -> int:
        """Frames that it needs at least."""
        return _shortest(self.config, self.frames)


@dataclass(frozen=True, slots=True)
class Card:
    """What is written of a network beside its weights.

    Attributes:
        weights: File of its numbers.
        config: What it is built from; ``pretrained`` is "random" here.
        frames: Frames per segment that it is to be shown.
        size: Side of its frames, pixels.
        info: What else is known: its data set, its training, its validation.
    """

    weights: Path
    config: NetworkConfig
    frames: int
    size: int
    info: Mapping[str, Any]

    @property
    def shortest(self) -> int:
        """Frames that it needs at least."""
        return _shortest(self.config, self.frames)


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


def read_card(path: str | Path) -> Card:
    """Reads what :func:`save_network` wrote of a network, and sees that its weights are there.

    Args:
        path: Of ``.safetensors`` or ``.json``, of both without suffix, or of the folder of a training, of which the
            best network is taken.

    Raises:
        UsageError: if it is not there, is of another kind, or damaged.
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
    description = _read_description(card)
    # Whatever the card says, nothing but these weights is read.
    config = NetworkConfig(**{**description["network"], "pretrained": "random"})
    return Card(weights, config, description["frames"], description["size"], description["info"])


def load_network(path: str | Path, device: torch.device | str = "cpu") -> LoadedNetwork:
    """Reads a network that :func:`save_network` wrote.

    Args:
        path: See :func:`read_card`.
        device: Where to put it.

    Raises:
        UsageError: as there, or if the weights do not fit their description.
    """
    card = read_card(path)
    # What is drawn here is overwritten at once, and must not move the draws of the caller.
    with torch.random.fork_rng(devices=[]):
        network = build_network(card.config)
    try:
        network.load_state_dict(load_file(card.weights))
    except SafetensorError as error:
        raise UsageError(f"is damaged: {error}", where=card.weights, hint="copy or train it again") from error
    except RuntimeError as error:
        # The first line only names the class of the network.
        reason = " ".join(str(error).split()).partition(": ")[2]
        what = f"does not fit {card.weights.with_suffix(CARD).name}: {reason[:_SHOWN]}"
        raise UsageError(what, where=card.weights) from error
    network = network.to(device).eval()
    return LoadedNetwork(network, card.config, card.frames, card.size, card.info)


def _shortest(config: NetworkConfig, frames: int) -> int:
    """Of the parallel network, the temporal stream compares two frames."""
    return 1 if config.kind == "image" or config.streams == "spatial" else min(2, frames)


def _read_description(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_bytes())
        if card["format"] != FORMAT:
            raise UsageError(f"is of format {card['format']}, but this version reads {FORMAT}", where=path)
        NetworkConfig(**card["network"])
        shown = {name: _whole(card, name) for name in ("frames", "size")}
        return {"network": card["network"], "info": card["info"], **shown}
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise UsageError(f"does not describe a network: {reason}", where=path) from error


def _whole(card: Mapping[str, Any], name: str) -> int:
    value = card[name]
    if type(value) is not int or value < 1:
        raise ValueError(f"{name} is {value!r}, not a whole number above 0")
    return value


def first_line(error: BaseException) -> str:
    """What an error says, without what follows in further lines; its kind if it says nothing."""
    return str(error).partition("\n")[0] or type(error).__name__


def _stem(path: Path) -> Path:
    return path.with_suffix("") if path.suffix in (WEIGHTS, CARD) else path
