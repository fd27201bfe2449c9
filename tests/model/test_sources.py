"""Training on several sources: segments and stills in turn, resumed exactly, validated by source."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from face_shards import face_chunk
from shards.synthetic_shards import CONFIG, record_of, report_of
from test_train import CONFIG as TINY
from test_train import Log, assert_near, assert_same_training, free_port, rows, state_of

from mgst_data.core import ConfigMismatchError, UsageError
from mgst_data.core.errors import MgstWarning
from mgst_data.shards import ShardWriter, Source, open_folder
from mgst_model.networks.trained_videos import TrainedVideos
from mgst_model.train import Stopped, make_fabric, train
from mgst_model.train.data import has_stills, make_loader, open_split


def write(out, *, train=4, val=2, fakes=False, stills=False, hashes=True, first=0):
    """Writes shards of faces, as videos of 8 frames or as pictures. The names of the videos begin at ``first``."""
    records = [
        record_of(f"{out.name}{split}{label}{number}", label=label, split=split)
        for split, count in (("train", train), ("val", val))
        for label in range(2 if fakes else 1)
        for number in range(first, first + count)
    ]
    with open_folder(out, CONFIG, records) as folder:
        for task in folder.missing(records):
            with ShardWriter(out, task.name, [record.key for record in task.records]) as shard:
                for record in task.records:
                    chunk = face_chunk(record)
                    chunk = first_frame(chunk) if stills else chunk
                    shard.write(chunk)
                    content = f"content of {record.key}" if hashes else ""
                    shard.end_video(report_of(record, [chunk], content=content))
        folder.finish()
    return out


def first_frame(chunk):
    columns = ("frame_indices", "pts", "landmarks", "landmarks_raw", "valid", "boxes", "scores", "images", "damaged")
    return replace(chunk, **{name: getattr(chunk, name)[:1] for name in columns})


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Two folders of videos and one of pictures; only the first and the last have a split val."""
    root = tmp_path_factory.mktemp("three")
    return [
        Source("a", str(write(root / "a")), 2.0),
        Source("b", str(write(root / "b", train=3, val=0))),
        Source("photos", str(write(root / "photos", train=8, val=3, stills=True))),
    ]


@pytest.fixture(scope="module")
def through(make_experiment, three, tmp_path_factory):
    experiment = make_experiment(network={"drop_path_rate": 0.5})
    folder, log = tmp_path_factory.mktemp("sources") / "through", Log()
    best = train(experiment, three, folder, fabric=make_fabric(experiment, device="cpu"), watcher=log)
    return experiment, folder, best, log


def test_steps_of_segments_and_of_stills_alternate(through):
    _, folder, _, _ = through
    # 30 draws with weights 2, 1, 1: 15 and 8 (7) segments, and 7 (8) stills, in batches of two.
    has_patch_loss = [row["patch"] != "" for row in rows(folder)]
    assert len(has_patch_loss) == 2 * 14
    assert has_patch_loss[:14] == has_patch_loss[14:]
    assert has_patch_loss[:14].count(False) == 3
    assert all(has_patch_loss[i] or has_patch_loss[i + 1] for i in range(13))
    assert all(float(row["frame"]) > 0 and float(row["segment"]) > 0 for row in rows(folder))


@pytest.mark.parametrize("stop", [5, 14])
def test_a_training_on_three_folders_continues_bit_identically(through, three, tmp_path, stop):
    experiment, whole, best, _ = through
    fabric = make_fabric(experiment, device="cpu")
    with pytest.raises(Stopped):
        train(experiment, three, tmp_path, fabric=fabric, watcher=Log(stop))
    assert len(rows(tmp_path)) == stop
    made = {row["source"]: row for row in rows(tmp_path, "sources.csv")}
    assert sum(int(row["draws"]) for row in made.values()) == 2 * stop
    assert train(experiment, three, tmp_path, fabric=fabric) == best
    assert_same_training(tmp_path, whole)
    assert rows(tmp_path, "sources.csv") == rows(whole, "sources.csv")


def test_every_source_is_validated_and_their_mean_chooses(through):
    _, folder, best, log = through
    for row, report in zip(rows(folder, "validation.csv"), log.validations, strict=True):
        assert [name for name, *_ in report.parts] == ["a", "photos"]
        for kind in ("auc", "loss"):
            parts = [float(row[f"{kind}_{name}"]) for name in ("a", "photos")]
            assert float(row[kind]) == pytest.approx(sum(parts) / 2)
    assert best == max(log.validations, key=lambda report: (report.auc, -report.loss))
    card = json.loads((folder / "best.json").read_text())
    assert set(card["info"]["validation_parts"]) == {"a", "photos"}
    assert card["info"]["sources"]["a"]["weight"] == 2.0


def test_contributions_are_written(through):
    _, folder, _, _ = through
    made = {row["source"]: row for row in rows(folder, "sources.csv")}
    assert {name: row["weight"] for name, row in made.items()} == {"a": "2.0", "b": "1.0", "photos": "1.0"}
    assert {name: (row["videos"], row["persons"]) for name, row in made.items()} == {
        "a": ("4", "4"), "b": ("3", "3"), "photos": ("8", "8"),
    }  # fmt: skip
    assert sum(int(row["draws"]) for row in made.values()) == 2 * 28
    assert int(made["photos"]["stills"]) == int(made["photos"]["draws"]) == 2 * 6
    assert made["a"]["stills"] == "0"


