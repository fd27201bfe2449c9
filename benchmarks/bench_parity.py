"""Compares the preset ``sbi`` with the published steps of self-blended images, on the same faces.

    python benchmarks/bench_parity.py            # writes results/parity.json and results/parity.png
    python benchmarks/bench_parity.py --quick    # smoke test with a few faces

The faces are those of the pictures in the folder stills/ of the clips: --clips, or the environment variable MGST_CLIPS.
The examples in parity.png are rendered faces.
"""

from __future__ import annotations

import argparse
import os

# Must be set before torch and OpenCV are imported: the pictures are small.
os.environ["OMP_NUM_THREADS"] = "1"

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from _common import RESULTS, write_result
from augmentation.peers import AlbumentationsBlend, reference
from extraction.clips import parse_with_clips
from extraction.report import Figure, Section, show
from numpy import ndarray

from mgst_data.augment import SelfBlend
from mgst_data.core import MgstError, Segment, VideoRecord, generator_for
from mgst_data.demo import render_demo
from mgst_data.extract import ExtractConfig, Extractor

FACES, DRAWS, PEOPLE = 200, 4, 6
# The crops contain the wide crop of the published code: see reference.wide_crop.
SIZE, MARGIN = 512, 0.6
# Smallest side of a wide crop, pixels. The published elastic field has a fixed width in pixels.
SMALLEST = 160
# Largest distance (Kolmogorov-Smirnov) between two distributions that count as equal.
ALIKE = 0.1
# Width of the ring around the mask, relative to the wide crop.
RING = 1 / 32
NOISE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
NAMES = ("mask area", "difference inside", "sharpness, inside / ring", "colour, inside - ring", "noise, inside / ring")


class Face(NamedTuple):
    """A crop (s, s, 3) of 8 bits, and 68 landmarks in its pixels."""

    picture: ndarray
    landmarks: ndarray

    @property
    def wide(self) -> tuple[slice, slice]:
        """Rows and columns of the crop that the published code blends."""
        return reference.wide_crop(self.picture.shape[:2], self.landmarks)


def find_faces(paths: Iterable[Path], count: int) -> list[Face]:
    """Extracts a face of each picture or video, until there are enough. Those without a large face are left out.

    Raises:
        ValueError: if there are not enough faces.
    """
    extractor = Extractor(ExtractConfig(size=SIZE, margin=MARGIN, min_frames=1))
    found: list[Face] = []
    for path in paths:
        if len(found) == count:
            break
        try:
            chunk = next(iter(extractor(VideoRecord.unlabelled(str(path), key=f"face{len(found)}"))))
        except MgstError:
            continue
        face = Face(next(iter(chunk.frames())), chunk.landmarks[0].numpy())
        if min(part.stop - part.start for part in face.wide) >= SMALLEST:
            found.append(face)
    if len(found) < count:
        raise ValueError(f"the clips have {len(found)} faces that are large enough, but {count} are needed")
    return found


class Ours:
    """The preset ``sbi`` on the whole crop, whose margin is another one; the result is cut to the wide crop."""

    def __init__(self, seed: int = 0) -> None:
        self.blend, self.generator = SelfBlend.preset("sbi"), generator_for(seed, "parity")

    def __call__(self, face: Face) -> reference.Blend:
        """Blends one face."""
        frames = torch.from_numpy(face.picture).permute(2, 0, 1)[None]
        pair = self.blend(Segment.of(frames, torch.from_numpy(face.landmarks)[None]), generator=self.generator)
        real, fake = (
            (255 * twin.frames[0, 0]).round().byte().permute(1, 2, 0).numpy() for twin in (pair.real, pair.fake)
        )
        return reference.Blend(*(item[face.wide] for item in (real, fake, pair.fake.mask[0, 0, 0].numpy())))


class Published:
    """The published steps, composed of albumentations and OpenCV, on the wide crop."""

    def __init__(self, seed: int = 0) -> None:
        self.blend = AlbumentationsBlend(seed)

    def __call__(self, face: Face) -> reference.Blend:
        """Blends one face."""
        rows, columns = face.wide
        corner = np.array((columns.start, rows.start), np.float32)
        return self.blend(np.ascontiguousarray(face.picture[rows, columns]), face.landmarks - corner)


