"""A small kit: shards of schematic faces, with a table of labels, as the benchmarks of generalisation read it."""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from face_shards import face_chunk
from people.people_shards import write_records
from shards.synthetic_shards import record_of

from mgst_data.core import VideoRecord
from mgst_data.shards import FaceChunk, PeopleTable
from mgst_data.shards.people import PersonTrack

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
COLUMNS = ("path", "label", "kind", "generator", "split", "person", "pair", "source", "licence")
# Name, split, kind, person of the table, pair, person that was found. A still has a name that begins with "s".
VIDEOS = (
    *((f"t{i}", "train", "real", "", "", f"pt{i}") for i in range(6)),
    ("leak", "train", "real", "", "", "pv1"),  # shows a person of val
    ("named", "train", "real", "ann", "", "px"),  # shows a person of test, as the table says
    *((f"v{i}", "val", "real", "", "", f"pv{i}") for i in range(5)),
    *((f"vf{i}", "val", "autoencoder swap", "", "", f"pvf{i}") for i in range(3)),
    ("vg", "val", "generator", "", "", "pvg"),
    ("r0", "test", "real", "ann", "a", "pr0"),
    ("r1", "test", "real", "", "a", "pr1"),
    ("r2", "test", "real", "", "b", "pr2"),
    ("r3", "test", "real", "", "", "pr3"),
    ("f0", "test", "autoencoder swap", "", "a", "pf0"),
    ("f1", "test", "graphics swap", "", "b", "pf1"),
    ("f2", "test", "lip-sync", "", "", "pf2"),
    ("f3", "test", "generator", "", "", "pf3"),
    *((f"s{i}", "train", "real", f"still{i}", "", f"ps{i}") for i in range(4)),
    *((f"sv{i}", "val", "real", "", "", f"psv{i}") for i in range(3)),
)


def path_of(name: str) -> str:
    return f"stills/{name}.png" if name.startswith("s") else f"real/{name}.mp4"


def boxed(record: VideoRecord) -> FaceChunk:
    """A chunk whose face boxes are those of its landmarks."""
    chunk = face_chunk(record)
    return replace(chunk, boxes=torch.cat((chunk.landmarks.amin(dim=1), chunk.landmarks.amax(dim=1)), dim=1))


def one_frame(record: VideoRecord) -> FaceChunk:
    chunk = boxed(record)
    columns = ("frame_indices", "pts", "landmarks", "landmarks_raw", "valid", "boxes", "scores", "images", "damaged")
    return replace(chunk, **{name: getattr(chunk, name)[:1] for name in columns})


@pytest.fixture(scope="session")
def kit(tmp_path_factory):
    from generalise.kit import Kit

    folder = tmp_path_factory.mktemp("kit")
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for name, split, kind, person, pair, _ in VIDEOS:
            source = f"source {name[:1]}"
            label = int(kind != "real")
            table.writerow((path_of(name), label, kind, "a tool" * label, split, person, pair, source, "MIT"))
    for shards, chunk in (("clips", boxed), ("stills", one_frame)):
        mine = [video for video in VIDEOS if path_of(video[0]).startswith("stills/") == (shards == "stills")]
        records = [
            replace(
                record_of(name, label=int(kind != "real"), split=split, method="" if kind == "real" else kind),
                video=f"/elsewhere/{path_of(name)}",
                dataset=shards,
                target_key=person,
            )
            for name, split, kind, person, _, _ in mine
        ]
        write_records(folder / "shards" / shards, records, chunk)
        tracks = [
            PersonTrack(video=name, track=0, main=True, person=found, tracks=1, distance=0.0)
            for name, _, _, _, _, found in sorted(mine)
        ]
        PeopleTable("net", 0.48, tuple(tracks)).write(folder / "shards" / shards)
    return Kit.open(folder, folder / "shards")
