"""``mgst-train``: interruption and continuation, and messages for bad input."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from click.testing import CliRunner
from face_shards import write_face_shards
from mgst_cli.train import train
from mgst_cli.train.build import preset_for

from mgst_model.networks.checkpoint import load_network

CONFIG = """
[network]
backbone = "test_convnext"
pretrained = "random"
dim = 16
heads = 2
blocks = 3
embedding_dim = 8
[data]
frames = 3
size = 32
batch_size = 2
draws_per_video = 20
val_draws_per_video = 1
workers = 1
[train]
epochs = 1
ema_decay = 0.9
save_every = 100000
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_face_shards(tmp_path_factory.mktemp("set") / "shards")


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def mgst_train():
    """Runs the command in this process."""

    def run(*arguments):
        result = CliRunner().invoke(train, [str(argument) for argument in (*arguments, "--device", "cpu")])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def steps_of(out):
    if not (out / "steps.csv").exists():
        return []
    with (out / "steps.csv").open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def refused(result):
    """Returns the error line of a usage error."""
    assert result.exit_code == 2
    assert not result.stdout
    lines = result.stderr.splitlines()
    assert all("; output folder: " in line for line in lines[:-1])
    assert lines[-1].startswith("error: ")
    return lines[-1]


def test_stopped_training_continues_with_the_same_command(mgst_train, shards, config, tmp_path):
    out = tmp_path / "out"
    arguments = [shards, "--config", config, "--out", out]
    command = [sys.executable, "-m", "mgst_cli.train", *map(str, arguments), "--device", "cpu"]
    # A separate session: schedulers and torchrun send SIGTERM to all processes, also to the workers that read shards.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment)
    try:
        end = time.monotonic() + 120
        while len(steps_of(out)) < 3 and run.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        os.killpg(run.pid, signal.SIGTERM)
        _, messages = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 130, messages
    assert messages.splitlines()[-1] == f"stopped: {out}; run the same command again to continue"
    assert "stopping after this step; press Ctrl-C again" in messages
    assert "Traceback" not in messages
    done = len(steps_of(out))
    assert 3 <= done < 40
    assert (out / "state.pt").exists()
    assert not (out / "best.safetensors").exists()

    result = mgst_train(*arguments, "--json")
    assert result.exit_code == 0
    assert f"for 40 steps in 1 epochs; continuing after step {done}" in result.stderr
    assert "epoch 1: validation AUC" in result.stderr
    assert steps_of(out) == list(range(1, 41))
    told = json.loads(result.stdout)
    assert "best validation AUC" in (out / "report.html").read_text()
    assert told["report"] == str(out / "report.html")
    assert told["weights"] == str(out / "best.safetensors")
    assert (told["step"], told["epoch"]) == (40, 0)
    loaded = load_network(out)
    assert (loaded.frames, loaded.size) == (3, 32)
    assert loaded.info["validation_auc"] == told["auc"]
    assert any((out / "tensorboard").iterdir())

    result = mgst_train(*arguments)
    assert "this training is complete: all 40 steps are done (to train again, choose another --out)" in result.stderr
    assert result.stdout.splitlines()[0] == f"best validation AUC {told['auc']:.4f}: {out / 'best.safetensors'}"
    assert steps_of(out) == list(range(1, 41))
    assert "train.lr: 0.0001 -> 0.5" in refused(mgst_train(*arguments, "--set", "train.lr=0.5"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "train.epoch=1"], "unknown option 'train.epoch' (did you mean 'epochs'?)"),
        (["--cache-size", "50GB"], "--cache-size needs --cache (add --cache FOLDER)"),
        (["--set", "lr=3"], "--set lr=3: not of the form TABLE.NAME=VALUE (example: --set train.lr=3)"),
        (
            ["--set", "data.fakes=both"],
            "no fake videos in the split 'train' (videos here: train: 4 real, val: 2 real; ",
        ),
        (
            ["--set", "data.fakes=both", "--set", "data.methods=Deepfakse"],
            "data.methods: unknown fake method 'Deepfakse'",
        ),
        (["--set", "data.batch_size=400"], "an epoch has 80 segments, too few for one batch in each of 1 processes"),
        (
            ["--set", "data.frames=64"],
            "no real chunk of the split 'train' has 64 consecutive frames (the longest has 8: lower data.frames ",
        ),
        (["--backbone-weights", "nowhere.pth"], "nowhere.pth: no such file"),
    ],
)
def test_invalid_training_is_rejected_in_one_line(mgst_train, shards, config, tmp_path, options, message):
    out = tmp_path / "out"
    assert message in refused(mgst_train(shards, "--config", config, "--out", out, *options))
    assert not out.exists()


