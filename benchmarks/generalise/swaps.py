"""Swaps between the people of the validation split: what a training's parameters may be chosen by. All of it is ours.

They are unlike what networks are trained on: two people, landmark for landmark. They are like the deepfakes of the test
split in no more than what everybody knows of such: donors are posed about like the target; `coarse` swaps are a mean of
the donor's frames that are posed most like the target's, have lost detail and have a wide, soft mask, as autoencoders
have it; `graphic` ones are warped triangle by triangle into a sharp, narrow mask. Half of each shake and flicker from
frame to frame; the others are as steady as the tracks are. Every video, real or fake, is of a quality of its own (size,
sharpness, colours, coding), as videos from many places are: what takes poor videos for fakes shows.
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
# People whose faces each of the others gets: of one in a shaking fake, of the other in a steady one.
DONORS = 2
# Real videos of a person, each of another quality.
REALS = 3
# Frames of a donor that a coarse face is a mean of, at most, and how fast their weights fall: by a factor of e for so
# much more of a mean distance between the points of two faces, in distances between the eyes.
POSES, UNLIKE = 6, 0.02
# Chunks of a person, and frames of each.
CHUNKS, FRAMES = 3, 16
# Chin line without the ears, brows, eyes, nose, mouth [the 68 points of iBUG 300-W].
_FACE = (*range(2, 15), *range(17, 68))
_INNER = slice(17, 68)
_BROWS, _UNDER_BROWS = slice(17, 27), (36, 36, 37, 38, 39, 42, 43, 44, 45, 45)

Picture = Float[ndarray, "h w 3"]
Points = Float[ndarray, "68 2"]


@dataclass(frozen=True)
class Look:
    """What all frames of one fake have in common.

    Attributes:
        kind: ``COARSE`` or ``GRAPHIC``.
        detail: Share of the donor's resolution that is left.
        erode: Diameter by which the mask shrinks, pixels of the crop.
        blur: Deviation of its soft edge, pixels.
        forehead: How far a coarse mask reaches above the brows, in distances from brows to eyes.
        matched: How much of the donor's mean and spread of colour gives way to the target's, [0, 1].
        shake: Deviation of the donor's place from frame to frame, pixels.
        flicker: Deviation of its channels' gain from frame to frame.
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
        """Draws one; a steady one neither shakes nor flickers."""
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
    """What has been done to a whole video since it was made.

    Attributes:
        scale: Share of the resolution that is left.
        sharpen: How much of what a blur takes away is added.
        saturation: Factor of the distances from grey.
        contrast: Factor of the distances from the middle.
        warmth: What is added to red and taken from blue, 8-bit levels.
        crf: Of the coding.
    """

    scale: float
    sharpen: float
    saturation: float
    contrast: float
    warmth: float
    crf: int

    @staticmethod
    def draw(random: np.random.Generator) -> Quality:
        """Draws one."""
        return Quality(
            scale=float(random.choice((1.0, 1.0, 0.7, 0.5, 0.35))),
            sharpen=float(random.choice((0.0, 0.0, 0.0, random.uniform(0.3, 1.0)))),
            saturation=random.uniform(0.7, 1.3),
            contrast=random.uniform(0.85, 1.15),
            warmth=random.uniform(-12, 12),
            crf=int(random.integers(18, 34)),
        )

    def of(self, frame: Picture) -> Picture:
        """One frame before it is coded."""
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
    """Writes shards of the validation people and of swaps between them; a folder that is complete is kept.

    Args:
        shards: Those of all clips.
        out: Where the folder goes.
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
    """A video to make: of whom, with whose face (of nobody else's in a real one), and whether that is steady."""

    record: VideoRecord
    target: str
    donor: str = ""
    steady: bool = False


def _people(reader: ShardReader) -> dict[str, list[FaceChunk]]:
    """Some chunks of everybody, evenly spaced."""
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
    """Frames of the donor with their points: all, or those of the chunk that is posed most like the target."""
    chosen = donors if all_chunks else [min(donors, key=lambda chunk: _chunks_apart(chunk, target))]
    return [
        (frame.astype(np.float32), points)
        for chunk in chosen
        for frame, points in zip(chunk.frames(range(FRAMES)), chunk.landmarks.double().numpy(), strict=False)
    ]


def _unlike(donors: list[FaceChunk], targets: list[FaceChunk]) -> float:
    """How unlike the poses of two people are: the mean over the target's chunks, each beside the donor's nearest."""
    apart = [min(_chunks_apart(donor, target) for donor in donors) for target in targets]
    return sum(apart) / len(apart)


def _chunks_apart(donor: FaceChunk, target: FaceChunk) -> float:
    """:func:`_apart` of their first frames."""
    return _apart(donor.landmarks[0].double().numpy(), target.landmarks[0].double().numpy())


def _fit(points: Points, onto: Points) -> Float[ndarray, "2 3"]:
    matrix: Float[ndarray, "2 3"] = similarity_transform(
        torch.from_numpy(points[_INNER]), torch.from_numpy(onto[_INNER])
    ).numpy()
    return matrix


def _apart(points: Points, onto: Points) -> float:
    """Mean distance of the inner points of two faces at their best fit, in distances between the eyes."""
    matrix = _fit(points, onto)
    between = np.linalg.norm(onto[36:42].mean(axis=0) - onto[42:48].mean(axis=0))
    moved = points[_INNER] @ matrix[:, :2].T + matrix[:, 2]
    return float(np.linalg.norm(moved - onto[_INNER], axis=-1).mean() / between)


def _mean_face(faces: list[tuple[Picture, Points]], onto: Points, look: Look) -> tuple[Picture, Float[ndarray, "h w"]]:
    """The donor posed like ``onto``, about: a mean of frames, and where there is any of it."""
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
    """One frame with the donor's face in it."""
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
    """Warps triangle by triangle."""
    out = np.zeros((*size[::-1], 3), np.float32)
    for corners in Delaunay(onto).simplices:
        fit = cv2.getAffineTransform(points[corners].astype(np.float32), onto[corners].astype(np.float32))
        inside = np.zeros(size[::-1], np.uint8)
        cv2.fillConvexPoly(inside, onto[corners].round().astype(np.int32), 1)
        out[inside > 0] = cv2.warpAffine(image, fit, size)[inside > 0]
    return out


def _recoloured(face: Picture, target: Picture, where: Bool[ndarray, "h w"], share: float) -> Picture:
    """The face with the target's mean and spread in Lab, or part of the way there."""
    if where.sum() < 20:
        return face
    ours, theirs = (cv2.cvtColor((image / 255).clip(0, 1), cv2.COLOR_RGB2LAB) for image in (face, target))
    spread = (theirs[where].std(axis=0) + 1e-3) / (ours[where].std(axis=0) + 1e-3)
    matched = (ours - ours[where].mean(axis=0)) * spread.clip(0.6, 1.6) + theirs[where].mean(axis=0)
    mixed = (ours + share * (matched - ours)).astype(np.float32)
    return cv2.cvtColor(mixed, cv2.COLOR_LAB2RGB) * 255
