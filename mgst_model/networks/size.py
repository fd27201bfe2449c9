"""Checks that a network fits its weights before its memory is taken: a few bytes of a card can ask for any size."""

from __future__ import annotations

import math
from pathlib import Path

from safetensors import safe_open

from mgst_data.core import UsageError
from mgst_model.networks.network_config import NetworkConfig


def check_size(config: NetworkConfig, weights: Path, card: Path) -> None:
    """Checks that a network is not larger than its weights.

    Args:
        config: Configuration of the network.
        weights: File of the weights.
        card: File of the card, for the message.

    Raises:
        UsageError: if it is.
        SafetensorError: if the weights are damaged.
    """
    with safe_open(weights, framework="pt") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118 - it is no mapping
    values = [math.prod(shape) for shape in shapes]
    widest = max((max(shape, default=1) for shape, count in zip(shapes, values, strict=True) if count), default=1)
    wanted: dict[str, tuple[float, int]] = {}
    if config.kind == "parallel":
        # Every temporal block, and the head of a segment, has at least one matrix of this size.
        blocks = config.blocks if config.streams != "spatial" else 1
        wanted["blocks x dim x dim"] = blocks * config.dim**2, sum(values)
        wanted["mlp_ratio x dim"] = round(config.mlp_ratio * config.dim), widest
    if config.kind == "parallel" and config.streams != "temporal":
        wanted |= {"embedding_dim": (config.embedding_dim, widest), "adapter_dim": (config.adapter_dim, widest)}
    for name, (asked, most) in wanted.items():
        if asked > most:
            what = f"the weights do not fit {card.name}: {name} is {asked:,}, but only {most:,} values are there"
            raise UsageError(what, where=weights, hint="use the pair of files of the same training")
