"""Faces of a video as a network is shown them: runs of crops, and where each of them was."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Protocol, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch import Tensor

from mgst_data.core import FrameBatch, NoFaceError, VideoRecord
from mgst_data.core.geometry import apply_transform, invert_transform
from mgst_data.datasets.keys import video_key
from mgst_data.extract import ExtractConfig
from mgst_data.extract.extractor import Extractor
from mgst_data.shards import FaceChunk, scale_image
from mgst_data.video import READERS
from mgst_data.video.files import is_folder
from mgst_data.video.images import IMAGE_SUFFIXES, NOMINAL_FPS

# Frames with one crop, as the shards have them that networks are trained on; more only where a window needs them.
_RUN = 32
# Shorter tracks are most often no faces.
_MIN_FRAMES = 8
_CONFIG = ExtractConfig()
HINT = "take a video in which a face can be seen clearly"


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """A video in memory; reads itself as a :class:`mgst_data.video.VideoReader` does.

    Attributes:
        pixels: RGB.
        fps: Frames per second; 0 where unknown.
        name: What to call it.
    """

    pixels: UInt8[Tensor, "n 3 h w"]
    fps: float = 0.0
    name: str = "frames"

    @staticmethod
    def of(frames: ndarray | Tensor, *, fps: float = 0.0) -> Frames:
        """From an array (n, h, w, 3) or a tensor (n, 3, h, w), uint8.

        Raises:
            TypeError: for another dtype.
            ValueError: for another shape, or no frame.
        """
        pixels = torch.from_numpy(frames) if isinstance(frames, ndarray) else frames
        wanted = "(n, h, w, 3)" if isinstance(frames, ndarray) else "(n, 3, h, w)"
        if pixels.dtype != torch.uint8:
            raise TypeError(f"frames must be uint8, RGB of 0 to 255, not {frames.dtype}")
        colours = -1 if isinstance(frames, ndarray) else 1
        if pixels.ndim != 4 or pixels.shape[colours] != 3 or not pixels.numel():
            raise ValueError(f"frames must be {wanted}, not {tuple(frames.shape)}")
        pixels = pixels.permute(0, 3, 1, 2) if isinstance(frames, ndarray) else pixels.cpu()
        return Frames(pixels, fps)

    def chunks(self, path: str, size: int) -> Iterator[FrameBatch]:  # noqa: ARG002 - as readers are asked
        """All frames, in batches."""
        rate = self.fps or NOMINAL_FPS
        for begin in range(0, len(self.pixels), size):
            pixels = self.pixels[begin : begin + size]
            index = torch.arange(begin, begin + len(pixels))
            # Stored channels-last, as batches are.
            stored = pixels.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
            yield FrameBatch(frames=stored, index=index, pts=index.double() / rate, fps=self.fps)


# A path or URL, or the frames themselves.
Source = str | Frames


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceRun:
    """Consecutive frames of one face, all with the same crop.

    Attributes:
        pixels: RGB crops, n of them; none once they were let go of.
        track: Number of the face.
        frame: Numbers of the frames in the video.
        time: Seconds.
        boxes: Of the face, corners in pixels of the frames.
        square: What was cropped, likewise.
        fps: Of the video; 0 where unknown.
        size: Of the video, width and height.
        read: Frames of the video that had been read when it came out.
    """

    pixels: UInt8[ndarray, "_ s s 3"]
    track: int
    frame: Int[ndarray, " n"]
    time: Float[ndarray, " n"]
    boxes: Float[ndarray, "n 4"]
    square: Float[ndarray, " 4"]
    fps: float
    size: tuple[int, int]
    read: int

    def without_pixels(self) -> FaceRun:
        """The same without its pictures; an empty slice of them would hold all of them in memory."""
        return replace(self, pixels=np.empty((0, *self.pixels.shape[1:]), self.pixels.dtype))

    @staticmethod
    def of(chunk: FaceChunk, side: int, read: int) -> FaceRun:
        """From a chunk, its crops scaled to a side of so many pixels."""
        back = invert_transform(chunk.crop_from_frame)
        # Boxes are corners of areas; a crop reaches from half a pixel before its first pixel's middle on.
        end = chunk.crop_size - 0.5
        corners = apply_transform(back, torch.tensor([[-0.5, -0.5], [end, end]], dtype=torch.float64))
        return FaceRun(
            pixels=np.stack([scale_image(crop, side) for crop in chunk.frames()]),
            track=chunk.track,
            frame=chunk.frame_indices.numpy(),
            time=chunk.pts.numpy(),
            boxes=apply_transform(back, chunk.boxes.double().reshape(-1, 2, 2)).reshape(-1, 4).numpy(),
            square=corners.reshape(4).numpy(),
            fps=chunk.fps,
            size=chunk.frame_size,
            read=read,
        )


@dataclass(slots=True)
class VideoSummary:
    """What is known of a video once all its runs are out.

    Attributes:
        frames: That were read.
        unscored: Frames with a face that are in no run, as they have too few neighbours with the same crop.
        notes: What is amiss with the video.
    """

    frames: int
    unscored: int
    notes: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """What a network takes.

    Attributes:
        frames: Of a window.
        min_frames: Of a run.
        size: Side of the crops, pixels.
    """

    frames: int
    min_frames: int
    size: int


@runtime_checkable
class RunSource(Protocol):
    """Gives the runs of one video after another, and at the end of each what is left to say of it.

    Raises:
        VideoError: while iterating, if the video cannot be read.
        NoFaceError: at the end, if no face was found.
    """

    def __call__(self, source: Source) -> Generator[FaceRun | VideoSummary]:
        """Those of a file, URL, folder of frames, or of frames in memory."""
        ...


class RunReader:
    """Extracts faces in the thread that iterates.

    Args:
        spec: What the network takes.
        extractor: Whose models to use; see :func:`face_extractor`.
    """

    def __init__(self, spec: InputSpec, extractor: Extractor) -> None:
        self.spec = spec
        # Runs of whole windows: none has to reach back.
        run = spec.frames * max(1, _RUN // spec.frames)
        self._of_videos = extractor.with_config(replace(extractor.config, frames=run, min_frames=_MIN_FRAMES))
        # A picture has a single frame.
        self._of_pictures = extractor.with_config(replace(extractor.config, frames=run, min_frames=1))

    def __call__(self, source: Source) -> Generator[FaceRun | VideoSummary]:
        """See :class:`RunSource`."""
        extractor = self._of_pictures if is_picture(source) else self._of_videos
        record = VideoRecord.unlabelled(name_of(source), key=video_key(name_of(source)))
        extraction = extractor(record, reader=source if isinstance(source, Frames) else None)
        unscored = 0
        try:
            # Closed at once, so that decoding ends where the network fails.
            with closing(cast("Generator[FaceChunk]", iter(extraction))) as chunks:
                for chunk in chunks:
                    if len(chunk) < self.spec.min_frames:
                        unscored += len(chunk)
                    else:
                        yield FaceRun.of(chunk, self.spec.size, extraction.frames)
        except NoFaceError as error:
            # The options that an extraction would point to are not asked for here.
            raise NoFaceError(error.what, where=error.where, hint=HINT, reason=error.reason) from error
        yield VideoSummary(extraction.frames, unscored, [text for _, text in extraction.notes])


def face_extractor(device: str = "cpu") -> Extractor:
    """An extractor for :class:`RunReader`."""
    return Extractor(_CONFIG, device=device)


def open_source(source: Source, size: int) -> Iterator[FrameBatch]:
    """Reads a video as that extractor does, in batches of at most ``size`` frames."""
    reader = source if isinstance(source, Frames) else READERS.get(_CONFIG.reader)()
    return reader.chunks(name_of(source), size)


def name_of(source: Source) -> str:
    """The path, or what frames in memory are called."""
    return source.name if isinstance(source, Frames) else source


def is_picture(source: Source) -> bool:
    """Whether this is a single image, by its name or its number of frames."""
    if isinstance(source, Frames):
        return len(source.pixels) == 1
    return source.lower().endswith(IMAGE_SUFFIXES) and not is_folder(source)
