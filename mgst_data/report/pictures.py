"""Files of pictures beside the page: film strips, sprite sheets of thumbnails, first frames of skipped videos."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from mgst_data.core import VideoError
from mgst_data.core.locations import is_url, join
from mgst_data.report.tracks import ShownFrame
from mgst_data.shards import VideoReport, encode_image
from mgst_data.shards.storage import output_errors
from mgst_data.video import PyAVReader

# Side of a thumbnail, pixels, and thumbnails per row and column of a sprite sheet.
THUMBNAIL, GRID = 112, 8
SHEET = GRID * GRID
_QUALITY = 85
# Masks are drawn over a crop in this colour (BGR), half transparent.
_MASK, _OPACITY = (255, 0, 255), 0.35
# Longer side of the first frame of a skipped video, pixels.
_FIRST = 240


def strip_files(frames: Sequence[ShownFrame], number: int) -> dict[str, bytes]:
    """Encodes the film strip of a track: a picture, the masks if there are any, and a script with the numbers.

    A page that is opened from a file may load pictures and scripts, but no other data.

    Args:
        frames: Frames of the strip, of one size.
        number: Number of the track in the report.

    Returns:
        Contents of the files, by suffix.
    """
    files = {".jpg": encode_image(np.hstack([frame.picture for frame in frames]), quality=_QUALITY)}
    if any(frame.mask is not None for frame in frames):
        side = frames[0].picture.shape[0]
        empty = np.zeros((side, side), np.uint8)
        mask = np.hstack([empty if frame.mask is None else frame.mask for frame in frames])
        colour = np.broadcast_to(np.array(_MASK, np.uint8), (*mask.shape, 3))
        overlay = np.dstack([colour, (mask * _OPACITY).astype(np.uint8)])
        files[".png"] = cv2.imencode(".png", overlay)[1].tobytes()
    content = {"masks": ".png" in files, "frames": [_numbers(frame) for frame in frames]}
    files[".js"] = f"film({number},{json.dumps(content, separators=(',', ':'), allow_nan=False)});\n".encode()
    return files


def _numbers(frame: ShownFrame) -> dict[str, Any]:
    # Thousandths of the crop are finer than the pixels of the strip.
    points = [round(1000 * value) for value in frame.landmarks.flatten().nan_to_num(-1.0).tolist()]
    return {
        "n": frame.number,
        "t": round(frame.time, 3),
        "p": points,
        "x": frame.invalid,
        "b": [round(1000 * value) for value in frame.box],
        "s": round(frame.score, 3),
        "h": round(frame.sharpness, 1),
        "f": int(frame.fake),
        "d": int(frame.damaged),
    }


def sprite_sheet(thumbnails: Sequence[UInt8[ndarray, "s s 3"]]) -> bytes:
    """Encodes up to ``SHEET`` thumbnails as one picture, row by row."""
    rows = -(-len(thumbnails) // GRID)
    sheet = np.zeros((rows * THUMBNAIL, GRID * THUMBNAIL, 3), np.uint8)
    for number, picture in enumerate(thumbnails):
        row, column = divmod(number, GRID)
        sheet[row * THUMBNAIL : (row + 1) * THUMBNAIL, column * THUMBNAIL : (column + 1) * THUMBNAIL] = picture
    return encode_image(sheet, quality=_QUALITY)


def thumbnail(frames: Sequence[ShownFrame]) -> UInt8[ndarray, "s s 3"]:
    """Scales the frame in the middle of a film strip."""
    picture = frames[len(frames) // 2].picture
    return cast("UInt8[ndarray, 's s 3']", cv2.resize(picture, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA))


def first_frame(video: VideoReport, roots: Sequence[str]) -> bytes | None:
    """Returns the first frame of a video as JPEG; None if the file is not there or has no readable frame.

    Args:
        video: Report of the video.
        roots: Folders or URLs of data sets; the first one that has the file is used.
    """
    for root in roots:
        path = join(root, video.video)
        if not is_url(path) and not Path(path).exists():
            continue
        try:
            with closing(cast("Any", PyAVReader(prefetch=0).chunks(path, 1))) as batches:
                batch = next(batches, None)
        except VideoError:
            continue
        if batch is not None and len(batch.frames):
            picture = batch.frames[0].permute(1, 2, 0).contiguous().numpy()
            scale = min(1.0, _FIRST / max(picture.shape[:2]))
            size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
            return encode_image(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), quality=_QUALITY)
    return None


def save(path: Path, data: bytes) -> None:
    """Writes a picture. It needs no flush to the disk: the page, which is written last, marks a report as complete.

    Args:
        path: File to write.
        data: Content of the file.

    Raises:
        OutputError: if the file cannot be written.
    """
    with output_errors(path):
        path.write_bytes(data)
