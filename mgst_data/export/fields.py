"""The fields of tracks and frames: one name, one value and one description each, for all formats."""

from __future__ import annotations

from typing import Any

from mgst_data.core.errors import printable
from mgst_data.export.tracks import Track, TrackFrame

# What every frame of a track has in common.
TRACK_FIELDS = {
    "track": "name of the track in this export: key of the video and number of the track",
    "key": "key of the video",
    "track_number": "number of the track (face) within the video",
    "video": "path of the video, relative to the root of the data set",
    "folder": "name of the folder of shards",
    "dataset": "name of the data set",
    "method": "method of manipulation; real for real videos",
    "compression": "compression of the data set, such as c23",
    "source_key": "identity of the source of a fake",
    "target_key": "identity that the video shows",
    "person": "code of the person that mgst-data people has found",
    "fps": "frames per second of the video; 0 if unknown",
    "width": "width of the video, pixels",
    "height": "height of the video, pixels",
    "models": "face detector and landmark model",
}
FRAME_FIELDS = {
    "label": "0 real, 1 fake: of the frame, because a fake video may be real in parts",
    "frame": "number of the frame in the video, from 0",
    "time": "presentation time, seconds",
    "box": "face box x0, y0, x1, y1, pixels of the crop",
    "frame_box": "the same face box, pixels of the video",
    "landmarks": "landmarks x, y, pixels of the crop, smoothed over time",
    "valid": "false for landmarks that lie outside the frame or jump",
    "score": "probability of a face, 0 to 1; 0 where a face was expected but not confirmed",
    "damaged": "whether the frame was decoded from damaged data",
    "crop_from_frame": "affine transform from pixels of the video to pixels of the crop",
}


def track_fields(track: Track) -> dict[str, Any]:
    """Returns the values of ``TRACK_FIELDS``.

    Args:
        track: The track.
    """
    record = track.record
    values = {
        "track": track.name,
        "key": record.key,
        "track_number": track.number,
        "video": printable(record.video),
        "folder": printable(track.source),
        "dataset": record.dataset,
        "method": record.method,
        "compression": record.compression,
        "source_key": record.source_key,
        "target_key": record.target_key,
        "person": track.person,
        "fps": track.fps,
        "width": track.frame_size[0],
        "height": track.frame_size[1],
        "models": track.models,
    }
    return {name: values[name] for name in TRACK_FIELDS}


def frame_fields(frame: TrackFrame) -> dict[str, Any]:
    """Returns the values of ``FRAME_FIELDS``, as JSON values.

    Args:
        frame: The frame.
    """
    values = {
        "label": frame.label,
        "frame": frame.number,
        "time": frame.time,
        "box": frame.box,
        "frame_box": frame.frame_box,
        "landmarks": frame.landmarks,
        "valid": frame.valid,
        "score": frame.score,
        "damaged": frame.damaged,
        "crop_from_frame": frame.crop_from_frame,
    }
    return {name: values[name] for name in FRAME_FIELDS}
