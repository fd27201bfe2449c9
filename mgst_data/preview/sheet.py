"""Draws contact sheets: crops with face boxes and landmarks, for visual checks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from mgst_data.core.sampling import evenly_spaced
from mgst_data.shards import FaceChunk, ShardReader, encode_image
from mgst_data.shards.storage import output_errors, write_atomic

_CAPTION = 18
_PAPER, _INK = 255, (40, 40, 40)
_FACE, _VALID, _INVALID = (255, 255, 255), (0, 230, 0), (255, 40, 40)


def contact_sheet(chunks: Sequence[FaceChunk], *, columns: int = 8, side: int = 144) -> UInt8[ndarray, "h w 3"]:
    """Draws one row per chunk: some of its crops with the face box and the landmarks. Invalid landmarks are red.

    Args:
        chunks: Chunks, from top to bottom.
        columns: Number of frames per chunk, evenly spaced.
        side: Side of each picture, pixels.

    Raises:
        ShardError: if a crop is damaged.
    """
    sheet = np.full((len(chunks) * (side + _CAPTION), columns * side, 3), _PAPER, dtype=np.uint8)
    for row, chunk in enumerate(chunks):
        top = row * (side + _CAPTION)
        cv2.putText(sheet, _caption(chunk), (4, top + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, _INK, 1, cv2.LINE_AA)
        shown = evenly_spaced(len(chunk), min(columns, len(chunk)))
        for column, (i, crop) in enumerate(zip(shown, chunk.frames(shown), strict=True)):
            landmarks, box = chunk.landmarks[i].numpy(), chunk.boxes[i].numpy()
            picture = _draw(crop, landmarks, chunk.valid[i].numpy(), box, side)
            sheet[top + _CAPTION : top + _CAPTION + side, column * side : (column + 1) * side] = picture
    return sheet


def write_sheets(
    reader: ShardReader, out: Path, *, per_video: int | None = None, rows: int = 12, columns: int = 8, side: int = 144
) -> int:
    """Writes contact sheets of chunks as ``sheet-0000.png``, ``sheet-0001.png``, ...

    Args:
        reader: Reader of the chunks, sorted by video.
        out: Output folder. It is created if it does not exist.
        per_video: Maximum number of chunks of each video, evenly spaced; None shows all.
        rows: Number of chunks per sheet.
        columns: Number of frames per chunk, evenly spaced.
        side: Side of each picture, pixels.

    Returns:
        The number of sheets.

    Raises:
        OutputError: if the folder cannot be written.
        ShardError: if a shard is damaged.
    """
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    chosen = [i for video in range(len(reader.videos)) for i in _chosen(reader, video, per_video)]
    starts = range(0, len(chosen), rows)
    for number, start in enumerate(starts):
        picture = contact_sheet([reader[i] for i in chosen[start : start + rows]], columns=columns, side=side)
        write_atomic(out / f"sheet-{number:04d}.png", encode_image(picture, image_format="png"))
    return len(starts)


def _chosen(reader: ShardReader, video: int, most: int | None) -> list[int]:
    numbers = (reader.video == video).nonzero()[:, 0].tolist()
    return [numbers[i] for i in evenly_spaced(len(numbers), min(len(numbers), most or len(numbers)))]


def _caption(chunk: FaceChunk) -> str:
    first, last = chunk.frame_indices[0], chunk.frame_indices[-1]
    record = chunk.record
    kind = record.method if record.label == 0 else f"fake: {record.method}"
    score = f"score {float(chunk.scores.median()):.3f}, {chunk.crop_size} px"
    # The OpenCV font has only ASCII characters.
    return f"{chunk.key}   {kind}   frames {first}-{last}   {score}".encode("ascii", "replace").decode()


def _draw(
    crop: UInt8[ndarray, "s s 3"],
    landmarks: Float[ndarray, "k 2"],
    valid: Bool[ndarray, " k"],
    box: Float[ndarray, "4"],
    side: int,
) -> UInt8[ndarray, "t t 3"]:
    scale = side / crop.shape[0]
    picture = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    x0, y0, x1, y1 = (box * scale).round().astype(int).tolist()
    cv2.rectangle(picture, (x0, y0), (x1, y1), _FACE, 1)
    for point, good in zip((landmarks * scale).round().astype(int).tolist(), valid, strict=True):
        cv2.circle(picture, point, 1, _VALID if good else _INVALID, -1, cv2.LINE_AA)
    return picture
