"""Networks that take frames and know nothing of data sets, labels or training."""

from mgst_model.networks.build import build_network
from mgst_model.networks.config import NetworkConfig
from mgst_model.networks.output import SegmentOutput
from mgst_model.networks.spatial import BACKBONES, StagedBackbone

__all__ = ["BACKBONES", "NetworkConfig", "SegmentOutput", "StagedBackbone", "build_network"]
