"""Extracts the faces of videos into shards."""

from mgst_data.extract.extract_config import ExtractConfig
from mgst_data.extract.extractor import Extraction, Extractor
from mgst_data.extract.job import ExtractJob
from mgst_data.extract.remote import scan_url
from mgst_data.extract.run import RunSummary, Watcher, extract, shard_size
from mgst_data.extract.stills import is_still
from mgst_data.extract.video import CroppedTrack, extract_video

__all__ = [
    "CroppedTrack",
    "ExtractConfig",
    "ExtractJob",
    "Extraction",
    "Extractor",
    "RunSummary",
    "Watcher",
    "extract",
    "extract_video",
    "is_still",
    "scan_url",
    "shard_size",
]
