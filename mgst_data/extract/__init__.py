"""From video records to shards: the extractor, the job, the run."""

from mgst_data.extract.config import ExtractConfig
from mgst_data.extract.extractor import Extraction, Extractor
from mgst_data.extract.job import ExtractJob
from mgst_data.extract.run import RunSummary, Watcher, extract
from mgst_data.extract.segment import Clip, clip_from_chunk, segment_from_video

__all__ = [
    "Clip",
    "ExtractConfig",
    "ExtractJob",
    "Extraction",
    "Extractor",
    "RunSummary",
    "Watcher",
    "clip_from_chunk",
    "extract",
    "segment_from_video",
]