def test_another_set_of_folders_does_not_continue_a_training(through, three):
    experiment, folder, _, _ = through
    fabric = make_fabric(experiment, device="cpu")
    with pytest.raises(ConfigMismatchError, match=r"config: sources.b: \{.*\} -> unset \("):
        train(experiment, [three[0], three[2]], folder, fabric=fabric)
    with pytest.raises(ConfigMismatchError, match=r"config: sources.b.weight: 1.0 -> 3.0 \("):
        train(experiment, [three[0], replace(three[1], weight=3.0), three[2]], folder, fabric=fabric)
    with pytest.raises(ConfigMismatchError, match="shards: unset -> "):
        train(experiment, three[0].location, folder, fabric=fabric)


def test_the_videos_of_the_training_are_beside_its_weights(through):
    _, folder, _, _ = through
    known = TrainedVideos.load(folder / "best.safetensors")
    assert {video.key for video in known.train} == {
        *(f"atrain0{i}" for i in range(4)), *(f"btrain0{i}" for i in range(3)), *(f"photostrain0{i}" for i in range(8)),
    }  # fmt: skip
    assert {video.key for video in known.val} == {"aval00", "aval01", "photosval00", "photosval01", "photosval02"}
    assert known.hashed
    assert known.train[0].content == f"content of {known.train[0].key}"
    assert (folder / "last.videos.json").read_bytes() == (folder / "best.videos.json").read_bytes()


def test_a_source_without_training_videos_is_an_error(make_experiment, three, tmp_path):
    other = Source("c", str(write(tmp_path / "c", train=0)))
    with pytest.raises(UsageError, match="the source c has no videos to train on in the split 'train' "):
        open_split([three[0], other], make_experiment().data, "train")


def test_real_pictures_need_fake_ones_or_blends(make_experiment, tmp_path, three):
    fakes = Source("f", str(write(tmp_path / "f", fakes=True)))
    for name in ("videos", "both"):
        data = make_experiment(data={"fakes": name}).data
        reader = open_split([fakes, three[2]], data, "train")
        if name == "both":
            batches = list(make_loader(reader, data, seed=0, training=True))
            assert {batch.frames.shape[1] for batch in batches} == {1, 3}
            assert all(sorted(batch.label.tolist()) == [0, 1] for batch in batches if batch.frames.shape[1] == 3)
        else:
            with pytest.raises(UsageError, match="all pictures of the split 'train' are real"):
                make_loader(reader, data, seed=0, training=True)


def test_pictures_alone_need_single_frames(make_experiment, three, tmp_path):
    experiment = make_experiment()
    with pytest.raises(UsageError, match=r"no real chunk .* has 3 consecutive frames .*data.frames=1\)"):
        train(experiment, three[2].location, tmp_path, fabric=make_fabric(experiment, device="cpu"))
    single = make_experiment(data={"frames": 1}, network={"streams": "spatial"}, train={"epochs": 1})
    train(single, three, tmp_path / "out", fabric=make_fabric(single, device="cpu"))
    assert not has_stills(three, single.data)
    assert has_stills(three, experiment.data)
    assert not has_stills(three[:2], experiment.data)


def test_a_file_in_both_splits_gives_a_warning(make_experiment, tmp_path):
    one = write(tmp_path / "one")
    other = write(tmp_path / "other")
    for path in other.glob("val-*.json"):  # the same files, under other names
        path.write_text(path.read_text().replace("content of otherval", "content of onetrain"))
    experiment = make_experiment(train={"epochs": 1})
    with pytest.warns(
        MgstWarning, match=r"2 validation videos are also trained on, for example otherval0\d as onetrain0\d"
    ):
        train(experiment, [one, other], tmp_path / "out", fabric=make_fabric(experiment, device="cpu"))


@pytest.mark.slow
def test_two_processes_equal_one_with_the_whole_batch(make_experiment, tmp_path):
    """Segments with fakes and stills with blends; both processes have the same kind of batch in every step."""
    folders = [write(tmp_path / "a", fakes=True, val=1), write(tmp_path / "photos", fakes=True, stills=True, val=1)]
    config = tmp_path / "tiny.toml"
    config.write_text(TINY + "[sources.a]\nshards = 'a'\n[sources.photos]\nshards = 'photos'\nweight = 0.5\n")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", free_port()]
    command += ["-m", "mgst_cli.train", "--config", config, "--out", tmp_path / "two", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, timeout=250)
    assert done.returncode == 0, done.stderr

    experiment = make_experiment(
        network={"drop_path_rate": 0.0},
        data={"fakes": "videos", "batch_size": 4, "draws_per_video": 3, "val_draws_per_video": 1},
        augment={"recipe": "none"},
        train={"epochs": 1},
    )
    sources = [Source("a", str(folders[0])), Source("photos", str(folders[1]), 0.5)]
    train(experiment, sources, tmp_path / "one", fabric=make_fabric(experiment, device="cpu"))
    one, two = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert {row["patch"] == "" for row in one} == {True, False}
    assert len(one) == len(two)
    for row, other in zip(one, two, strict=True):
        assert {k: float(v or -1) for k, v in row.items()} == pytest.approx(
            {k: float(v or -1) for k, v in other.items()}, abs=1e-4
        )
    assert_near(tmp_path / "one", tmp_path / "two", atol=2e-4)
    for name, moment in state_of(tmp_path / "one")["optimizer"]["state"].items():
        other = state_of(tmp_path / "two")["optimizer"]["state"][name]
        torch.testing.assert_close(moment["step"], other["step"])  # steps of stills leave the temporal stream alone
