"""The shard schema, its writer and its readers."""

from typing import TYPE_CHECKING

from mgst_data.shards.batch import SegmentBatch, SegmentSample, collate_segments
from mgst_data.shards.cache import ShardCache
from mgst_data.shards.folder import ShardFolder, open_folder
from mgst_data.shards.images import decode_image, decode_mask, encode_image, encode_mask, scale_image
from mgst_data.shards.loader import SegmentDataset, SegmentLoader, reraise, warn_and_skip
from mgst_data.shards.people import PeopleTable, PersonTrack
from mgst_data.shards.plan import Part, ShardTask, plan_shards
from mgst_data.shards.reader import ShardReader
from mgst_data.shards.report import ShardReport, Tally, Totals, VideoReport, summarise
from mgst_data.shards.sampler import Draw, SegmentSampler
from mgst_data.shards.schema import FaceChunk, decode_chunk, encode_chunk, split_key, verify_sample
from mgst_data.shards.sources import Source, sources_of
from mgst_data.shards.store import ShardStore
from mgst_data.shards.verify import verify_shard
from mgst_data.shards.writer import ShardWriter

if TYPE_CHECKING:
    from mgst_data.shards.pipeline import webdataset_pipeline
else:

    def __getattr__(name: str) -> object:
        # Lazy import: webdataset is an optional dependency, and slow to import.
        if name == "webdataset_pipeline":
            from mgst_data.shards.pipeline import webdataset_pipeline

            return webdataset_pipeline
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Draw",
    "FaceChunk",
    "Part",
    "PeopleTable",
    "PersonTrack",
    "SegmentBatch",
    "SegmentDataset",
    "SegmentLoader",
    "SegmentSample",
    "SegmentSampler",
    "ShardCache",
    "ShardFolder",
    "ShardReader",
    "ShardReport",
    "ShardStore",
    "ShardTask",
    "ShardWriter",
    "Source",
    "Tally",
    "Totals",
    "VideoReport",
    "collate_segments",
    "decode_chunk",
    "decode_image",
    "decode_mask",
    "encode_chunk",
    "encode_image",
    "encode_mask",
    "open_folder",
    "plan_shards",
    "reraise",
    "scale_image",
    "sources_of",
    "split_key",
    "summarise",
    "verify_sample",
    "verify_shard",
    "warn_and_skip",
    "webdataset_pipeline",
]
