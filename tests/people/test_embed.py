"""Embeddings of rendered faces: best frames, bit-identical results, interruption, and the command."""

from __future__ import annotations

import csv
import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from face_shards import face_chunk, write_face_shards
from face_videos import encode, faces
from mgst_cli.data import data
from people.people_shards import person_record, write_records

from mgst_data.core import UsageError
from mgst_data.core.geometry import turn
from mgst_data.datasets import scan_dataset
from mgst_data.extract import ExtractConfig, extract
from mgst_data.people import FaceEmbedder, embed_folders, find_people
from mgst_data.people.faces import best_frames, quality
from mgst_data.shards import ShardFolder, ShardReader, encode_image
from mgst_data.shards.people import PeopleTable
from mgst_model.train import DataConfig, make_loaders


@pytest.fixture(scope="module")
def extracted(tmp_path_factory) -> Path:
    """Three videos of one person in three shards: at two sizes, and darker; one of them is in the split test."""
    root = tmp_path_factory.mktemp("people")
    pictures = {
        "train/real/a": faces(12, (20, 20)),
        "train/real/b": faces(12, (60, 60), size=(400, 300), side=220),
        "test/real/c": [(0.7 * frame).astype(np.uint8) for frame in faces(12, (10, 30))],
    }
    for name, frames in pictures.items():
        path = root / "set" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        encode(path, frames)
    scan = scan_dataset(root / "set")
    extract(scan, ExtractConfig(), root / "shards", executor="serial", device="cpu", videos_per_shard=1)
    return root / "shards"


@pytest.fixture
def shards(extracted, tmp_path) -> Path:
    """A copy of the folder, without persons."""
    return shutil.copytree(extracted, tmp_path / "shards", ignore=shutil.ignore_patterns("people*"))


def people(*arguments: object):
    return CliRunner().invoke(data, ["people", *map(str, arguments)])


def kept(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "people").glob("*.npy")}


def test_embeddings_do_not_depend_on_the_number_of_workers(shards):
    (one,) = embed_folders([shards], workers=1)
    first = kept(shards)
    shutil.rmtree(shards / "people")
    (two,) = embed_folders([shards], workers=2)
    assert len(first) == 3
    assert kept(shards) == first
    assert torch.equal(one.embedding, two.embedding)
    assert one.frames == (3, 3, 3)


def test_finished_shards_are_not_embedded_again(shards):
    embed_folders([shards], workers=1)
    before = kept(shards)
    lost = sorted((shards / "people").iterdir())[1]
    lost.unlink()
    times = {path: path.stat().st_mtime_ns for path in (shards / "people").iterdir()}
    calls: list[tuple[int, int]] = []
    embed_folders([shards], workers=1, saw=lambda *at: calls.append(at))
    assert calls == [(0, 1), (1, 1)]
    assert kept(shards) == before
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_run_keeps_finished_shards_and_can_be_interrupted(shards, workers):
    masks = []

    def saw(done: int, total: int) -> None:
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_folders([shards], workers=workers, saw=saw)
    assert all(signal.SIGINT not in mask for mask in masks)
    assert len(kept(shards)) in ({1} if workers == 1 else {1, 2, 3})
    assert len(embed_folders([shards], workers=1)[0]) == 3


def test_one_person_is_one_person_and_the_code_is_stable(shards):
    first, again = find_people([shards], workers=1), find_people([shards], workers=1)
    assert len(set(first.person)) == 1
    assert first.person == again.person
    assert all(code.startswith("p") and len(code) == 13 for code in first.person)


def test_two_folders_share_their_persons(shards, tmp_path):
    other = shutil.copytree(shards, tmp_path / "other")
    found = find_people([shards, other], workers=1)
    assert len(found.person) == 6
    assert len(set(found.person)) == 1
    with pytest.raises(UsageError, match="given more than once"):
        find_people([shards, f"{shards}/../shards"], workers=1)


def test_the_command_reports_the_person_in_two_splits_with_a_picture(shards):
    result = people(shards, "--workers", 1)
    assert result.exit_code == 1
    assert "the same person is in two splits (1)" in result.stdout
    picture = shards / "people" / "leak-0000-train-test.png"
    assert f"test/real/c.mp4; {picture}" in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    table = PeopleTable.read(shards)
    assert table is not None
    assert [(track.tracks, track.main) for track in table.tracks] == [(3, True)] * 3
    report = json.loads(people(shards, "--workers", 1, "--json").stdout)
    assert (report["persons"], report["tracks"], len(report["leaks"])) == (1, 3, 1)


def test_the_same_input_gives_the_same_table(shards):
    people(shards, "--workers", 1)
    first = (shards / "people.json").read_bytes()
    people(shards, "--workers", 2, "--pictures", 0)
    assert (shards / "people.json").read_bytes() == first


def test_a_split_option_without_split_by_is_refused(shards):
    result = people(shards, "--val", 0.1)
    assert result.exit_code == 2
    assert "--val needs --split-by people" in result.stderr
    assert not (shards / "people").exists()


def test_a_wrong_folder_is_one_line_and_nothing_is_written(tmp_path):
    result = people(tmp_path / "missing")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert "no shards here" in result.stderr
    assert not (tmp_path / "missing").exists()


