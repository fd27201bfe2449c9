"""Reading video: every frame, in order, upright."""

from mgst_data.video.pyav import PyAVReader
from mgst_data.video.reader import READERS, VideoReader
from mgst_data.video.torchcodec import TorchCodecReader

__all__ = ["READERS", "PyAVReader", "TorchCodecReader", "VideoReader"]
