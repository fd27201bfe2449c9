"""Builds a network from a configuration."""

from __future__ import annotations

from mgst_model.networks.image import ImageNetwork
from mgst_model.networks.network_config import NetworkConfig
from mgst_model.networks.parallel import ParallelNetwork


def build_network(config: NetworkConfig) -> ParallelNetwork | ImageNetwork:
    """Builds the network that a configuration describes.

    Weights without pre-training are drawn from torch's default generator. Seed it first.

    Args:
        config: Configuration of the network.

    Raises:
        UsageError: if the backbone is unknown or its weights are not available.
        ImportError: if the package that should provide the weights is not installed.
    """
    return ImageNetwork(config) if config.kind == "image" else ParallelNetwork(config)
