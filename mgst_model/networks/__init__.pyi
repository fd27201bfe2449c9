from .build import build_network
from .checkpoint import LoadedNetwork, NetworkCard, load_network, read_card, save_network
from .folding import fold_batch_norms
from .image import ImageNetwork
from .network_config import NetworkConfig
from .output import SegmentOutput
from .parallel import ParallelNetwork
from .spatial import BACKBONES, StagedBackbone

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
