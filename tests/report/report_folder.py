"""A folder of shards with one of everything that a report shows, and the folder of the data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import torch
from face_shards import FRAMES, face_chunk
from face_videos import empty_rooms, encode
from shards.synthetic_shards import CONFIG, record_of, report_of

from mgst_data.core import VideoRecord
from mgst_data.shards import FaceChunk, ShardWriter, encode_image, open_folder

# Videos with the same letters show the same picture: face_chunk() draws by the sum of the letters of the key.
ORIGINAL, COPY = "real_ab", "real_ba"
ODD, HOSTILE = "real_odd", "real_name"
REAL = (*(f"real_{number}" for number in range(7)), ORIGINAL, COPY, ODD, HOSTILE)
FAKE = tuple(f"swap_{number}" for number in range(4))
SKIPPED = {"dark": "no_face", "gone": "truncated"}
NAME = 'videos/</script><b>"bold"&.mp4'
NOTE = ("several_faces", "videos/real_0.mp4: two faces")


def records() -> list[VideoRecord]:
    keys = [*((key, 0) for key in (*REAL, *SKIPPED)), *((key, 1) for key in FAKE)]
    made = [record_of(key, label=label, split="train" if key[-1] in "0246b" else "val") for key, label in keys]
    return [replace(record, video=NAME) if record.key == HOSTILE else record for record in made]


def chunks(record: VideoRecord) -> Iterator[FaceChunk]:
    """One chunk of a face of 32 pixels in the crop, 64 in the frame; that of ``ODD`` is blurred, and jumps."""
    if record.key in SKIPPED:
        return
    chunk = face_chunk(record, masks=True)
    box = torch.tensor([16.0, 12.0, 48.0, 44.0]).expand(FRAMES, 4).clone()
    chunk = replace(chunk, boxes=box, scores=torch.full((FRAMES,), 0.99))
    if record.key == ODD:
        blurred = [cv2.GaussianBlur(picture, (0, 0), 6) for picture in chunk.frames()]
        valid = chunk.valid.clone()
        valid[:, :34] = False
        images = tuple(encode_image(picture, image_format="png") for picture in blurred)
        chunk = replace(chunk, images=images, valid=valid)
    yield chunk


def write_folder(out: Path) -> tuple[Path, Path]:
    """Writes the folder of shards, and the data set with the picture of one skipped video."""
    shards, root = out / "shards", out / "set"
    made = records()
    with open_folder(shards, CONFIG, made, videos_per_shard=8) as folder:
        for task in folder.missing(made):
            with ShardWriter(shards, task.name, [record.key for record in task.records]) as shard:
                for record in task.records:
                    some = list(chunks(record))
                    for chunk in some:
                        shard.write(chunk)
                    notes = (NOTE,) if record.key == "real_0" else ()
                    shard.end_video(report_of(record, some, SKIPPED.get(record.key, ""), notes=notes))
        folder.finish()
    (root / "videos").mkdir(parents=True)
    encode(root / "videos" / "dark.mp4", empty_rooms(2, size=(160, 90)))
    return shards, root
