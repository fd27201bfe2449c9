"""Makes face swaps between persons of the validation split, to choose the options of a training.

The design is our own, because the fakes of the test split must not be used for such choices. The swaps differ from the
fakes of the training: they have two persons, aligned by landmarks. They share only general properties with the
deepfakes of the test split. The donor has a similar pose as the target. A `coarse` swap is a mean of the donor frames
with the most similar poses; it has less detail and a wide, soft mask, like those of autoencoders. A `graphic` swap is
warped triangle by triangle into a sharp, narrow mask. Half of the swaps have temporal jitter and flicker; the others
are as steady as the tracks. Every video, real or fake, has its own random quality (size, sharpness, colours, coding),
like videos from many sources. So a network that mistakes low quality for manipulation has a low AUC.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.spatial import Delaunay

from mgst_data.core import FAKE, VideoRecord
from mgst_data.core.geometry import similarity_transform
from mgst_data.core.sampling import evenly_spaced
from mgst_data.shards import FaceChunk, ShardReader, ShardWriter, VideoReport, encode_image, open_folder
from mgst_data.video.h264 import encode_h264

COARSE, GRAPHIC = "coarse swap", "graphic swap"
# Number of donors for each person: one for a fake with temporal jitter, the other for a steady fake.
DONORS = 2
# Number of real videos of a person, each with another quality.
REALS = 3
# Maximum number of donor frames in the mean of a coarse face, and the scale of their weights: the weight falls by a
# factor of e per this increase of the mean landmark distance, in eye distances.
POSES, UNLIKE = 6, 0.02
# Number of chunks per person, and frames per chunk.
CHUNKS, FRAMES = 3, 16
# Landmarks of the chin line without the ears, brows, eyes, nose and mouth (68 points of iBUG 300-W).
_FACE = (*range(2, 15), *range(17, 68))
_INNER = slice(17, 68)
_BROWS, _UNDER_BROWS = slice(17, 27), (36, 36, 37, 38, 39, 42, 43, 44, 45, 45)

Picture = Float[ndarray, "h w 3"]
Points = Float[ndarray, "68 2"]


@dataclass(frozen=True)
class Look:
    """Parameters that are the same in all frames of one fake.

    Attributes:
        kind: ``COARSE`` or ``GRAPHIC``.
        detail: Resolution of the donor after the reduction, as a share of the original.
        erode: Diameter of the erosion of the mask, pixels of the crop.
        blur: Standard deviation of the soft edge of the mask, pixels.
        forehead: Extent of a coarse mask above the brows, in units of the distance from brows to eyes.
        matched: Share by which mean and spread of the donor colours are moved to those of the target, [0, 1].
        shake: Standard deviation of the position of the donor from frame to frame, pixels.
        flicker: Standard deviation of the gain of its colour channels from frame to frame.
    """

    kind: str
    detail: float
    erode: int
    blur: float
    forehead: float
    matched: float
    shake: float
    flicker: float

    @staticmethod
    def draw(kind: str, random: np.random.Generator, *, steady: bool) -> Look:
        """Samples parameters; with ``steady``, without shake and flicker."""
        if kind == COARSE:
            numbers = {"detail": (0.3, 0.6), "blur": (3, 9), "forehead": (0.0, 0.4), "matched": (0.7, 1)}
            erode, shake, flicker = random.integers(9, 25), 0.5, 0.006
        else:
            numbers = {"detail": (1, 1), "blur": (1.5, 4), "forehead": (0, 0), "matched": (0.5, 1)}
            erode, shake, flicker = random.integers(3, 9), 0.8, 0.01
        if steady:
            shake, flicker = 0.0, 0.0
        drawn = {name: random.uniform(low, high) for name, (low, high) in numbers.items()}
        return Look(kind=kind, erode=int(erode), shake=shake, flicker=flicker, **drawn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Changes of the quality of a whole video.

    Attributes:
        scale: Resolution after the reduction, as a share of the original.
        sharpen: Strength of unsharp masking.
        saturation: Factor of the differences from grey.
        contrast: Factor of the differences from 128.
        warmth: Value that is added to red and subtracted from blue, 8-bit levels.
        crf: Constant rate factor of the H.264 encoding.
    """

    scale: float
    sharpen: float
    saturation: float
    contrast: float
    warmth: float
    crf: int

    @staticmethod
    def draw(random: np.random.Generator) -> Quality:
        """Samples parameters."""
        return Quality(
            scale=float(random.choice((1.0, 1.0, 0.7, 0.5, 0.35))),
            sharpen=float(random.choice((0.0, 0.0, 0.0, random.uniform(0.3, 1.0)))),
            saturation=random.uniform(0.7, 1.3),
            contrast=random.uniform(0.85, 1.15),
            warmth=random.uniform(-12, 12),
            crf=int(random.integers(18, 34)),
        )

    def of(self, frame: Picture) -> Picture:
        """Changes the quality of one frame, before it is encoded."""
        size = frame.shape[1], frame.shape[0]
        if self.scale < 1:
            small = cv2.resize(frame, None, fx=self.scale, fy=self.scale, interpolation=cv2.INTER_AREA)
            frame = cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)
        frame = frame + self.sharpen * (frame - cv2.GaussianBlur(frame, (0, 0), 1.5))
        grey = frame.mean(axis=-1, keepdims=True)
        frame = grey + self.saturation * (frame - grey)
        frame = 128 + self.contrast * (frame - 128)
        return np.asarray(frame + np.array((self.warmth, 0, -self.warmth)), np.float32)