def test_a_folder_without_shards_and_a_missing_config_are_named(mgst_train, shards, config, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert str(empty) in refused(mgst_train(empty, "--config", config, "--out", tmp_path / "out"))
    missing = tmp_path / "missing.toml"
    assert str(missing) in refused(mgst_train(shards, "--config", missing, "--out", tmp_path / "out"))


def test_a_preset_and_a_file_exclude_each_other(mgst_train, shards, config, tmp_path):
    result = mgst_train(shards, "--config", config, "--preset", "small", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "--preset and --config cannot be combined" in result.stderr


@pytest.mark.parametrize("size", ["50XB", "0", "-1GB", "GB"])
def test_a_text_that_is_no_size_is_explained(mgst_train, shards, size):
    result = mgst_train(shards, "--cache", "cache", "--cache-size", size)
    assert result.exit_code == 2
    assert f"'{size}' is not a size; give a number above 0 with a unit, such as 500MB, 4GB or 4GiB" in result.stderr


def test_unknown_option_weights_suggests_backbone_weights(mgst_train, shards):
    result = mgst_train(shards, "--weights", "random")
    assert result.exit_code == 2
    assert "No such option '--weights'" in result.stderr
    assert "--backbone-weights" in result.stderr


def test_default_preset_depends_on_the_machine_and_names_the_folder(mgst_train, shards, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny = ["--epochs", 1, "--set", "data.frames=3", "--set", "data.size=32", "--set", "data.draws_per_video=1"]
    result = mgst_train(shards, *tiny)
    assert result.exit_code == 0, result.stderr
    first = result.stderr.splitlines()[0]
    assert first == ("preset small (device is the CPU; for a GPU, use --preset base); output folder: runs/small")
    assert (tmp_path / "runs" / "small" / "best.safetensors").exists()
    assert "this training is complete" in mgst_train(shards, *tiny).stderr
    line = refused(mgst_train(shards, *tiny, "--seed", 1))
    assert line.startswith("error: runs/small: trained with another config: train.seed: 0 -> 1 (")
    assert "--out" in line


@pytest.mark.parametrize(("there", "wanted"), [(True, "base"), (False, "small")])
def test_the_preset_is_for_a_gpu_where_there_is_one(monkeypatch, there, wanted):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    chosen, why = preset_for("auto")
    assert chosen == wanted
    assert "GPU" in why
    assert preset_for("cpu")[0] == "small"


def test_unreachable_hub_is_reported_quickly_with_next_steps(mgst_train, shards, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    begin = time.monotonic()
    line = refused(mgst_train(shards, "--preset", "base", "--set", "data.frames=8", "--out", tmp_path / "out"))
    assert time.monotonic() - begin < 10  # models and shards are opened as well
    assert "http://127.0.0.1:9: the weights of backbone 'convnext_tiny' must be downloaded" in line
    assert all(word in line for word in ("--preset small", "--backbone-weights FILE", "--backbone-weights random"))
    assert not (tmp_path / "out").exists()


SOURCES = """
[sources.first]
shards = "{first}"
[sources.second]
shards = "more"
weight = 3
"""


@pytest.fixture
def sources(shards, config, tmp_path):
    """A configuration with two sources; the second path is relative to the file."""
    write_face_shards(tmp_path / "more", train=2, val=1)
    config.write_text(CONFIG.replace("draws_per_video = 20", "draws_per_video = 4") + SOURCES.format(first=shards))
    return config


def test_sources_of_a_file_are_weighted_shown_and_logged(mgst_train, sources, tmp_path):
    out = tmp_path / "out"
    result = mgst_train("--config", sources, "--out", out, "--set", "sources.first.weight=2")
    assert result.exit_code == 0, result.stderr
    lines = result.stderr.splitlines()
    heads = [i for i, line in enumerate(lines) if line.startswith("source ")]
    assert [line.split() for line in lines[heads[0] + 1 : heads[0] + 3]] == [
        ["first", "2", "42%", "10", "0", "4", "4"], ["second", "3", "58%", "14", "0", "2", "2"],
    ]  # fmt: skip
    assert lines[heads[1] + 2].split()[-3:] == ["2", "of", "2"]
    assert "(mean of first " in result.stderr
    with (out / "sources.csv").open(newline="") as file:
        assert [(row["source"], row["weight"], row["draws"]) for row in csv.DictReader(file)] == [
            ("first", "2.0", "10"), ("second", "3.0", "14"),
        ]  # fmt: skip
    told = json.loads((out / "config.json").read_text())["sources"]
    assert told["second"] == {"shards": str(tmp_path / "more"), "weight": 3.0}

    line = refused(mgst_train("--config", sources, "--out", out))
    assert "trained with another config: sources.first.weight: 2.0 -> 1.0 (" in line


def test_folders_of_the_command_line_are_sources(mgst_train, shards, config, tmp_path):
    config.write_text(CONFIG.replace("draws_per_video = 20", "draws_per_video = 4"))
    more = write_face_shards(tmp_path / "more", train=2, val=1)
    result = mgst_train(shards, more, "--config", config, "--out", tmp_path / "out", "--set", "sources.more.weight=3")
    assert result.exit_code == 0, result.stderr
    weights = json.loads((tmp_path / "out" / "config.json").read_text())["sources"]
    assert {name: entry["weight"] for name, entry in weights.items()} == {"shards": 1.0, "more": 3.0}
    line = refused(mgst_train(shards, "--config", config, "--out", tmp_path / "out"))
    assert "trained with another config: shards: unset -> " in line


@pytest.mark.parametrize(
    ("changed", "options", "message"),
    [
        (("weight = 3", "wieght = 3"), [], "unknown option 'sources.second.wieght' (did you mean 'weight'?)"),
        (("weight = 3", "weight = 0"), [], "the weight of the source second must be above 0, got 0"),
        (("weight = 3", "weight = 'a'"), [], "sources.second.weight must be a number, got 'a'"),
        (('shards = "more"', ""), [], "sources.second must be a table with shards"),
        (('"more"', '"gone"'), [], "gone: no shards here"),
        (None, ["--set", "sources.secnd.weight=2"], "unknown source 'secnd' (did you mean 'second'?)"),
        (
            None,
            ["--set", "sources.second.shards=x"],
            "--set sources.second.shards=x: unknown option 'sources.second.shards'; known: weight",
        ),
    ],
)
def test_a_wrong_source_is_rejected_in_one_line(mgst_train, sources, tmp_path, changed, options, message):
    if changed:
        sources.write_text(sources.read_text().replace(*changed))
    assert message in refused(mgst_train("--config", sources, "--out", tmp_path / "out", *options))
    assert not (tmp_path / "out").exists()


def test_a_training_without_folders_is_rejected(mgst_train, config, tmp_path):
    assert "missing SHARDS" in refused(mgst_train("--config", config, "--out", tmp_path / "out"))
