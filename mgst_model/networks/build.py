"""From a configuration to a network."""

from __future__ import annotations

from mgst_model.networks.image import ImageNetwork
from mgst_model.networks.network_config import NetworkConfig
from mgst_model.networks.parallel import ParallelNetwork


def build_network(config: NetworkConfig) -> ParallelNetwork | ImageNetwork:
    """Builds the network that a configuration describes.

    What is not pre-trained is drawn from torch's default generator, as everywhere in torch: seed that first.

    Raises:
        UsageError: if there is no such backbone, or its weights cannot be had.
        ImportError: if the package that weights were asked of is not installed.
    """
    return ImageNetwork(config) if config.kind == "image" else ParallelNetwork(config)