def make_swaps(shards: Path, out: Path) -> Path:
    """Writes shards of the persons of the validation split and of swaps between them. A complete folder is kept.

    Args:
        shards: Folder of shards of all clips.
        out: Folder in which the folder of swaps is made.

    Returns:
        The folder of swaps.
    """
    people = _people(ShardReader.open(shards, split="val", label=0))
    keys = list(people)
    plan: list[_Planned] = []
    for i, key in enumerate(keys):
        record = people[key][0].record
        for copy in range(REALS):
            name = f"{i:02d}-real-{copy}"
            plan.append(_Planned(replace(record, key=name, video=name), key))
        nearest = sorted(
            (other for other in keys if other != key), key=lambda other: _unlike(people[other], people[key])
        )
        for kind in (COARSE, GRAPHIC):
            for rank, donor in enumerate(nearest[:DONORS]):
                steady = (rank + i) % 2 == 1
                name = f"{i:02d}-{kind.split()[0]}-{'steady' if steady else 'shaking'}"
                fake = replace(record, key=name, video=name, label=FAKE, method=kind, source_key=donor)
                plan.append(_Planned(fake, key, donor, steady))
    by_key = {planned.record.key: planned for planned in plan}
    records = [planned.record for planned in plan]
    folder = out / "swaps"
    made_with = {"swaps": [DONORS, REALS, CHUNKS, FRAMES, POSES, UNLIKE]}
    with open_folder(folder, made_with, records) as opened:
        for task in opened.missing(records):
            with ShardWriter(folder, task.name) as shard:
                for record in task.records:
                    planned = by_key[record.key]
                    random = np.random.default_rng(list(record.key.encode()))
                    look = Look.draw(record.method, random, steady=planned.steady) if record.label else None
                    target, donor = planned.target, planned.donor
                    chunks = list(_video(record, people[target], people.get(donor, []), look, random))
                    for chunk in chunks:
                        shard.write(chunk)
                    images = sum(map(len, chunks))
                    shard.end_video(VideoReport.of(record, tracks=1, chunks=len(chunks), images=images))
        opened.finish()
    return folder


@dataclass(frozen=True, slots=True)
class _Planned:
    """A video to make: its target person, its donor ("" for a real video), and whether it is steady."""

    record: VideoRecord
    target: str
    donor: str = ""
    steady: bool = False


