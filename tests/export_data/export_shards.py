"""A folder of shards with one of everything that an export must keep apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from shards.synthetic_shards import CONFIG, chunk_of, record_of, write_shard

from mgst_data.core import VideoRecord
from mgst_data.shards import FaceChunk, PeopleTable, PersonTrack, encode_mask, open_folder

SIZE, FRAMES = 32, 5
NAME = 'videos/a,"b"\n|=1.mp4'
RECORDS = (
    record_of("two_faces"),  # a track of two chunks, and a track of one
    record_of("swap", label=1, split="val"),  # with masks
    replace(record_of("parts", label=1, split="val"), fake_spans=((0.04, 0.12),)),  # frames 1 and 2 are fake
    replace(record_of("loose", split=""), video=NAME, dataset="other"),  # no split
)
PERSON = "p0123456789ab"


def chunks(record: VideoRecord) -> Iterator[FaceChunk]:
    places = ((0, 0), (0, 1), (1, 0)) if record.key == "two_faces" else ((0, 0),)
    for track, number in places:
        chunk = chunk_of(record, track, number, k=68, size=SIZE, t=FRAMES)
        # The face box reaches beyond the crop on the left.
        chunk = replace(chunk, boxes=torch.tensor([-4.0, 5.0, 20.0, 29.5]).expand(FRAMES, 4).clone())
        if record.key == "swap":
            mask = np.zeros((SIZE, SIZE), np.uint8)
            mask[8:20, 4:30] = 200
            chunk = replace(chunk, masks=(encode_mask(mask),) * FRAMES)
        yield chunk


def write_folder(out: Path, records: tuple[VideoRecord, ...] = RECORDS) -> Path:
    """Writes the folder of shards, with a table of persons."""
    with open_folder(out, CONFIG, records) as folder:
        for task in folder.missing(records):
            write_shard(out, task, extract=chunks)
        folder.finish()
    row = PersonTrack(video="two_faces", track=1, main=False, person=PERSON, tracks=1, distance=0.1)
    PeopleTable("network", 0.5, (row,)).write(out)
    return out


def tree(folder: Path) -> dict[str, bytes]:
    """Contents of all files below a folder by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
