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
from mgst_data.core.errors import first_line
from mgst_data.core.records import DEMO
from mgst_data.shards.storage import write_atomic
from mgst_model.networks.build import build_network
from mgst_model.networks.network_config import NetworkConfig
from mgst_model.networks.renamed import present_names

FORMAT = 1
# Characters of a long reason that are shown.
_SHOWN = 200
WEIGHTS, CARD = ".safetensors", ".json"
BEST = "best"
# What a training was asked for, in its folder.
SETTINGS = "config.json"
_OWN = "build it, and read its weights with safetensors.torch.load_file and load_state_dict"
# Trained on fewer people, a network counts as a try (ours; the usual training set has 720).
FEW_PEOPLE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCard:
    """What is written of a network beside its weights.

    Attributes:
        config: What it is built from; ``pretrained`` is "random" here.
        frames: Frames per segment that it is to be shown.
        size: Side of its frames, pixels.
        info: What else is known: its data set, its training, its validation.
    """

    config: NetworkConfig
    frames: int
    size: int
    info: Mapping[str, Any]

    @property
    def shortest(self) -> int:
        """Frames that it needs at least: of the parallel network, the temporal stream compares two."""
        return 1 if self.config.kind == "image" or self.config.streams == "spatial" else min(2, self.frames)

    @property
    def caution(self) -> str:
        """What to know before scores of this network are used, as far as its card tells of its training; or ""."""
        known = self.info.get("trained_on")
        if not isinstance(known, Mapping):
            return ""
        sets, people = known.get("real_videos"), known.get("people")
        if isinstance(sets, Mapping) and set(sets) == {DEMO}:
            what = "the rendered demo set"
        elif isinstance(people, int) and people < FEW_PEOPLE:
            what = f"{people:,} {'person' if people == 1 else 'people'}"
        else:
            return ""
        return f"this network was trained on {what} only: its scores of other videos mean nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedNetwork(NetworkCard):
    """A network that is ready to score.

    Attributes:
        network: In evaluation mode.
    """

    network: nn.Module


def save_network(
    path: str | Path,
    network: nn.Module,
    config: NetworkConfig | None,
    *,
    frames: int | None,
    size: int | None,
    info: Mapping[str, Any] | None = None,
) -> Path:
    """Writes ``PATH.safetensors`` and ``PATH.json``; returns the former.

    Args:
        path: Without suffix, or with one of these.
        network: Its state is written as it is.
        config: What it was built from. None for a network that :func:`~mgst_model.networks.build_network` does not
            build: its weights are then read with ``safetensors.torch.load_file`` and ``load_state_dict``, not with
            :func:`load_network`.
        frames: Frames per segment that it is to be shown; None with a config of None.
        size: Side of its frames, pixels; None with a config of None.
        info: Plain values for JSON.

    Raises:
        OutputError: if it cannot be written.
    """
    stem = _stem(Path(path))
    # Copies: safetensors refuses parameters that share their memory.
    state = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
             for name, value in network.state_dict().items()}  # fmt: skip
    card = {
        "format": FORMAT,
        "network": None if config is None else {**asdict(config), "pretrained": "random"},
        "frames": frames,
        "size": size,
        "info": dict(info or {}),
    }
    # The card goes first: weights whose card is older would be read with the wrong one.
    write_atomic(stem.with_name(stem.name + CARD), (json.dumps(card, indent=1) + "\n").encode())
    weights = stem.with_name(stem.name + WEIGHTS)
    write_atomic(weights, save(state))
    return weights


def read_card(path: str | Path) -> NetworkCard:
    """Reads what :func:`save_network` wrote of a network, and sees that its weights are there.

    Args:
        path: Of ``.safetensors`` or ``.json``, of both without suffix, or of the folder of a training, of which the
            best network is taken.

    Raises:
        UsageError: if it is not there, is of another kind, or damaged.
    """
    return _read_card(weights_file(path).with_suffix(CARD))


def load_network(path: str | Path, device: torch.device | str = "cpu") -> LoadedNetwork:
    """Reads a network that :func:`save_network` wrote.

    Args:
        path: See :func:`read_card`.
        device: Where to put it.

    Raises:
        UsageError: as there, or if the weights do not fit their description.
    """
    weights = weights_file(path)
    file = weights.with_suffix(CARD)
    card = _read_card(file)
    # What is drawn here is overwritten at once, and must not move the draws of the caller.
    with torch.random.fork_rng(devices=[]):
        network = build_network(card.config)
    try:
        network.load_state_dict(load_file(weights))
    except SafetensorError as error:
        raise UsageError(f"is damaged: {error}", where=weights, hint="copy or train it again") from error
    except RuntimeError as error:
        # The first line only names the class of the network.
        reason = " ".join(str(error).split()).partition(": ")[2]
        raise UsageError(f"does not fit {file.name}: {reason[:_SHOWN]}", where=weights) from error
    network = network.to(device).eval()
    return LoadedNetwork(config=card.config, frames=card.frames, size=card.size, info=card.info, network=network)


def weights_file(path: str | Path) -> Path:
    """The file of weights, beside which there is a card.

    Args:
        path: See :func:`read_card`.

    Raises:
        UsageError: if one of both is not there.
    """
    given = Path(path)
    stem = given / BEST if given.is_dir() else _stem(given)
    weights, card = (stem.with_name(stem.name + suffix) for suffix in (WEIGHTS, CARD))
    hint = f"weights are a pair of files, NAME{WEIGHTS} and NAME{CARD}"
    if given.is_file() and given.suffix not in (WEIGHTS, CARD):
        raise UsageError(
            "is no file of weights of this toolkit", where=path, hint=hint + "; others are never unpickled"
        )
    if given.is_dir() and not weights.is_file() and (given / SETTINGS).is_file():
        hint = "this training has not been validated yet: continue it with mgst-train"
    for file in (weights, card):
        if not file.is_file():
            raise UsageError("no such file", where=file, hint=hint)
    return weights


def _read_card(path: Path) -> NetworkCard:
    try:
        card = json.loads(path.read_bytes())
        if card["format"] != FORMAT:
            raise UsageError(f"is of format {card['format']}, but this version reads {FORMAT}", where=path)
        if card["network"] is None:
            what = "describes a network of your own, which this toolkit cannot build"
            raise UsageError(what, where=path, hint=_OWN)
        options = present_names({"network": card["network"]})["network"]
        NetworkConfig(**options)
        # Whatever the card says, nothing but the weights beside it is read.
        config = NetworkConfig(**{**options, "pretrained": "random"})
        return NetworkCard(config=config, frames=_whole(card, "frames"), size=_whole(card, "size"), info=card["info"])
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise UsageError(f"does not describe a network: {reason}", where=path) from error


def _whole(card: Mapping[str, Any], name: str) -> int:
    value = card[name]
    if type(value) is not int or value < 1:
        raise ValueError(f"{name} is {value!r}, not a whole number above 0")
    return value


def _stem(path: Path) -> Path:
    return path.with_suffix("") if path.suffix in (WEIGHTS, CARD) else path