def _people(reader: ShardReader) -> dict[str, list[FaceChunk]]:
    """Returns some evenly spaced chunks of every person."""
    found = {}
    for video, key in enumerate(reader.videos):
        rows = (reader.video == video).nonzero()[:, 0].tolist()
        chunks = [chunk for chunk in map(reader.__getitem__, rows) if len(chunk) >= FRAMES]
        if chunks:
            found[key] = [chunks[i] for i in evenly_spaced(len(chunks), min(CHUNKS, len(chunks)))]
    return found


def _video(
    record: VideoRecord,
    targets: list[FaceChunk],
    donors: list[FaceChunk],
    look: Look | None,
    random: np.random.Generator,
) -> Iterator[FaceChunk]:
    quality = Quality.draw(random)
    for number, target in enumerate(targets):
        frames = [frame.astype(np.float32) for frame in target.frames(range(FRAMES))]
        if look is not None:
            faces = _faces(donors, target, all_chunks=look.kind == COARSE)
            points = target.landmarks.double().numpy()
            frames = [
                _swapped(frame, points[i], faces if look.kind == COARSE else faces[i : i + 1], look, random)
                for i, frame in enumerate(frames)
            ]
        frames = [quality.of(frame) for frame in frames]
        levels = np.stack(frames).round().clip(0, 255).astype(np.uint8)
        coded = encode_h264(torch.from_numpy(levels).permute(0, 3, 1, 2).contiguous(), quality.crf).permute(0, 2, 3, 1)
        columns = ("frame_indices", "pts", "landmarks", "landmarks_raw", "valid", "boxes", "scores")
        yield replace(
            target,
            record=record,
            track=0,
            chunk=number,
            images=tuple(encode_image(np.ascontiguousarray(frame), image_format="png") for frame in coded.numpy()),
            masks=(),
            image_format="png",
            **{name: getattr(target, name)[:FRAMES] for name in columns},
        )


def _faces(donors: list[FaceChunk], target: FaceChunk, *, all_chunks: bool) -> list[tuple[Picture, Points]]:
    """Returns frames of the donor with landmarks: all, or those of the chunk with the most similar pose."""
    chosen = donors if all_chunks else [min(donors, key=lambda chunk: _chunks_apart(chunk, target))]
    return [
        (frame.astype(np.float32), points)
        for chunk in chosen
        for frame, points in zip(chunk.frames(range(FRAMES)), chunk.landmarks.double().numpy(), strict=False)
    ]


def _unlike(donors: list[FaceChunk], targets: list[FaceChunk]) -> float:
    """Returns the mean pose distance over the chunks of the target, each to the most similar chunk of the donor."""
    apart = [min(_chunks_apart(donor, target) for donor in donors) for target in targets]
    return sum(apart) / len(apart)


def _chunks_apart(donor: FaceChunk, target: FaceChunk) -> float:
    """Returns the landmark distance of the first frames of two chunks, see :func:`_apart`."""
    return _apart(donor.landmarks[0].double().numpy(), target.landmarks[0].double().numpy())


def _fit(points: Points, onto: Points) -> Float[ndarray, "2 3"]:
    matrix: Float[ndarray, "2 3"] = similarity_transform(
        torch.from_numpy(points[_INNER]), torch.from_numpy(onto[_INNER])
    ).numpy()
    return matrix


def _apart(points: Points, onto: Points) -> float:
    """Returns the mean distance of the inner landmarks of two faces after their alignment, in eye distances."""
    matrix = _fit(points, onto)
    between = np.linalg.norm(onto[36:42].mean(axis=0) - onto[42:48].mean(axis=0))
    moved = points[_INNER] @ matrix[:, :2].T + matrix[:, 2]
    return float(np.linalg.norm(moved - onto[_INNER], axis=-1).mean() / between)


