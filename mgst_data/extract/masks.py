"""Reads the manipulation masks of a fake video, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import UInt8

from mgst_data.core.errors import VideoError
from mgst_data.core.records import FrameBatch, VideoRecord
from mgst_data.video import VideoReader

_BATCH = 8


class MaskFrames:
    """Reads a mask video in parallel with the video that it belongs to.

    Frame i of the mask video belongs to frame i of the video. If the mask video ends early or cannot be read, the
    remaining frames have no mask (None), which is not the same as an untouched frame. ``notes`` says so.

    Args:
        reader: Reader of the mask video.
        record: Record of the video; ``record.mask_path`` is the mask video.

    Attributes:
        notes: Reason code and text of missing masks.
    """

    def __init__(self, reader: VideoReader, record: VideoRecord) -> None:
        self.notes: list[tuple[str, str]] = []
        self._record = record
        self._frames = self._read(reader, record.mask_path)

    def __call__(self, batch: FrameBatch) -> list[UInt8[np.ndarray, "h w"] | None]:
        """Returns the masks of the next batch, scaled to the size of its frames; 255 is manipulated.

        Args:
            batch: Next batch of the video. Batches must be passed in order.
        """
        height, width = batch.frames.shape[2:]
        masks: list[np.ndarray | None] = []
        for index in batch.index.tolist():
            mask = next(self._frames, None)
            if mask is None and not self.notes:
                self.notes.append(("mask_short", f"{self._record.video}: no masks from frame {index} on"))
            if mask is not None and mask.shape != (height, width):
                mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
            masks.append(mask)
        return masks

    def _read(self, reader: VideoReader, path: str) -> Iterator[UInt8[np.ndarray, "h w"]]:
        try:
            for batch in reader.chunks(path, _BATCH):
                # Masks are grey, white on black, or in some data sets one colour on black.
                yield from batch.frames.amax(dim=1).numpy()
        except VideoError as error:
            self.notes.append(("mask_unreadable", str(error)))
