"""Networks: they take frames and do not depend on data sets, labels or training."""

from mgst_model.networks.build import build_network
from mgst_model.networks.checkpoint import LoadedNetwork, NetworkCard, load_network, read_card, save_network
from mgst_model.networks.folding import fold_batch_norms
from mgst_model.networks.image import ImageNetwork
from mgst_model.networks.network_config import NetworkConfig
from mgst_model.networks.output import SegmentOutput
from mgst_model.networks.parallel import ParallelNetwork
from mgst_model.networks.spatial import BACKBONES, StagedBackbone

__all__ = [
    "BACKBONES",
    "ImageNetwork",
    "LoadedNetwork",
    "NetworkCard",
    "NetworkConfig",
    "ParallelNetwork",
    "SegmentOutput",
    "StagedBackbone",
    "build_network",
    "fold_batch_norms",
    "load_network",
    "read_card",
    "save_network",
]