def test_small_and_turned_faces_are_unclear():
    chunk = replace(face_chunk(person_record("a")), scores=torch.ones(8))
    assert bool((quality(chunk) > 0.3).all())
    small = replace(chunk, crop_from_frame=chunk.crop_from_frame * 4)
    assert best_frames([small], 3) == []
    turned = chunk.landmarks.clone()
    turned[:, 30, 0] += 0.13 * 64
    assert float(turn(turned).min()) > 0.45
    assert best_frames([replace(chunk, landmarks=turned)], 3) == []
    assert FaceEmbedder()([[small]])[0][0] == 0


def test_the_best_frames_are_sharp_undamaged_and_spread():
    chunk = face_chunk(person_record("a"))
    frames = [frame.copy() for frame in chunk.frames()]
    flat = [np.full_like(frame, 127) for frame in frames]
    images = tuple(encode_image(frames[i] if i in (1, 6) else flat[i], image_format="png") for i in range(8))
    blurred = replace(chunk, images=images, scores=torch.ones(8))
    # Each part has four frames, and the first three of equal rating are decoded.
    assert best_frames([blurred], 2) == [(0, 1), (0, 6)]
    damaged = torch.tensor([i == 1 for i in range(8)])
    assert (0, 1) not in best_frames([replace(blurred, damaged=damaged)], 2)


def test_landmarks_of_another_kind_are_an_error(tmp_path):
    def five(record):
        chunk = face_chunk(record)
        few = {name: getattr(chunk, name)[:, :5] for name in ("landmarks", "landmarks_raw", "valid")}
        return replace(chunk, **few)

    out = write_records(tmp_path / "five", [person_record("a")], chunk=five)
    with pytest.raises(UsageError, match="persons cannot be found with 5 landmarks"):
        embed_folders([out], workers=1)


def test_training_reads_the_splits_by_person(tmp_path):
    out = write_records(tmp_path / "shards", [person_record(f"v{i}") for i in range(10)])
    options = DataConfig(frames=4, size=64, batch_size=2, workers=0)
    with pytest.raises(UsageError, match=r"no split: 10 real.*run mgst-data people .* --split-by people"):
        make_loaders(str(out), options)
    PeopleTable("net", 0.5, (), {f"v{i}": "val" if i < 3 else "train" for i in range(10)}).write(out)
    training, validation = make_loaders(str(out), options)
    seen = [{key.split("-")[0] for batch in loader for key in batch.keys} for loader in (training, validation)]
    assert seen[0] <= {f"v{i}" for i in range(3, 10)}
    assert seen[1] == {"v0", "v1", "v2"}


def test_official_splits_are_not_changed_by_the_table(tmp_path):
    out = write_face_shards(tmp_path / "shards", train=4, val=2)
    before = ShardReader.open(out, split="val").videos
    PeopleTable("net", 0.5, (), dict.fromkeys(ShardReader.open(out).videos, "train")).write(out)
    assert ShardReader.open(out, split="val").videos == before


def test_a_second_extraction_takes_splits_and_persons(shards, tmp_path, face_set_without_splits):
    source, first = face_set_without_splits
    keys = ShardReader.open(first).videos
    PeopleTable("net", 0.5, (), {key: ("val", "train")[i] for i, key in enumerate(keys)}).write(first)
    arguments = ["extract", "--src", source, "--out", tmp_path / "again", "--executor", "serial", "--size", 64]
    result = CliRunner().invoke(data, [*map(str, arguments), "--people", str(first)])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "again").glob("*.tar")) == ["train-000000.tar", "val-000000.tar"]
    refused = CliRunner().invoke(data, [*map(str, arguments), "--people", str(tmp_path / "nothing")])
    assert refused.exit_code == 2
    assert "run mgst-data people on this folder first" in refused.stderr


@pytest.fixture(scope="module")
def face_set_without_splits(tmp_path_factory) -> tuple[Path, Path]:
    """A folder of two videos without splits, and its shards."""
    root = tmp_path_factory.mktemp("plain")
    (root / "set" / "real").mkdir(parents=True)
    for name in "ab":
        encode(root / "set" / "real" / f"{name}.mp4", faces(12, (20, 20)))
    extract(scan_dataset(root / "set"), ExtractConfig(), root / "shards", executor="serial", device="cpu")
    return root / "set", root / "shards"


@pytest.mark.slow
def test_pictures_of_a_person_are_closer_than_pictures_of_two(clips, tmp_path):
    labels = clips / "labels.csv"
    if not labels.exists():
        pytest.skip(f"{labels} not found")
    pictures: dict[str, list[str]] = {}
    for row in csv.DictReader(labels.read_text().splitlines()):
        if row["kind"] == "real" and row["path"].endswith(".jpg"):
            pictures.setdefault(row["person"], []).append(str(clips / row["path"]))
    chosen = {path: person for person, paths in pictures.items() if len(paths) > 4 for path in paths[:2]}
    manifest = tmp_path / "pictures.csv"
    manifest.write_text("path,label\n" + "".join(f"{path},real\n" for path in list(chosen)[:16]))
    out = tmp_path / "shards"
    config = ExtractConfig(min_frames=1, tracks="main")
    extract(scan_dataset(manifest), config, out, executor="serial", device="cpu")
    (found,) = embed_folders([out], workers=1)
    names = {video.key: video.video for report in ShardFolder.read(out).reports() for video in report.videos}
    persons = np.array([chosen[names[key]] for key in found.video])
    apart, same = torch.cdist(found.embedding, found.embedding).numpy(), persons[:, None] == persons
    assert same.sum() > len(same)
    assert apart[same & ~np.eye(len(same), dtype=bool)].mean() < apart[~same].min()
