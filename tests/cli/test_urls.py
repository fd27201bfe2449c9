"""Commands with URLs: the results are those of local folders, and a training goes on from another machine."""

import json
import os
import signal

import fsspec
import pytest
from click.testing import CliRunner
from face_shards import write_face_shards
from mgst_cli.common.inputs import find_inputs
from mgst_cli.data import data
from mgst_cli.evaluate import evaluate
from mgst_cli.predict.show import folders_of
from mgst_cli.train import train
from mgst_cli.train.progress import CourseWatcher

from mgst_data.shards.store import ShardStore
from mgst_model.networks.checkpoint import read_card

MEMORY = fsspec.filesystem("memory")
CONFIG = """
[network]
kind = "image"
backbone = "test_efficientnet"
pretrained = "random"
[data]
frames = 1
size = 32
batch_size = 4
draws_per_video = 2
val_draws_per_video = 1
workers = 0
[loss]
patch_weight = 0
frame_weight = 0
[train]
epochs = 2
save_every = 1
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory, s3):
    folder = write_face_shards(tmp_path_factory.mktemp("set") / "shards", fakes=True)
    fsspec.filesystem("s3").put(f"{folder}/", "bucket/shards/", recursive=True)
    return folder


def run(command, *arguments):
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def bucket(place):
    """The files of a folder of the bucket, by name."""
    store = fsspec.filesystem("s3")
    store.invalidate_cache()
    return {path.removeprefix(f"bucket/{place}/"): store.cat_file(path) for path in store.find(f"bucket/{place}")}


def folder_of(path):
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_a_training_goes_on_from_another_machine_to_the_same_weights(s3, shards, tmp_path, monkeypatch):
    config = tmp_path / "tiny.toml"
    config.write_text(CONFIG)
    options = ("--config", config, "--device", "cpu")
    assert run(train, shards, *options, "--out", tmp_path / "one").exit_code == 0

    def machine(name):
        monkeypatch.setenv("MGST_CACHE", str(tmp_path / name))
        return run(train, "s3://bucket/shards", *options, "--out", "s3://bucket/runs/one")

    with monkeypatch.context() as patch:
        seen = []
        patch.setattr(
            CourseWatcher, "see", lambda _, report: seen.append(report) or os.kill(os.getpid(), signal.SIGINT)
        )
        stopped = machine("first")
    assert stopped.exit_code == 130, stopped.stderr
    assert "stopped: s3://bucket/runs/one; run the same command again" in stopped.stderr
    there = bucket("runs/one")
    assert "state.pt" in there
    assert "report.html" not in there
    assert not (tmp_path / "first/uploads").exists() or not list((tmp_path / "first/uploads").iterdir())
    ended = machine("second")
    assert ended.exit_code == 0, ended.stderr
    assert "next: mgst-predict VIDEO --weights s3://bucket/runs/one/best.safetensors" in ended.stdout
    there, local = bucket("runs/one"), folder_of(tmp_path / "one")
    for name in ("best.safetensors", "last.safetensors"):
        assert there[name] == local[name]
    assert {name for name in there if "/" not in name} == {name for name in local if "/" not in name}
    held = b"".join(there.values())
    assert b"mgst-eval" in held
    for secret in (s3["AWS_SECRET_ACCESS_KEY"], s3["AWS_ACCESS_KEY_ID"], str(tmp_path / "second")):
        assert secret.encode() not in held
    _scores_are_those_of_local_weights(shards, tmp_path)


def _scores_are_those_of_local_weights(shards, tmp_path):
    """Also that of a second run, which reuses the scores behind the URL."""
    options = (
        "--split",
        "val",
        "--device",
        "cpu",
        "--segments",
        "1",
        "--resamples",
        "0",
        "--json",
        "--allow-trained-on",
    )
    local = run(evaluate, shards, "--weights", tmp_path / "one", "--out", tmp_path / "scores", *options)
    assert local.exit_code == 0, local.stderr
    far = ("s3://bucket/shards", "--weights", "s3://bucket/runs/one", "--out", "s3://bucket/scores")
    first, second = (run(evaluate, *far, *options) for _ in range(2))
    assert "reusing 1 of 1 set of scores" in second.stderr
    for result in (first, second):
        found, expected = json.loads(result.stdout), json.loads(local.stdout)
        files, wanted = found.pop("files"), expected.pop("files")
        assert files == [file.replace(str(tmp_path / "scores"), "s3://bucket/scores") for file in wanted]
        for one, other in zip(found["evaluations"], expected["evaluations"], strict=True):
            assert one["groups"] == other["groups"]
    again = run(evaluate, "--predictions", "s3://bucket/scores", "--out", tmp_path / "tables", "--resamples", "0")
    assert again.exit_code == 0, again.stderr
    assert (tmp_path / "tables/table.md").exists()
    far_card = read_card("s3://bucket/runs/one/last.safetensors")
    near_card = read_card(tmp_path / "one/last.safetensors")
    assert {**far_card.info, "shards": near_card.info["shards"]} == near_card.info


@pytest.mark.parametrize("command", ["report", "export", "sheet"])
def test_results_behind_a_url_are_those_of_a_local_folder(shards, tmp_path, command):
    options = {"report": ("--no-near-duplicates",), "export": ("--to", "folders"), "sheet": ()}[command]
    assert run(data, command, shards, "--out", tmp_path / command, *options).exit_code == 0
    for _ in range(2):  # the second run replaces the first one, or finds it complete
        far = run(data, command, shards, "--out", f"s3://bucket/{command}", *options)
        assert far.exit_code == 0, far.stderr
        assert f"s3://bucket/{command}" in far.stdout
        there, local = bucket(command), folder_of(tmp_path / command)
        assert there.keys() == local.keys()
        assert {name for name in there if there[name] != local[name]} <= {"index.html", "report.html"}


def test_persons_and_copies_are_kept_beside_shards_behind_a_url(shards):
    result = run(data, "people", "s3://bucket/shards", "--near-duplicates", "--workers", 1)
    assert result.exit_code == 1, result.stderr  # the persons of train are also in val
    there = set(bucket("shards"))
    assert "people.json" in there
    assert any(name.startswith("people/train-000000.faces-") for name in there)
    assert len([name for name in there if name.startswith("people/train-000000.")]) == 2
    assert ".lock" not in there


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (
            (data, "sheet", "SHARDS", "--out", "s3://missing/sheets"),
            1,
            r"s3://missing/sheets/.lock: the store has no such",
        ),
        ((data, "sheet", "SHARDS", "--out", "nonsense://b/sheets"), 2, "nonsense"),
        ((data, "sheet", "s3://bucket/none"), 2, "s3://bucket/none: no shards here"),
        (
            (evaluate, "SHARDS", "--split", "val", "--weights", "s3://bucket/none"),
            2,
            "s3://bucket/none: no such file or folder of weights",
        ),
        ((evaluate, "SHARDS", "--weights", "s3://bucket/a", "--src", "s3://bucket/b"), 2, "a browser cannot open"),
        (
            (evaluate, "SHARDS", "--weights", "w", "--src", ".", "--out", "s3://bucket/o"),
            2,
            "cannot link to videos on this",
        ),
        ((train, "SHARDS", "--config", "s3://bucket/a.toml"), 2, "must be on this machine"),
        ((data, "extract", "--src", ".", "--reals", "s3://bucket/r", "--dry-run"), 2, "must be on this machine"),
        ((data, "sheet", "SHARDS", "--out", "s3://"), 2, "no bucket and no name"),
    ],
)
def test_a_url_that_does_not_work_is_one_clear_line(shards, arguments, code, says):
    command, *rest = arguments
    result = run(command, *(shards if argument == "SHARDS" else argument for argument in rest))
    assert result.exit_code == code
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    errors = [line for line in result.stderr.splitlines() if line.lower().startswith("error: ")]
    assert len(errors) == 1


@pytest.fixture
def memory():
    MEMORY.store.clear()
    MEMORY.pseudo_dirs[:] = [""]
    for name in ("a.mp4", "deep/b.MOV", "done/scores.json", "done/a.mp4", "notes.docx", ".hidden/c.mp4"):
        MEMORY.pipe_file(f"memory://clips/set/{name}", b"video")
    MEMORY.pipe_file("memory://clips/list.txt", b"set/a.mp4\n# comment\nhttps://x.org/y.mp4?id=5\n")
    MEMORY.pipe_file("memory://clips/pictures/0.png", b"picture")


@pytest.mark.usefixtures("memory")
def test_videos_of_folders_and_lists_behind_urls(tmp_path):
    found = find_inputs(["memory://clips/set"], results="scores.json")
    assert [item.path for item in found] == ["memory://clips/set/a.mp4", "memory://clips/set/deep/b.MOV"]
    assert [folder.as_posix() for folder in folders_of(found, tmp_path, video=True)] == [
        f"{tmp_path}/a-scores",
        f"{tmp_path}/deep/b-scores",
    ]
    listed = find_inputs(["memory://clips/list.txt"], results="scores.json")
    assert [item.path for item in listed] == ["memory://clips/set/a.mp4", "https://x.org/y.mp4?id=5"]
    for place, problem in (("memory://clips/pictures", "no videos"), ("memory://clips/none.txt", "no such file")):
        (item,) = find_inputs([place], results="scores.json")
        assert problem in str(item.problem)
    assert ShardStore.at("memory://clips/set").remote
