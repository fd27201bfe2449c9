"""Draws ``docs/gallery/export.webp``: what ImageFolder and pycocotools read from exports of the demo data set.

python docs/make_export.py             # needs the extra formats, and about two minutes
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pycocotools.coco import COCO
from torchvision.datasets import ImageFolder

from mgst_data.core import evenly_spaced
from mgst_data.datasets import scan_dataset
from mgst_data.demo import render_demo
from mgst_data.export import export_tracks
from mgst_data.extract import ExtractConfig, extract

PICTURE = Path(__file__).with_name("gallery") / "export.webp"
COLUMNS, SIDE, GAP, LINE, QUALITY = 8, 136, 6, 22, 80
TEXT, QUIET, REAL, FAKE = "#1a1a1a", "#666666", "#1f77b4", "#d62728"
SPLIT = "train"


def main() -> None:
    """Renders, extracts, exports to two formats, and draws what is read from them."""
    with TemporaryDirectory() as folder:
        videos, shards, out = (Path(folder, name) for name in ("demo", "shards", "out"))
        render_demo(videos)
        extract(scan_dataset(videos, masks=True), ExtractConfig(masks=True), shards)
        draw(shards, out)


def draw(shards: Path, out: Path) -> None:
    """Exports shards and writes the picture.

    Args:
        shards: Folder of shards of the demo data set.
        out: Folder for the exports.
    """
    folders = export_tracks(shards, out / "folders", to="folders", frames=4).folder
    coco = export_tracks(shards, out / "coco", to="coco-video", frames=4).folder
    rows = [
        (f'ImageFolder("{SPLIT}"): pictures with the class of each frame', list(of_folders(folders / SPLIT))),
        (f'COCO("annotations/{SPLIT}.json"): face box, landmarks, mask', list(of_coco(coco))),
    ]
    step = SIDE + GAP
    page = Image.new("RGB", (COLUMNS * step - GAP, len(rows) * (step + 2 * LINE) - GAP), "white")
    pen = ImageDraw.Draw(page)
    for row, (title, tiles) in enumerate(rows):
        top = row * (step + 2 * LINE)
        pen.text((0, top + 2), title, TEXT, font(14))
        for column, (tile, label) in enumerate(tiles):
            page.paste(tile, (column * step, top + LINE))
            colour = FAKE if label == "fake" else REAL
            pen.text((column * step, top + LINE + SIDE + 2), label, colour, font(13))
    page.save(PICTURE, quality=QUALITY, method=6)


def font(size: int) -> Any:
    """Returns the font of Pillow."""
    return ImageFont.load_default(size)


def of_folders(folder: Path) -> Any:
    """Yields pictures and classes, half of them real."""
    data = ImageFolder(str(folder))
    for name in ("real", "fake"):
        some = [i for i, label in enumerate(data.targets) if data.classes[label] == name]
        for place in evenly_spaced(len(some), COLUMNS // 2):
            yield data[some[place]][0].resize((SIDE, SIDE)), name


def of_coco(folder: Path) -> Any:
    """Yields pictures with their annotations drawn on them, half of them real."""
    data = COCO(str(folder / "annotations" / f"{SPLIT}.json"))
    for category in data.loadCats(data.getCatIds()):
        notes = data.loadAnns(data.getAnnIds(catIds=category["id"]))
        for place in evenly_spaced(len(notes), COLUMNS // 2):
            note = notes[place]
            image = data.loadImgs(note["image_id"])[0]
            picture = Image.open(folder / "frames" / image["file_name"]).convert("RGB")
            yield annotated(picture, note, category["skeleton"], data), category["name"]


def annotated(picture: Image.Image, note: dict[str, Any], skeleton: list[list[int]], data: COCO) -> Image.Image:
    """Draws the box, the landmarks and the mask of an annotation.

    Args:
        picture: The crop.
        note: The annotation.
        skeleton: Pairs of landmarks to connect, from 1.
        data: The annotations that it is one of.
    """
    scale = 2 * SIDE / picture.width
    if "segmentation" in note:
        red = Image.new("RGB", picture.size, FAKE)
        picture.paste(red, mask=Image.fromarray((data.annToMask(note) * 110).astype(np.uint8)))
    large = picture.resize((2 * SIDE, 2 * SIDE))
    pen = ImageDraw.Draw(large)
    x, y, width, height = (value * scale for value in note["bbox"])
    pen.rectangle((x, y, x + width, y + height), outline="#ffd400", width=3)
    points = np.array(note["keypoints"]).reshape(-1, 3)
    for pair in skeleton:
        ends = points[[end - 1 for end in pair]]
        if ends[:, 2].all():
            pen.line([tuple(end * scale) for end in ends[:, :2]], "#00e5a0", 2)
    return large.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
