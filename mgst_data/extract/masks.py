"""Reads the manipulation masks of a fake video, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import UInt8

from mgst_data.core.errors import VideoError
from mgst_data.core.records import FrameBatch, VideoRecord
from mgst_data.video import VideoReader
from mgst_data.video.files import is_folder

_BATCH = 8


class MaskFrames:
    """Reads a mask video in parallel with the video that it belongs to.

    Frame i of the mask video belongs to frame i of the video. If the masks are a folder of images, a mask belongs to
    the frame with the same frame number. A frame whose mask is missing or cannot be read has no mask (None), which is
    not the same as an untouched frame. ``notes`` says so.

    Args:
        reader: Reader of the mask video.
        record: Record of the video; ``record.mask_path`` is the mask video, or a folder of images.

    Attributes:
        notes: Reason code and text of missing masks.
    """

    def __init__(self, reader: VideoReader, record: VideoRecord) -> None:
        self.notes: list[tuple[str, str]] = []
        self._record = record
        self._by_number = is_folder(record.mask_path)
        self._frames = self._read(reader, record.mask_path)
        self._next = next(self._frames, None)

    def __call__(self, batch: FrameBatch) -> list[UInt8[np.ndarray, "h w"] | None]:
        """Returns the masks of the next batch, scaled to the size of its frames; 255 is manipulated.

        Args:
            batch: Next batch of the video. Batches must be passed in order.
        """
        height, width = batch.frames.shape[2:]
        masks: list[np.ndarray | None] = []
        for index in batch.index.tolist():
            mask = self._take(index)
            if mask is None and not self.notes:
                first = f"no mask of frame {index}" if self._by_number else f"no masks from frame {index} on"
                self.notes.append(("mask_short", f"{self._record.video}: {first}"))
            if mask is not None and mask.shape != (height, width):
                mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
            masks.append(mask)
        return masks

    def _take(self, index: int) -> UInt8[np.ndarray, "h w"] | None:
        """Returns the mask of a frame, or None if it has none."""
        while self._by_number and self._next is not None and self._next[0] < index:
            self._next = next(self._frames, None)
        if self._next is None or (self._by_number and self._next[0] != index):
            return None
        mask = self._next[1]
        self._next = next(self._frames, None)
        return mask

    def _read(self, reader: VideoReader, path: str) -> Iterator[tuple[int, UInt8[np.ndarray, "h w"]]]:
        try:
            for batch in reader.chunks(path, _BATCH):
                # Masks are grey, white on black, or in some data sets one colour on black.
                yield from zip(batch.index.tolist(), batch.frames.amax(dim=1).numpy(), strict=True)
        except VideoError as error:
            self.notes.append(("mask_unreadable", str(error)))