def statistics_of(blend: reference.Blend) -> list[float] | None:
    """Computes what is compared, in the order of ``NAMES``; None if the mask is empty or has no ring around it."""
    mask = blend.mask
    touched = (mask > 0.02).astype(np.uint8)
    reach = 2 * max(1, round(RING * max(mask.shape))) + 1
    ring = (cv2.dilate(touched, np.ones((reach, reach), np.uint8)) > touched).astype(bool)
    inside = mask > 0.5 * mask.max()
    if mask.max() < 0.05 or ring.sum() < 20:
        return None
    real, fake = blend.real.astype(np.float32), blend.fake.astype(np.float32)
    grey = cv2.cvtColor(blend.fake, cv2.COLOR_RGB2GRAY).astype(np.float32)
    detail, noise = np.abs(cv2.Laplacian(grey, cv2.CV_32F)), np.abs(cv2.filter2D(grey, -1, NOISE))
    return [
        float(inside.mean()),
        float(np.abs(fake - real)[inside].mean()),
        float(detail[inside].mean() / (detail[ring].mean() + 1e-3)),
        float(np.abs(fake[inside].mean(axis=0) - fake[ring].mean(axis=0)).mean()),
        float(noise[inside].mean() / (noise[ring].mean() + 1e-3)),
    ]


def distance(a: ndarray, b: ndarray) -> float:
    """Computes the Kolmogorov-Smirnov distance: the most by which the shares below any value differ."""
    values = np.concatenate((a, b))
    shares = [np.searchsorted(np.sort(sample), values, side="right") / len(sample) for sample in (a, b)]
    return float(np.abs(shares[0] - shares[1]).max())


def measure(faces: list[Face], draws: int) -> Section:
    """Blends every face several times with both, and compares the distributions."""
    tables = [
        np.array([row for _ in range(draws) for face in faces if (row := statistics_of(blend(face))) is not None])
        for blend in (Published(), Ours())
    ]
    figures = tuple(
        Figure(f"parity: {name}, KS distance", distance(tables[0][:, i], tables[1][:, i]), at_most=ALIKE)
        for i, name in enumerate(NAMES)
    )
    sides = [max(part.stop - part.start for part in face.wide) for face in faces]
    quantiles = {
        who: {name: np.percentile(table[:, i], (10, 50, 90)).round(4).tolist() for i, name in enumerate(NAMES)}
        for who, table in zip(("published", "ours"), tables, strict=True)
    }
    details = {
        "faces": len(faces),
        "draws": draws,
        "longer_side": {"median": float(np.median(sides)), "low": min(sides), "high": max(sides)},
        "blends": [len(table) for table in tables],
        "percentiles_10_50_90": quantiles,
    }
    return Section(figures, details)


def examples(faces: list[Face]) -> ndarray:
    """Draws one row per face: real, fake, mask and difference times eight, of the published steps and of ours."""
    side = 128

    def cells(blend: reference.Blend) -> Iterator[ndarray]:
        apart = np.abs(blend.fake.astype(np.int16) - blend.real) * 8
        mask = np.repeat((255 * blend.mask[..., None]).astype(np.uint8), 3, axis=2)
        for cell in (blend.real, blend.fake, mask, apart.clip(0, 255).astype(np.uint8)):
            yield cv2.resize(cell, (side, side), interpolation=cv2.INTER_AREA)

    blends = Published(1), Ours(1)
    gap = np.full((side, side // 8, 3), 255, np.uint8)
    rows = [[[*cells(blend(face))] for blend in blends] for face in faces]
    return np.concatenate([np.concatenate([*theirs, gap, *mine], axis=1) for theirs, mine in rows])


def rendered(count: int) -> list[Face]:
    """Renders demo people and extracts one face of each."""
    with tempfile.TemporaryDirectory() as folder:
        videos = render_demo(Path(folder), people=count, frames=8)
        return find_faces(sorted(path for path in videos if "original_sequences" in path.parts), count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smoke test with a few faces; figures are not valid")
    options = parse_with_clips(parser)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    paths = sorted(path for path in (options.clips / "stills").rglob("*") if path.suffix == ".jpg")
    count = 12 if options.quick else FACES
    spread = [paths[i] for i in np.random.default_rng(0).permutation(len(paths))]
    section = measure(find_faces(spread, count), 1 if options.quick else DRAWS)
    out = Path(tempfile.gettempdir(), "bench_parity") if options.quick else RESULTS
    print(write_result("parity", {"quick": options.quick, **section.as_dict()}, folder=out))
    cv2.imwrite(str(out / "parity.png"), examples(rendered(PEOPLE))[..., ::-1])
    show("Parity with the published steps", {"parity": section})


if __name__ == "__main__":
    main()
