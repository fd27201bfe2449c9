"""Types, geometry and random generators that every other package uses. Needs torch only; does no I/O."""

from mgst_data.core.errors import (
    ConfigMismatchError,
    LayoutError,
    LeakageError,
    MgstError,
    NoFaceError,
    OutputError,
    ShardError,
    UsageError,
    VideoError,
)
from mgst_data.core.record_table import RecordTable
from mgst_data.core.records import FAKE, REAL, Detections, FaceTrack, FrameBatch, VideoRecord
from mgst_data.core.registry import Registry
from mgst_data.core.rng import check_generator, generator_for, seed_for
from mgst_data.core.sampling import CentreWindow, EvenlySpaced, FrameSampler, RandomWindow, evenly_spaced
from mgst_data.core.segment import RealFakePair, Segment

__all__ = [
    "FAKE",
    "REAL",
    "CentreWindow",
    "ConfigMismatchError",
    "Detections",
    "EvenlySpaced",
    "FaceTrack",
    "FrameBatch",
    "FrameSampler",
    "LayoutError",
    "LeakageError",
    "MgstError",
    "NoFaceError",
    "OutputError",
    "RandomWindow",
    "RealFakePair",
    "RecordTable",
    "Registry",
    "Segment",
    "ShardError",
    "UsageError",
    "VideoError",
    "VideoRecord",
    "check_generator",
    "evenly_spaced",
    "generator_for",
    "seed_for",
]
