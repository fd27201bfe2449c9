"""Reads prepared crops: aligned faces that a data set ships with their landmarks. No face is detected in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mgst_data.core.geometry import apply_transform
from mgst_data.core.records import Detections, FrameBatch, VideoRecord
from mgst_data.extract.extract_config import ExtractConfig
from mgst_data.extract.masks import MaskFrames
from mgst_data.faces.crop import Square, crop_from_frame, resize
from mgst_data.faces.landmarks import LandmarkModel, check_landmarks
from mgst_data.faces.prepared import disagree, doubts, five_points
from mgst_data.faces.refine import BoxRefiner
from mgst_data.faces.smooth import smooth_landmarks
from mgst_data.shards.images import encode_image, encode_mask
from mgst_data.shards.schema import FaceChunk
from mgst_data.video import VideoReader
from mgst_data.video.images import numbered_images

# Frames of a batch, and the number of them whose landmarks are compared with those of the landmark model.
_BATCH, _SAMPLE = 32, 8
# The first landmarks of the common models are those of the 68-point model.
_COMMON = 68
# Smallest face probability of O-Net: at which its box replaces the box around the landmarks, and of the median crop.
_CONFIRMED = 0.7


@dataclass(frozen=True, slots=True, eq=False)
class _Crop:
    """One prepared crop. Coordinates are in pixels of the picture that the data set ships."""

    index: int
    pts: float
    landmarks: Float[Tensor, "k 2"]
    box: Float[Tensor, "4"]
    score: float
    image: bytes
    mask: bytes | None


class PreparedCrops:
    """The prepared crops of one video, and whether they can be used.

    They are used only if the landmarks of every frame are finite, inside the picture, and have the size and shape of a
    face, and if those of a sample of frames agree with the landmark model. The sample consists of the frames in which
    they are farthest from the five points of O-Net, which looks at every crop. The landmark model starts from the five
    points, too, so that the agreement does not depend on the prepared landmarks.

    The crops are stored as they are: they are only reduced if they are larger than the configured size, and the
    configured margin is ignored. The number of landmarks is that of the landmark model, so that all samples of a folder
    have the same number: 81 prepared landmarks become the first 68 of them for a model of 68 points.

    Args:
        config: Configuration of the extraction.
        record: Record of the video; its ``landmarks_path`` is not "".
        refiner: O-Net, which gives the box and the face probability of every crop.
        model: Landmark model to compare with.

    Attributes:
        frames: Number of frames read so far.
        damage: Reason code of images that could not be decoded; "" for none.
        doubt: Why the crops cannot be used; "" if they can.
    """

    def __init__(
        self, config: ExtractConfig, record: VideoRecord, *, refiner: BoxRefiner, model: LandmarkModel
    ) -> None:
        self.frames = 0
        self.damage = self.doubt = ""
        self._config, self._record, self._refiner, self._model = config, record, refiner, model
        self._crops: list[_Crop] = []
        self._count = 0
        self._side = 0

    def read(self, reader: VideoReader, masks: MaskFrames | None) -> None:
        """Reads all crops and checks their landmarks; it stops at the first doubt.

        Args:
            reader: Reader of the crops.
            masks: Manipulation masks of the crops; None for none.

        Raises:
            VideoError: if the crops cannot be read.
        """
        files: dict[int, Path] = {}
        for batch in reader.chunks(self._record.path, _BATCH):
            files = files or numbered_images(self._record.path)
            self.frames += len(batch)
            self.damage = batch.damage
            batch_masks: Sequence[np.ndarray | None] = masks(batch) if masks else [None] * len(batch)
            landmarks = self._load(batch, files)
            if landmarks is None:
                return
            found = self._look(batch, landmarks)
            self._compare(batch, landmarks, found)
            if self.doubt:
                return
            self._keep(batch, landmarks, found, batch_masks)
        # The median of the video, not of a chunk: most chunks have one frame. And less than ``min_score``, which would
        # leave out fakes with visible artefacts: a face is known to be here, and its landmarks have passed the checks.
        usual = float(torch.tensor([crop.score for crop in self._crops]).median())
        if usual < _CONFIRMED:
            self.doubt = f"the median face probability is {usual:.2f}, below {_CONFIRMED}"

    def chunks(self, models: Mapping[str, str]) -> Iterator[FaceChunk]:
        """Yields the chunks: consecutive frames, or single frames if the frame numbers have gaps.

        A video with fewer frames than ``min_frames`` has no chunk, as in every extraction.

        Args:
            models: Names of detector and landmark model, which are stored in the samples.
        """
        if len(self._crops) < self._config.min_frames:
            return
        number = 0
        numbered = list(enumerate(self._crops))
        for _, stretch in groupby(numbered, key=lambda item: item[1].index - item[0]):
            crops = [crop for _, crop in stretch]
            points = torch.stack([crop.landmarks for crop in crops])
            valid = check_landmarks(points, self._side, self._side)
            smooth = smooth_landmarks(points, valid)
            for run in self._runs(crops):
                yield self._chunk(crops[run], (smooth[run], points[run], valid[run]), number, models)
                number += 1

    def _load(self, batch: FrameBatch, files: Mapping[int, Path]) -> Float[Tensor, "t k 2"] | None:
        """Returns the landmarks of a batch; None, with a doubt, if there is anything wrong with them."""
        height, width = batch.frames.shape[2:]
        if height != width:
            self.doubt = f"the crops are not square ({width}x{height})"
            return None
        self._side = width
        arrays = []
        for index in batch.index.tolist():
            name = f"{files[index].stem}.npy"
            try:
                array = np.load(Path(self._record.landmarks_path, name), allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                what = "not found" if isinstance(error, FileNotFoundError) else "cannot be read"
                self.doubt = f"{name}: {what}"
                return None
            if array.ndim != 2 or array.shape[1] != 2 or len(array) < _COMMON or array.dtype.kind not in "fiu":
                self.doubt = f"{name}: has the shape {array.shape}, not ({_COMMON}, 2) or (81, 2)"
                return None
            arrays.append(array.astype(np.float32))
            if len(array) != len(arrays[0]):
                self.doubt = f"{name}: has {len(array)} landmarks, other frames have {len(arrays[0])}"
                return None
        landmarks = torch.from_numpy(np.stack(arrays))
        for index, doubt in zip(batch.index.tolist(), doubts(landmarks, height, width), strict=True):
            if doubt:
                self.doubt = f"frame {index}: the landmarks are {doubt}"
                return None
        return landmarks

    def _look(self, batch: FrameBatch, landmarks: Float[Tensor, "t k 2"]) -> Detections:
        """Returns box, five points and face probability of every crop, found by O-Net around the landmarks."""
        around = torch.cat((landmarks.amin(dim=1), landmarks.amax(dim=1)), dim=1)
        position = torch.arange(len(batch))
        found = self._refiner(batch.frames, position, around)
        # The box around the landmarks has no forehead. From the box of the first pass, O-Net finds the same face again.
        sure = (found.scores >= _CONFIRMED)[:, None]
        again = self._refiner(batch.frames, position, torch.where(sure, found.boxes, around))
        boxes = torch.where((again.scores >= _CONFIRMED)[:, None], again.boxes, around)
        return Detections(position, boxes, again.scores, again.points)

    def _compare(self, batch: FrameBatch, landmarks: Float[Tensor, "t k 2"], found: Detections) -> None:
        """Compares the landmarks of the sampled frames with those of the landmark model."""
        apart = (five_points(landmarks) - found.points).norm(dim=-1).mean(dim=-1)
        chosen = apart.argsort(descending=True, stable=True)[:_SAMPLE].sort().values
        ours = self._model(batch.frames, found[chosen])
        self._count, theirs = ours.shape[1], landmarks.shape[1]
        if self._count != theirs and (self._count, theirs) != (_COMMON, 81):
            self.doubt = f"there are {theirs} landmarks, and the landmark model has {self._count}"
            return
        far = chosen[disagree(ours[:, :_COMMON], landmarks[chosen, :_COMMON])]
        if len(far):
            self.doubt = f"frame {int(batch.index[far[0]])}: the landmarks disagree with those of the landmark model"

    def _keep(
        self,
        batch: FrameBatch,
        landmarks: Float[Tensor, "t k 2"],
        found: Detections,
        masks: Sequence[np.ndarray | None],
    ) -> None:
        pictures = batch.frames.permute(0, 2, 3, 1).numpy()
        how, size = self._config, self._size
        for i, (index, pts) in enumerate(zip(batch.index.tolist(), batch.pts.tolist(), strict=True)):
            crop = resize(pictures[i], size)
            mask = masks[i]
            self._crops.append(
                _Crop(
                    index,
                    pts,
                    landmarks[i],
                    found.boxes[i],
                    float(found.scores[i]),
                    encode_image(crop, image_format=how.image_format, quality=how.quality),
                    None if mask is None else encode_mask(resize(mask, size)),
                )
            )

    @property
    def _size(self) -> int:
        return self._config.size if self._config.upsample else min(self._config.size, self._side)

    def _runs(self, crops: list[_Crop]) -> Iterator[slice]:
        """Yields the parts of consecutive frames that become chunks. Frames with and without masks are not mixed."""
        start = 0
        for i in range(1, len(crops) + 1):
            ends = i == len(crops) or i - start == self._config.frames
            if ends or (crops[i].mask is None) != (crops[start].mask is None):
                yield slice(start, i)
                start = i

    def _chunk(
        self, crops: list[_Crop], columns: tuple[Tensor, Tensor, Tensor], number: int, models: Mapping[str, str]
    ) -> FaceChunk:
        smooth, raw, valid = columns
        transform = crop_from_frame(Square(0, 0, self._side), 1, self._size)
        corners = torch.stack([crop.box for crop in crops]).reshape(-1, 2, 2).double()
        kept = slice(self._count)
        return FaceChunk(
            record=self._record,
            track=0,
            chunk=number,
            fps=0.0,
            frame_indices=torch.tensor([crop.index for crop in crops]),
            pts=torch.tensor([crop.pts for crop in crops], dtype=torch.float64),
            frame_size=(self._side, self._side),
            crop_size=self._size,
            crop_from_frame=transform,
            landmarks=apply_transform(transform, smooth[:, kept].double()).float(),
            landmarks_raw=apply_transform(transform, raw[:, kept].double()).float(),
            valid=valid[:, kept],
            boxes=apply_transform(transform, corners).reshape(-1, 4).float(),
            scores=torch.tensor([crop.score for crop in crops]),
            images=tuple(crop.image for crop in crops),
            masks=tuple(crop.mask for crop in crops if crop.mask is not None),
            image_format=self._config.image_format,
            quality=self._config.quality,
            models={**models, "detector": "none (prepared crops)", "landmarks": f"prepared, {raw.shape[1]} points"},
        )
