"""What other tools read from an export is what is in the shards."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from export_data.export_shards import FRAMES, NAME, PERSON, SIZE

from mgst_data.core.errors import printable
from mgst_data.core.geometry import apply_transform
from mgst_data.export.huggingface import HuggingFaceWriter
from mgst_data.export.points import landmark_edges, landmark_names
from mgst_data.export.tracks import read_tracks
from mgst_data.shards import FaceChunk, ShardReader, decode_mask

Chunks = dict[str, FaceChunk]
# Frames of each split by label.
COUNTS = {"train": {"real": 15}, "val": {"fake": 7, "real": 3}, "unsplit": {"real": 5}}


def place(chunks: Chunks, track: str, number: int) -> tuple[FaceChunk, int]:
    """Finds a frame by the name of its track and its number in the video."""
    chunk = chunks[f"{track}-{number // 10:04d}"]
    return chunk, number % 10


def test_image_folder_reads_classes_and_the_pictures_of_the_shards(exports: dict[str, Path], chunks_by_key: Chunks):
    from torchvision.datasets import ImageFolder

    for split, counts in COUNTS.items():
        data = ImageFolder(str(exports["folders"] / split))
        assert data.classes == sorted(counts)
        found = [(Path(path), data.classes[label]) for path, label in data.samples]
        assert {label: sum(name == label for _, name in found) for label in counts} == counts
        for path, name in found:
            chunk, i = place(chunks_by_key, path.parent.name, int(path.stem))
            assert path.read_bytes() == bytes(chunk.images[i])
            assert name == ("fake" if chunk.fake_frames[i] else "real")


def test_masks_of_folders_lie_beside_the_splits(exports: dict[str, Path], chunks_by_key: Chunks):
    masks = sorted((exports["folders"] / "masks").rglob("*.png"))
    assert [str(path.relative_to(exports["folders"])) for path in masks] == [
        f"masks/val/fake/swap-00/{i:06d}.png" for i in range(FRAMES)
    ]
    assert masks[0].read_bytes() == bytes(chunks_by_key["swap-00-0000"].masks[0])


@pytest.mark.parametrize("to", ["folders", "hf", "coco-video", "fiftyone"])
def test_the_table_has_all_tracks_with_their_fields(exports: dict[str, Path], chunks_by_key: Chunks, to: str):
    with (exports[to] / "tracks.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["track"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"two_faces-00", "two_faces-01", "swap-00", "parts-00", "loose-00"}
    first, chunk = rows["two_faces-00"], chunks_by_key["two_faces-00-0000"]
    wanted = {"split": "train", "label": "real", "key": "two_faces", "track_number": "0", "person": "", "frames": "10",
              "fakes": "0", "first_frame": "0", "last_frame": "14", "end": "0.56", "width": "1280", "height": "720",
              "fps": "25.0", "size": str(SIZE), "method": "real", "dataset": "ffpp", "target_key": "ffpp/two_faces",
              "landmarks": "68", "masks": "0"}  # fmt: skip
    assert {name: first[name] for name in wanted} == wanted
    corners = np.array(
        [[float(first["box_x0"]), float(first["box_y0"])], [float(first["box_x1"]), float(first["box_y1"])]]
    )
    matrix = chunk.crop_from_frame.numpy()
    np.testing.assert_allclose(corners @ matrix[:, :2].T + matrix[:, 2], [[-4, 5], [20, 29.5]], atol=0.05)
    assert rows["two_faces-01"]["person"] == PERSON
    assert (rows["parts-00"]["label"], rows["parts-00"]["fakes"]) == ("fake", "2")
    assert (rows["swap-00"]["masks"], rows["swap-00"]["method"]) == ("5", "Deepfakes")
    assert (rows["loose-00"]["split"], rows["loose-00"]["video"]) == ("unsplit", printable(NAME))


def test_datasets_reads_the_frames_of_the_shards(exports: dict[str, Path], chunks_by_key: Chunks, tmp_path: Path):
    import datasets

    datasets.disable_progress_bars()
    loaded = datasets.load_dataset(str(exports["hf"]), cache_dir=str(tmp_path))
    assert {split: len(rows) for split, rows in loaded.items()} == {
        split: sum(counts.values()) for split, counts in COUNTS.items()
    }
    assert loaded["train"].features["label"].names == ["real", "fake"]
    assert loaded["train"][0]["image"].size == (SIZE, SIZE)
    raw = datasets.Image(decode=False)
    for rows in loaded.values():
        for row in rows.cast_column("image", raw).cast_column("mask", raw):
            chunk, i = place(chunks_by_key, row["track"], row["frame"])
            assert row["image"]["bytes"] == bytes(chunk.images[i])
            assert (row["mask"] and row["mask"]["bytes"]) == (bytes(chunk.masks[i]) if chunk.masks else None)
            assert (row["label"], row["method"], row["valid"]) == (
                int(chunk.fake_frames[i]), chunk.record.method, chunk.valid[i].tolist()
            )  # fmt: skip
            np.testing.assert_array_equal(row["landmarks"], chunk.landmarks[i])
            np.testing.assert_array_equal(row["box"], chunk.boxes[i])
            back = apply_transform(chunk.crop_from_frame, np_tensor(row["frame_box"]).reshape(2, 2)).flatten()
            np.testing.assert_allclose(back, chunk.boxes[i], atol=1e-3)
    tracks = datasets.load_dataset(str(exports["hf"]), "tracks", split="tracks", cache_dir=str(tmp_path))
    assert sorted(tracks["track"]) == ["loose-00", "parts-00", "swap-00", "two_faces-00", "two_faces-01"]


def np_tensor(values: list[float]):
    import torch

    return torch.tensor(values, dtype=torch.float64)


def test_parquet_files_and_row_groups_are_bounded(stored: Path, tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    picture = len(ShardReader.open(stored)[0].images[0])
    writer = HuggingFaceWriter(tmp_path, file_bytes=4 * picture, group_bytes=2 * picture)
    for track, frames in read_tracks(ShardReader.open(stored, split="train")):
        writer.add(track, frames)
    for files in writer._splits.values():
        files.flush()
    writer.close()
    paths = sorted((tmp_path / "data").iterdir())
    assert [path.name for path in paths] == [f"train-{i:05d}.parquet" for i in range(len(paths))]
    assert len(paths) > 2
    tables = [parquet.ParquetFile(path) for path in paths]
    assert all(table.metadata.row_group(0).num_rows <= 3 for table in tables)
    assert [row for table in tables for row in table.read(["frame"])["frame"].to_pylist()] == [
        *range(5), *range(10, 15), *range(5)
    ]  # fmt: skip


# pycocotools 2.0.11 was built before NumPy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_reads_videos_boxes_landmarks_and_masks(exports: dict[str, Path], chunks_by_key: Chunks):
    from pycocotools.coco import COCO

    folder = exports["coco-video"]
    assert sorted(path.name for path in (folder / "annotations").iterdir()) == [
        f"{split}.json" for split in sorted(COUNTS)
    ]
    data = COCO(str(folder / "annotations" / "val.json"))
    assert {one["name"]: one["id"] for one in data.loadCats(data.getCatIds())} == {"real": 1, "fake": 2}
    videos = {video["id"]: video for video in data.dataset["videos"]}
    assert {video["track"] for video in videos.values()} == {"swap-00", "parts-00"}
    for video in videos.values():
        images = [image for image in data.dataset["images"] if image["video_id"] == video["id"]]
        assert [image["frame_id"] for image in images] == list(range(FRAMES))
    for note in data.loadAnns(data.getAnnIds()):
        image = data.loadImgs(note["image_id"])[0]
        chunk, i = place(chunks_by_key, videos[note["video_id"]]["track"], image["frame_index"])
        assert (folder / "frames" / image["file_name"]).read_bytes() == bytes(chunk.images[i])
        assert note["category_id"] == 1 + int(chunk.fake_frames[i])
        assert note["bbox"] == [0, 5, 20, 24.5]  # cut at the edge of the crop
        points = np.array(note["keypoints"]).reshape(-1, 3)
        valid = chunk.valid[i].numpy()
        assert ((points[:, 2] == 2) == valid).all()
        np.testing.assert_allclose(points[valid, :2], chunk.landmarks[i][valid], atol=0.006)
        assert not points[~valid].any()
        if chunk.masks:
            mask = decode_mask(chunk.masks[i])
            assert mask is not None
            np.testing.assert_array_equal(data.annToMask(note), mask > 127)
        else:
            assert "segmentation" not in note


def test_names_and_lines_of_landmarks():
    assert len(set(landmark_names(68))) == 68
    assert landmark_names(81)[:68] == landmark_names(68)
    assert {point for edge in landmark_edges(68) for point in edge} == set(range(68))
    assert (len(landmark_names(6)), landmark_edges(6)) == (6, [])


def test_the_json_of_fiftyone_has_a_sample_for_every_frame(exports: dict[str, Path], chunks_by_key: Chunks):
    folder = exports["fiftyone"]
    samples = json.loads((folder / "samples.json").read_text())["samples"]
    fields = {field["name"] for field in json.loads((folder / "metadata.json").read_text())["sample_fields"]}
    assert len({sample["_id"]["$oid"] for sample in samples}) == len(samples) == 30
    for sample in samples:
        assert {name.replace("_id", "id") if name == "_id" else name for name in sample} <= fields
        chunk, i = place(chunks_by_key, sample["track"], sample["frame"])
        assert (folder / sample["filepath"]).read_bytes() == bytes(chunk.images[i])
        assert sample["ground_truth"]["label"] == ("fake" if chunk.fake_frames[i] else "real")
        assert sample["face"]["detections"][0]["bounding_box"] == [0, 5 / SIZE, 20 / SIZE, 24.5 / SIZE]
        points = np.array(sample["landmarks"]["keypoints"][0]["points"])
        np.testing.assert_allclose(points * SIZE, chunk.landmarks[i], atol=1e-4)
        assert bool(sample["manipulation"]) == bool(chunk.masks)


READ = """
import mongomock, mongoengine.connection, pymongo, sys
client = mongomock.MongoClient()
client.__dict__["_closed"] = False
pymongo.MongoClient = mongoengine.connection.MongoClient = lambda *_, **__: client
import fiftyone
data = fiftyone.Dataset.from_dir(sys.argv[1], dataset_type=fiftyone.types.FiftyOneDataset, name="read")
counts = sorted(data.count_values("ground_truth.label").items())
print("result", data.media_type, len(data), *counts, data.distinct("tags"),
      len(data.first().landmarks.keypoints[0].points), data.match_tags("val").exists("manipulation").count())
"""


def test_fiftyone_reads_its_folder(exports: dict[str, Path]):
    """The importer of FiftyOne, with mongomock in place of its database."""
    pytest.importorskip("fiftyone")
    pytest.importorskip("mongomock")
    settings = {"FIFTYONE_DATABASE_URI": "mongodb://localhost", "FIFTYONE_DATABASE_VALIDATION": "false",
                "FIFTYONE_DISABLE_SERVICES": "1", "FIFTYONE_DO_NOT_TRACK": "true"}  # fmt: skip
    command = [sys.executable, "-W", "ignore", "-c", READ, str(exports["fiftyone"])]
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=True)
    assert "result image 30 ('fake', 7) ('real', 23) ['train', 'unsplit', 'val'] 68 5" in done.stdout


@pytest.mark.parametrize("to", ["folders", "hf", "coco-video", "fiftyone"])
def test_the_card_says_what_is_there(exports: dict[str, Path], to: str):
    text = (exports[to] / "README.md").read_text()
    for said in ("| val | 2 | 3 | 7 |", "| ffpp | Deepfakes, real |", "licences", "pixels of the crop", "## Read it"):
        assert said in text
    assert text.startswith("---\n") == (to == "hf")
