"""The shard schema, its writer and its readers."""

from mgst_data.shards.folder import ShardFolder, open_folder
from mgst_data.shards.images import decode_image, decode_mask, encode_image, encode_mask, scale_image
from mgst_data.shards.loader import SegmentBatch, SegmentDataset, SegmentLoader, reraise, warn_and_skip
from mgst_data.shards.plan import ShardTask, plan_shards
from mgst_data.shards.reader import ShardReader
from mgst_data.shards.report import ShardReport, Tally, Totals, VideoReport, summarise
from mgst_data.shards.sampler import Draw, SegmentSampler
from mgst_data.shards.schema import FaceChunk, decode_chunk, encode_chunk, split_key, verify_sample
from mgst_data.shards.verify import verify_shard
from mgst_data.shards.writer import ShardWriter

__all__ = [
    "Draw",
    "FaceChunk",
    "SegmentBatch",
    "SegmentDataset",
    "SegmentLoader",
    "SegmentSampler",
    "ShardFolder",
    "ShardReader",
    "ShardReport",
    "ShardTask",
    "ShardWriter",
    "Tally",
    "Totals",
    "VideoReport",
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
    "split_key",
    "summarise",
    "verify_sample",
    "verify_shard",
    "warn_and_skip",
]
