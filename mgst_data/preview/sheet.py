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
# Scale of the font, and mean width of a letter in pixels.
_LETTER, _LETTER_WIDTH = 0.4, 7.5
_PAPER, _INK = 255, (40, 40, 40)
_FACE, _VALID, _INVALID = (255, 255, 255), (0, 230, 0), (255, 40, 40)


def contact_sheet(chunks: Sequence[FaceChunk], *, columns: int = 8, side: int = 144) -> UInt8[ndarray, "h w 3"]:
    """Draws crops with the face box and the landmarks. Invalid landmarks are red.

    There is one row per chunk, with some of its frames. Chunks of one frame share rows.

    Args:
        chunks: Chunks, from top to bottom and from left to right.
        columns: Number of frames per row.
        side: Side of each picture, pixels.

    Raises:
        ShardError: if a crop is damaged.
    """
    rows = _rows([len(chunk) for chunk in chunks], columns)
    sheet = np.full((len(rows) * (side + _CAPTION), columns * side, 3), _PAPER, dtype=np.uint8)
    for row, span in enumerate(rows):
        top = row * (side + _CAPTION)
        for place, chunk in enumerate(chunks[span]):
            text = _caption(chunk) if len(chunk) > 1 else _short_caption(chunk, side)
            at = (place * side + 4, top + 13)
            cv2.putText(sheet, text, at, cv2.FONT_HERSHEY_SIMPLEX, _LETTER, _INK, 1, cv2.LINE_AA)
            shown = evenly_spaced(len(chunk), min(columns, len(chunk)))
            for column, (i, crop) in enumerate(zip(shown, chunk.frames(shown), strict=True), start=place):
                landmarks, box = chunk.landmarks[i].numpy(), chunk.boxes[i].numpy()
                picture = _draw(crop, landmarks, chunk.valid[i].numpy(), box, side)
                sheet[top + _CAPTION : top + _CAPTION + side, column * side : (column + 1) * side] = picture
    return sheet


def _rows(lengths: Sequence[int], columns: int) -> list[slice]:
    """Returns the chunks of every row: one chunk, or up to ``columns`` chunks of one frame that follow each other."""
    rows: list[slice] = []
    for i, length in enumerate(lengths):
        last = rows[-1] if rows else slice(0, 0)
        if length == 1 and 0 < i - last.start < columns and lengths[last.start] == 1:
            rows[-1] = slice(last.start, i + 1)
        else:
            rows.append(slice(i, i + 1))
    return rows


def write_sheets(
    reader: ShardReader, out: Path, *, per_video: int | None = None, rows: int = 12, columns: int = 8, side: int = 144
) -> int:
    """Writes contact sheets of chunks as ``sheet-0000.png``, ``sheet-0001.png``, ...

    Args:
        reader: Reader of the chunks, sorted by video.
        out: Output folder. It is created if it does not exist.
        per_video: Maximum number of chunks of each video, evenly spaced; None shows all.
        rows: Number of rows per sheet: one chunk each, or several chunks of one frame.
        columns: Number of frames per row; of a longer chunk, they are evenly spaced.
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
    filled = _rows(reader.frames[chosen].tolist(), columns)
    starts = range(0, len(filled), rows)
    for number, start in enumerate(starts):
        those = chosen[filled[start].start : filled[start : start + rows][-1].stop]
        picture = contact_sheet([reader[i] for i in those], columns=columns, side=side)
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


def _short_caption(chunk: FaceChunk, side: int) -> str:
    """Returns the end of the file name, as much as fits over one picture, after "fake" for fakes."""
    kind = "fake " if chunk.record.label else ""
    room = max(4, int(side / _LETTER_WIDTH) - len(kind))
    return (kind + chunk.record.video.rpartition("/")[2][-room:]).encode("ascii", "replace").decode()


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
