"""Video readers: they return every frame once, in order, upright and with square pixels."""

from mgst_data.video.content import content_hash
from mgst_data.video.h264 import encode_h264
from mgst_data.video.pyav import PyAVReader
from mgst_data.video.reader import READERS, SourceReader, VideoReader
from mgst_data.video.torchcodec import TorchCodecReader

__all__ = ["READERS", "PyAVReader", "SourceReader", "TorchCodecReader", "VideoReader", "content_hash", "encode_h264"]