def _mean_face(faces: list[tuple[Picture, Points]], onto: Points, look: Look) -> tuple[Picture, Float[ndarray, "h w"]]:
    """Returns the mean of donor frames aligned to ``onto``, and a mask of the pixels that all frames cover."""
    apart = np.array([_apart(points, onto) for _, points in faces])
    chosen = apart.argsort()[:POSES]
    weights = np.exp((apart[chosen[0]] - apart[chosen]) / UNLIKE)
    weights /= weights.sum()
    size = faces[0][0].shape[1::-1]
    mean, seen = np.zeros((*size[::-1], 3), np.float32), np.ones(size[::-1], np.float32)
    for weight, i in zip(weights, chosen, strict=True):
        image, points = faces[i]
        small = cv2.resize(image, None, fx=look.detail, fy=look.detail, interpolation=cv2.INTER_AREA)
        blurred = cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)
        fit = _fit(points, onto)
        mean += np.float32(weight) * cv2.warpAffine(blurred, fit, size)
        seen = np.minimum(seen, cv2.warpAffine(np.ones(size[::-1], np.float32), fit, size))
    return mean, seen


def _swapped(
    target: Picture, points: Points, faces: list[tuple[Picture, Points]], look: Look, random: np.random.Generator
) -> Picture:
    """Blends the face of the donor into one frame."""
    size = target.shape[1], target.shape[0]
    moved = points + random.normal(0, look.shake, (1, 2))
    if look.kind == COARSE:
        face, seen = _mean_face(faces, moved, look)
        brows = points[_BROWS]
        outline = np.concatenate((points, brows + look.forehead * (brows - points[list(_UNDER_BROWS)])))
        mask = _mask(outline, size, look) * seen
    else:
        [(donor, donor_points)] = faces
        face = _by_triangles(donor, donor_points[list(_FACE)], moved[list(_FACE)], size)
        mask = _mask(points[list(_FACE)], size, look)
    face = _recoloured(face, target, mask > 0.5, look.matched) * (1 + random.normal(0, look.flicker, 3))
    return (target + mask[..., None] * (face - target)).astype(np.float32)


def _mask(points: Float[ndarray, "k 2"], size: tuple[int, int], look: Look) -> Float[ndarray, "h w"]:
    mask = np.zeros(size[::-1], np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(points.round().astype(np.int32)), 1.0)
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (look.erode | 1, look.erode | 1))
    return cv2.GaussianBlur(cv2.erode(mask, ellipse), (0, 0), look.blur)


def _by_triangles(
    image: Picture, points: Float[ndarray, "k 2"], onto: Float[ndarray, "k 2"], size: tuple[int, int]
) -> Picture:
    """Warps an image triangle by triangle, from ``points`` to ``onto``."""
    out = np.zeros((*size[::-1], 3), np.float32)
    for corners in Delaunay(onto).simplices:
        fit = cv2.getAffineTransform(points[corners].astype(np.float32), onto[corners].astype(np.float32))
        inside = np.zeros(size[::-1], np.uint8)
        cv2.fillConvexPoly(inside, onto[corners].round().astype(np.int32), 1)
        out[inside > 0] = cv2.warpAffine(image, fit, size)[inside > 0]
    return out


def _recoloured(face: Picture, target: Picture, where: Bool[ndarray, "h w"], share: float) -> Picture:
    """Moves mean and spread of the face colours in Lab to those of the target, by ``share``."""
    if where.sum() < 20:
        return face
    ours, theirs = (cv2.cvtColor((image / 255).clip(0, 1), cv2.COLOR_RGB2LAB) for image in (face, target))
    spread = (theirs[where].std(axis=0) + 1e-3) / (ours[where].std(axis=0) + 1e-3)
    matched = (ours - ours[where].mean(axis=0)) * spread.clip(0.6, 1.6) + theirs[where].mean(axis=0)
    mixed = (ours + share * (matched - ours)).astype(np.float32)
    return cv2.cvtColor(mixed, cv2.COLOR_LAB2RGB) * 255
