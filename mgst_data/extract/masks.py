"""The manipulation masks of a fake, frame by frame beside its video."""

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
    """Reads a mask video in step with the video it belongs to.

    Frame i of the mask belongs to frame i of the video. A mask that ends early or cannot be read leaves frames without
    a mask (None), which is not the same as an untouched frame, and is told in ``notes``.

    Attributes:
        notes: Reason code and text of what was missing.
    """

    def __init__(self, reader: VideoReader, record: VideoRecord) -> None:
        self.notes: list[tuple[str, str]] = []
        self._record = record
        self._frames = self._read(reader, record.mask_path)

    def __call__(self, batch: FrameBatch) -> list[UInt8[np.ndarray, "h w"] | None]:
        """The masks of a batch, of the size of its frames; 255 is manipulated."""
        height, width = batch.frames.shape[2:]
        masks: list[np.ndarray | None] = []
        for index in batch.index.tolist():
            mask = next(self._frames, None)
            if mask is None and not self.notes:
                self.notes.append(("mask_short", f"{self._record.video}: no mask from frame {index} on"))
            if mask is not None and mask.shape != (height, width):
                mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
            masks.append(mask)
        return masks

    def _read(self, reader: VideoReader, path: str) -> Iterator[UInt8[np.ndarray, "h w"]]:
        try:
            for batch in reader.chunks(path, _BATCH):
                # Masks are grey, or white on black; some are drawn in one colour.
                yield from batch.frames.amax(dim=1).numpy()
        except VideoError as error:
            self.notes.append(("mask_unreadable", str(error)))
