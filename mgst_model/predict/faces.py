"""Faces of a video as the network input: runs of crops, and the positions of the crops."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Protocol, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch import Tensor

from mgst_data.core import FrameBatch, NoFaceError, VideoRecord
from mgst_data.core.geometry import apply_transform, invert_transform
from mgst_data.core.locations import PICTURE_SUFFIXES
from mgst_data.datasets.keys import video_key
from mgst_data.extract import ExtractConfig
from mgst_data.extract.extractor import Extractor
from mgst_data.shards import FaceChunk
from mgst_data.video import READERS
from mgst_data.video.files import is_folder
from mgst_data.video.images import NOMINAL_FPS
from mgst_model.evaluate.conditions import SPACING, measure
from mgst_model.evaluate.crops import InputSpec, network_input

# Frames with one crop, as in the shards of the training; more only if a window needs them.
_RUN = 32
# Shorter tracks are usually false detections.
_MIN_FRAMES = 8
_CONFIG = ExtractConfig()
HINT = "use a video in which a face is clearly visible"
PICTURE_HINT = "use a picture in which a face is clearly visible"


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """A video in memory. It has the methods of :class:`mgst_data.video.VideoReader`.

    Attributes:
        pixels: RGB frames.
        fps: Frames per second; 0 if unknown.
        name: Name of the video in messages and files.
    """

    pixels: UInt8[Tensor, "n 3 h w"]
    fps: float = 0.0
    name: str = "frames"

    @staticmethod
    def of(frames: ndarray | Tensor, *, fps: float = 0.0) -> Frames:
        """Builds a video from an array (n, h, w, 3) or a tensor (n, 3, h, w).

        Args:
            frames: RGB frames, uint8, at least one.
            fps: Frames per second; 0 if unknown.

        Raises:
            TypeError: if the dtype is not uint8.
            ValueError: if the shape is wrong or there is no frame.
        """
        pixels = torch.from_numpy(frames) if isinstance(frames, ndarray) else frames
        wanted = "(n, h, w, 3)" if isinstance(frames, ndarray) else "(n, 3, h, w)"
        if pixels.dtype != torch.uint8:
            raise TypeError(f"frames must be uint8, RGB in [0, 255], got {frames.dtype}")
        colours = -1 if isinstance(frames, ndarray) else 1
        if pixels.ndim != 4 or pixels.shape[colours] != 3 or not pixels.numel():
            raise ValueError(f"frames must have shape {wanted} with n >= 1, got {tuple(frames.shape)}")
        pixels = pixels.permute(0, 3, 1, 2) if isinstance(frames, ndarray) else pixels.cpu()
        return Frames(pixels, fps)

    def chunks(self, path: str, size: int) -> Iterator[FrameBatch]:  # noqa: ARG002 - the interface of readers
        """Yields all frames in batches.

        Args:
            path: Ignored; readers of files need it.
            size: Largest number of frames of a batch.
        """
        rate = self.fps or NOMINAL_FPS
        for begin in range(0, len(self.pixels), size):
            pixels = self.pixels[begin : begin + size]
            index = torch.arange(begin, begin + len(pixels))
            # Stored channels-last, as in the batches of all readers.
            stored = pixels.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
            yield FrameBatch(frames=stored, index=index, pts=index.double() / rate, fps=self.fps)


# A path or URL, or the frames themselves.
Source = str | Frames


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceRun:
    """Consecutive frames of one face.

    Attributes:
        pixels: RGB crops, n of them; none after :meth:`without_pixels`.
        track: Number of the face.
        frame: Numbers of the frames in the video.
        time: Times of the frames, in seconds.
        boxes: Face boxes as corners, in pixels of the video frames.
        squares: The part of each frame that a crop shows, as corners in pixels of the video frames.
        fps: Frames per second of the video; 0 if unknown.
        size: Width and height of the video, in pixels.
        read: Number of video frames that had been read when the run was yielded.
        measured: Conditions of some of the frames, see :func:`mgst_model.evaluate.conditions.measure`.
    """

    pixels: UInt8[ndarray, "_ s s 3"]
    track: int
    frame: Int[ndarray, " n"]
    time: Float[ndarray, " n"]
    boxes: Float[ndarray, "n 4"]
    squares: Float[ndarray, "n 4"]
    fps: float
    size: tuple[int, int]
    read: int
    measured: Float[ndarray, "m 4"] = field(default_factory=lambda: np.zeros((0, 4)))

    def without_pixels(self) -> FaceRun:
        """Returns a copy without crops, which are a new empty array: an empty slice would keep all crops in memory."""
        return replace(self, pixels=np.empty((0, *self.pixels.shape[1:]), self.pixels.dtype))

    @staticmethod
    def of(chunk: FaceChunk, spec: InputSpec, read: int) -> FaceRun:
        """Converts a chunk to a run.

        Args:
            chunk: Chunk of one face.
            spec: Input that the network needs.
            read: Number of video frames that have been read.
        """
        back = invert_transform(chunk.crop_from_frame)
        crops, some = list(chunk.frames()), range(0, len(chunk), SPACING)
        pixels, edges = network_input(chunk, range(len(chunk)), crops, spec)
        return FaceRun(
            pixels=pixels.permute(0, 2, 3, 1).contiguous().numpy(),
            track=chunk.track,
            frame=chunk.frame_indices.numpy(),
            time=chunk.pts.numpy(),
            boxes=apply_transform(back, chunk.boxes.double().reshape(-1, 2, 2)).reshape(-1, 4).numpy(),
            squares=apply_transform(back, edges.double().reshape(-1, 2, 2)).reshape(-1, 4).numpy(),
            fps=chunk.fps,
            size=chunk.frame_size,
            read=read,
            measured=measure(chunk, some, [crops[i] for i in some]),
        )


@dataclass(slots=True)
class VideoSummary:
    """Facts about a video that are known after all its runs.

    Attributes:
        frames: Number of frames that were read.
        unscored: Number of frames with a face that are in no run, because they have too few neighbours with the same
            crop.
        notes: Defects of the video.
    """

    frames: int
    unscored: int
    notes: list[str]


@runtime_checkable
class RunSource(Protocol):
    """Yields the runs of a video, then its summary. It is called for one video after another.

    Raises:
        VideoError: while iterating, if the video cannot be read.
        NoFaceError: at the end, if no face was found.
    """

    def __call__(self, source: Source) -> Generator[FaceRun | VideoSummary]:
        """Yields the runs of a file, a URL, a folder of frames, or frames in memory."""
        ...


class RunReader:
    """Extracts faces in the thread that iterates.

    Args:
        spec: Input that the network needs.
        extractor: Extractor whose models are used; see :func:`face_extractor`.
    """

    def __init__(self, spec: InputSpec, extractor: Extractor) -> None:
        self.spec = spec
        # The length of a run is a multiple of the window, so that no window is moved back.
        run = spec.frames * max(1, _RUN // spec.frames)
        self._of_videos = extractor.with_config(replace(extractor.config, frames=run, min_frames=_MIN_FRAMES))
        # A picture has a single frame.
        self._of_pictures = extractor.with_config(replace(extractor.config, frames=run, min_frames=1))

    def __call__(self, source: Source) -> Generator[FaceRun | VideoSummary]:
        """Yields runs and a summary, see :class:`RunSource`.

        Raises:
            VideoError: if the video cannot be read.
            NoFaceError: if no face was found.
        """
        extractor = self._of_pictures if is_picture(source) else self._of_videos
        record = VideoRecord.unlabelled(name_of(source), key=video_key(name_of(source)))
        extraction = extractor(record, reader=source if isinstance(source, Frames) else None)
        unscored = 0
        try:
            # Closed at once, so that decoding stops if the network fails.
            with closing(cast("Generator[FaceChunk]", iter(extraction))) as chunks:
                for chunk in chunks:
                    if len(chunk) < self.spec.min_frames:
                        unscored += len(chunk)
                    else:
                        yield FaceRun.of(chunk, self.spec, extraction.frames)
        except NoFaceError as error:
            # The hint of the extraction names options that do not exist here.
            what, hint = ("no face in the picture", PICTURE_HINT) if is_picture(source) else (error.what, HINT)
            raise NoFaceError(what, where=error.where, hint=hint, reason=error.reason) from error
        yield VideoSummary(extraction.frames, unscored, [text for _, text in extraction.notes])


def face_extractor(device: str = "cpu") -> Extractor:
    """Builds the extractor for :class:`RunReader`."""
    return Extractor(_CONFIG, device=device)


def open_source(source: Source, size: int) -> Iterator[FrameBatch]:
    """Reads a video with the same reader as the extractor, in batches.

    Args:
        source: The video.
        size: Largest number of frames of a batch.
    """
    reader = source if isinstance(source, Frames) else READERS.get(_CONFIG.reader)()
    return reader.chunks(name_of(source), size)


def name_of(source: Source) -> str:
    """Returns the path, or the name of frames in memory."""
    return source.name if isinstance(source, Frames) else source


def is_picture(source: Source) -> bool:
    """Whether the source is a single picture, by its name or its number of frames."""
    if isinstance(source, Frames):
        return len(source.pixels) == 1
    return source.lower().endswith(PICTURE_SUFFIXES) and not is_folder(source)
