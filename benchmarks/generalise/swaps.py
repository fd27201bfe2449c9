"""Swaps between the people of the validation split: what a training's parameters may be chosen by. All of it is ours.

They are unlike what networks are trained on: two people, landmark for landmark, and every video is coded anew, real or
fake. They are like the deepfakes of the test split in no more than what everybody knows of such: `coarse` swaps have
lost detail and have a wide, soft mask, as autoencoders have it; `graphic` ones are warped triangle by triangle into a
sharp, narrow mask. Half of each shake and flicker from frame to frame; the others are as steady as the tracks are.
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
# Positions, among the validation people, of those whose faces each of them gets: shaking, and steady.
SHAKING, STEADY = 1, 4
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
            numbers = {"detail": (0.3, 0.6), "blur": (3, 9), "forehead": (0.3, 0.9), "matched": (0.7, 1)}
            erode, shake, flicker = random.integers(9, 25), 0.5, 0.006
        else:
            numbers = {"detail": (1, 1), "blur": (1.5, 4), "forehead": (0, 0), "matched": (0.5, 1)}
            erode, shake, flicker = random.integers(3, 9), 0.8, 0.01
        if steady:
            shake, flicker = 0.0, 0.0
        drawn = {name: random.uniform(low, high) for name, (low, high) in numbers.items()}
        return Look(kind=kind, erode=int(erode), shake=shake, flicker=flicker, **drawn)


def make_swaps(shards: Path, out: Path) -> Path:
    """Writes shards of the validation people and of swaps between them; a folder that is complete is kept.

    Args:
        shards: Those of all clips.
        out: Where the folder goes.
    """
    people = _people(ShardReader.open(shards, split="val", label=0))
    keys = list(people)
    plan: list[tuple[VideoRecord, str, str]] = []
    for i, key in enumerate(keys):
        record = people[key][0].record
        plan.append((record, key, ""))
        for kind in (COARSE, GRAPHIC):
            for step in (SHAKING, STEADY):
                j = (i + step) % len(keys)
                name = f"{i:02d}-{kind.split()[0]}-{j:02d}"
                fake = replace(record, key=name, video=name, label=FAKE, method=kind, source_key=keys[j])
                plan.append((fake, key, keys[j]))
    sources = {record.key: (target, donor) for record, target, donor in plan}
    folder = out / "swaps"
    with open_folder(folder, {"swaps": [SHAKING, STEADY, CHUNKS, FRAMES]}, [record for record, _, _ in plan]) as opened:
        for task in opened.missing([record for record, _, _ in plan]):
            with ShardWriter(folder, task.name) as shard:
                for record in task.records:
                    target, donor = sources[record.key]
                    random = np.random.default_rng(list(record.key.encode()))
                    steady = donor == keys[(keys.index(target) + STEADY) % len(keys)]
                    look = Look.draw(record.method, random, steady=steady) if record.label else None
                    chunks = list(_video(record, people[target], people.get(donor, []), look, random))
                    for chunk in chunks:
                        shard.write(chunk)
                    about = {name: getattr(record, name) for name in _ABOUT}
                    images = sum(map(len, chunks))
                    shard.end_video(VideoReport(**about, tracks=1, chunks=len(chunks), images=images))
        opened.finish()
    return folder


_ABOUT = ("key", "video", "dataset", "split", "label", "method")


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
    crf = int(random.integers(18, 28))
    for number, target in enumerate(targets):
        frames = [frame.astype(np.float32) for frame in target.frames(range(FRAMES))]
        if look is not None:
            donor = min(donors, key=lambda chunk: _apart(chunk, target))
            faces = [frame.astype(np.float32) for frame in donor.frames(range(FRAMES))]
            frames = [
                _swapped(*frame, *face, look, random)
                for frame, face in zip(
                    zip(frames, target.landmarks.double().numpy(), strict=False),
                    zip(faces, donor.landmarks.double().numpy(), strict=False),
                    strict=True,
                )
            ]
        levels = np.stack(frames).round().clip(0, 255).astype(np.uint8)
        coded = encode_h264(torch.from_numpy(levels).permute(0, 3, 1, 2).contiguous(), crf).permute(0, 2, 3, 1)
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


def _apart(donor: FaceChunk, target: FaceChunk) -> float:
    """Mean distance of the points of two faces at their best fit: how differently they are turned."""
    from_, to = donor.landmarks[0].double(), target.landmarks[0].double()
    matrix = similarity_transform(from_, to)
    return float((from_ @ matrix[:, :2].T + matrix[:, 2] - to).norm(dim=-1).mean())


def _swapped(
    target: Picture, points: Points, donor: Picture, donor_points: Points, look: Look, random: np.random.Generator
) -> Picture:
    """One frame with the donor's face in it."""
    size = target.shape[1], target.shape[0]
    moved = points + random.normal(0, look.shake, (1, 2))
    if look.kind == COARSE:
        small = cv2.resize(donor, None, fx=look.detail, fy=look.detail, interpolation=cv2.INTER_AREA)
        blurred = cv2.resize(small, donor.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        fit = similarity_transform(torch.from_numpy(donor_points[_INNER]), torch.from_numpy(moved[_INNER])).numpy()
        face, seen = (cv2.warpAffine(image, fit, size) for image in (blurred, np.ones(donor.shape[:2], np.float32)))
        brows = points[_BROWS]
        outline = np.concatenate((points, brows + look.forehead * (brows - points[list(_UNDER_BROWS)])))
        mask = _mask(outline, size, look) * seen
    else:
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
