"""Extracts one video into memory, for notebooks and for use in other pipelines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from mgst_data.core.devices import choose_device
from mgst_data.core.geometry import apply_transform, invert_transform
from mgst_data.core.records import VideoRecord
from mgst_data.datasets.keys import video_key
from mgst_data.extract.extract_config import ExtractConfig
from mgst_data.extract.extractor import Extractor
from mgst_data.shards import FaceChunk


@dataclass(frozen=True, slots=True, eq=False)
class CroppedTrack:
    """The track of one face through a video, with its crops: t frames, k landmarks, crops of s x s pixels.

    Attributes:
        id: Number of the track within the video, in order of first appearance.
        frame: Numbers of the frames in the video, ascending.
        time: Presentation times of the frames, seconds.
        boxes: Face boxes ``x0, y0, x1, y1``, pixels of the video.
        scores: Face probability of the detector, [0, 1].
        landmarks: Smoothed landmarks ``(x, y)``, pixels of the crop.
        valid: False for landmarks that lie outside the frame or jump.
        crops: RGB crops.
        crop_from_frame: Affine transform from pixels of the video to pixels of the crop. It is the same for all frames
            of a run.
        fps: Average frame rate of the video, frames per second; 0 if unknown.
        frame_size: Width and height of the video, pixels.
    """

    id: int
    frame: Int[Tensor, " t"]
    time: Float[Tensor, " t"]
    boxes: Float[Tensor, "t 4"]
    scores: Float[Tensor, " t"]
    landmarks: Float[Tensor, "t k 2"]
    valid: Bool[Tensor, "t k"]
    crops: UInt8[Tensor, "t 3 s s"]
    crop_from_frame: Float[Tensor, "t 2 3"]
    fps: float
    frame_size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        first, last = int(self.frame[0]), int(self.frame[-1])
        return f"CroppedTrack(id {self.id}, {len(self)} frames from {first} to {last}, crops of {self.crops.shape[-1]})"

    @property
    def frame_from_crop(self) -> Float[Tensor, "t 2 3"]:
        """Affine transform from pixels of the crop to pixels of the video."""
        return invert_transform(self.crop_from_frame)

    @staticmethod
    def of(chunks: Iterable[FaceChunk]) -> CroppedTrack:
        """Joins the chunks of one track in the given order. All crops have the same size."""
        some = list(chunks)

        def column(values: Iterable[Tensor]) -> Tensor:
            return torch.cat(list(values))

        boxes = [
            apply_transform(invert_transform(chunk.crop_from_frame), chunk.boxes.double().reshape(-1, 2, 2))
            for chunk in some
        ]
        pixels = np.stack([crop for chunk in some for crop in chunk.frames()])
        return CroppedTrack(
            id=some[0].track,
            frame=column(chunk.frame_indices for chunk in some),
            time=column(chunk.pts for chunk in some),
            boxes=column(box.reshape(-1, 4).float() for box in boxes),
            scores=column(chunk.scores for chunk in some),
            landmarks=column(chunk.landmarks for chunk in some),
            valid=column(chunk.valid for chunk in some),
            crops=torch.from_numpy(pixels).permute(0, 3, 1, 2),
            crop_from_frame=column(chunk.crop_from_frame.expand(len(chunk), 2, 3) for chunk in some),
            fps=some[0].fps,
            frame_size=some[0].frame_size,
        )


def extract_video(
    path: str | Path,
    *,
    size: int = 224,
    margin: float = 0.3,
    min_face: int = 40,
    min_frames: int = 1,
    min_score: float = 0.9,
    device: str = "auto",
) -> list[CroppedTrack]:
    """Extracts the faces of a video into memory: ``extract_video("video.mp4")[0].crops``. No file is written.

    Tracks, crops and landmarks are made in the same way as by ``mgst-data extract``. All crops are kept in memory,
    150 kB per face and frame at the default size.

    Args:
        path: Path or URL of a video or image, or a folder with the frames of one video.
        size: Side of the crops, pixels; small faces are enlarged.
        margin: Margin of the crop around the face box on each side, in units of the longer side of the box.
        min_face: Side of the smallest face, pixels of the video.
        min_frames: Minimum length of a track, frames; shorter tracks are dropped.
        min_score: Minimum of the median face probability of a run, [0, 1]; other runs are dropped.
        device: "cpu", "cuda", or "auto" for CUDA if it is available.

    Returns:
        One or more tracks, in order of first appearance.

    Raises:
        VideoError: if the video cannot be read.
        NoFaceError: if the video contains no face.
        UsageError: if an option is out of range, or the device does not exist.
    """
    config = ExtractConfig(
        size=size,
        margin=margin,
        upsample=True,
        min_face=min_face,
        min_frames=min_frames,
        min_score=min_score,
        image_format="png",  # lossless, because the crops are decoded again below
    )
    extractor = Extractor(config, device=choose_device(device))
    chunks = list(extractor(VideoRecord.unlabelled(str(path), key=video_key(str(path)))))
    by_track = groupby(sorted(chunks, key=lambda chunk: (chunk.track, chunk.chunk)), key=lambda chunk: chunk.track)
    return [CroppedTrack.of(some) for _, some in by_track]
