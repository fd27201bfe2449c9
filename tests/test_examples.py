"""The examples run as in their docstrings, on very small data."""

from __future__ import annotations

import importlib
import json
import math
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor, nn
from torch.distributed.run import parse_args as torchrun_options
from torch.utils.data import DataLoader

from mgst_data.augment import SelfBlend
from mgst_data.core import UsageError, generator_for
from mgst_data.shards import open_folder
from mgst_data.testing import example_segment

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _examples_may_be_imported(monkeypatch) -> Iterator[None]:
    """Restores the global generator, which the examples use to initialise networks and to shuffle."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.syspath_prepend(ROOT / "tests" / "shards")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def steps(printed: str) -> list[float]:
    """Returns the loss of every step."""
    lines = [re.fullmatch(r"loss (\d+\.\d+), accuracy (\d\.\d\d)", line) for line in printed.splitlines()]
    assert all(lines)
    return [float(line[1]) for line in lines]


def write_png(frame: Tensor, path: Path) -> None:
    Image.fromarray(frame.movedim(0, 2).numpy()).save(path)


def write_frames(root: Path, *, k: int, several: bool) -> None:
    """Writes two videos of four frames in the format of DeepfakeBench, or of SBI with several faces per frame."""
    made = example_segment(b=2, t=4, size=64, k=k)
    for video, frames, landmarks in zip("ab", made.frames, made.landmarks.nan_to_num(20), strict=True):
        for folder in ("frames", "landmarks"):
            (root / "c23" / folder / video).mkdir(parents=True)
        for i in range(4):
            write_png((frames[i] * 255).byte(), root / "c23" / "frames" / video / f"{i:03d}.png")
            points = landmarks[i].numpy()
            stored = np.stack((points, points + 3)) if several else points
            np.save(root / "c23" / "landmarks" / video / f"{i:03d}.npy", stored)


@pytest.mark.parametrize(("k", "several"), [(81, False), (68, True)])
def test_the_image_classifier_trains(tmp_path, capsys, k, several):
    pytest.importorskip("timm", reason="the example needs timm")
    write_frames(tmp_path, k=k, several=several)
    options = ["--model", "test_resnet", "--size", "48", "--batch", "4", "--epochs", "2"]
    importlib.import_module("image_classifier").main([str(tmp_path), *options])
    losses = steps(capsys.readouterr().out)
    assert len(losses) == 4
    assert all(map(math.isfinite, losses))


def test_the_image_classifier_scales_landmarks_with_the_face(tmp_path):
    pytest.importorskip("timm", reason="the example needs timm")
    read = importlib.import_module("image_classifier").read
    # A face of 40 pixels near the right edge. Two pixels around two of its landmarks are white.
    points = np.array([[60.0, 20.0], [100.0, 60.0], [61.0, 21.0], [99.0, 59.0]], dtype=np.float32)
    frame = torch.zeros(3, 90, 110, dtype=torch.uint8)
    for x, y in points[2:].astype(int):
        frame[:, y - 2 : y + 3, x - 2 : x + 3] = 255
    for folder in ("frames", "landmarks"):
        (tmp_path / folder / "a").mkdir(parents=True)
    write_png(frame, tmp_path / "frames" / "a" / "0.png")
    np.save(tmp_path / "landmarks" / "a" / "0.npy", points[None])
    crops, landmarks = read([tmp_path / "landmarks" / "a" / "0.npy"], 128)
    assert crops.shape == (1, 3, 128, 128)
    assert landmarks.shape == (1, 4, 2)
    for number in (2, 3):
        half = torch.zeros(128, 128)
        x, y = landmarks[0, number]
        half[int(y) - 12 : int(y) + 13, int(x) - 12 : int(x) + 13] = 1
        rows, columns = ((crops[0, 0] > 127) & (half > 0)).nonzero().unbind(1)
        assert abs(columns.float().mean() - x) < 0.6
        assert abs(rows.float().mean() - y) < 0.6


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Three real videos and one fake video."""
    synthetic = importlib.import_module("synthetic_shards")

    def extract(record):
        yield synthetic.chunk_of(record, t=6, k=68, size=32)

    records = [synthetic.record_of(f"v{i}", label=int(i == 3)) for i in range(4)]
    with open_folder(tmp_path / "shards", synthetic.CONFIG, records, videos_per_shard=2) as folder:
        for task in folder.missing(records):
            synthetic.write_shard(tmp_path / "shards", task, extract=extract)
        folder.finish()
    return tmp_path / "shards"


def test_the_clip_model_trains_on_the_real_videos(shards, capsys):
    options = ["--model", "mc3_18", "--frames", "5", "--size", "32", "--batch", "3", "--epochs", "2"]
    importlib.import_module("clip_model").main([str(shards), *options])
    losses = steps(capsys.readouterr().out)
    assert len(losses) == 2  # three videos: one batch per epoch
    assert all(map(math.isfinite, losses))


def test_your_own_network_trains_and_resumes(tmp_path, capsys, monkeypatch):
    pytest.importorskip("timm", reason="the example needs timm")
    monkeypatch.syspath_prepend(ROOT / "tests")
    folder = str(importlib.import_module("face_shards").write_face_shards(tmp_path / "shards"))
    options = [folder, "--model", "test_resnet", "--frames", "3", "--size", "32", "--batch", "4", "--workers", "0"]
    run = importlib.import_module("own_network").main
    for _ in range(2):
        run([*options, "--epochs", "1", "--out", str(tmp_path / "out")])
        printed = re.fullmatch(r"validation AUC \d\.\d{3} in epoch 1: (.*)\n", capsys.readouterr().out)
        assert Path(printed[1]) == tmp_path / "out" / "best.safetensors"
        # Four videos with 8 draws each, 4 per batch. The second run has no steps left.
        assert len((tmp_path / "out" / "steps.csv").read_text().splitlines()) == 1 + 8
    with pytest.raises(UsageError, match=r"another config: data.size: 32 -> 64 "):
        run([*options, "--size", "64", "--epochs", "1", "--out", str(tmp_path / "out")])


def test_the_collate_function_prints_its_speed(capsys):
    importlib.import_module("collate").main(["--count", "8", "--size", "32", "--batch", "4"])
    assert re.fullmatch(r"8 fakes from 8 faces, \d+ faces/s\n", capsys.readouterr().out)


def blended(workers: int, *, seed: int = 0, epochs: int = 1) -> list[torch.Tensor]:
    """Returns the frames of all batches. They have the same two faces, so equal batches mean equal draws."""
    collate = importlib.import_module("collate").BlendCollate(SelfBlend(), seed=seed)
    made = example_segment(b=1, t=3, size=32)
    face = ((made.frames[0] * 255).byte(), made.landmarks[0])
    options = {"collate_fn": collate, "num_workers": workers, "generator": generator_for(0, "loader")}
    loader = DataLoader([face] * 8, batch_size=2, **options)
    batches = [batch for _ in range(epochs) for batch in loader]
    assert all(batch["label"].tolist() == [0, 0, 1, 1] for batch in batches)
    return [batch["frames"] for batch in batches]


@pytest.mark.parametrize("workers", [0, 2])
def test_every_batch_of_every_worker_and_epoch_has_different_draws(workers):
    batches = blended(workers, epochs=2)
    assert len(batches) == 8
    alike = [(i, j) for i in range(8) for j in range(i) if torch.equal(batches[i], batches[j])]
    assert not alike
    again = blended(workers, epochs=2)
    assert all(map(torch.equal, batches, again))
    assert not torch.equal(blended(workers, seed=1)[0], batches[0])


def test_workers_do_not_inherit_the_generator_of_a_used_collate_function():
    module = importlib.import_module("collate")
    collate = module.BlendCollate(SelfBlend())
    made = example_segment(b=1, t=1, size=32)
    face = ((made.frames[0] * 255).byte(), made.landmarks[0])
    collate([face])
    loader = DataLoader([face] * 2, batch_size=1, collate_fn=collate, num_workers=2, generator=generator_for(0, "x"))
    one, two = (batch["frames"] for batch in loader)
    assert not torch.equal(one, two)


def test_the_jobs_of_clusters_make_every_part(tmp_path):
    """The scripts run with a command in place of mgst-data that writes down its arguments."""
    folder, bin_ = ROOT / "examples" / "cluster", tmp_path / "bin"
    bin_.mkdir()
    for name, text in (("mgst-data", 'echo "$@" >> "$LOG"'), ("srun", 'exec "$@"')):
        (bin_ / name).write_text(f"#!/bin/sh\n{text}\n")
        (bin_ / name).chmod(0o755)
    path = {"PATH": f"{bin_}:{os.environ['PATH']}"}
    job = yaml.safe_load((folder / "kubernetes_job.yaml").read_text())
    assert (job["apiVersion"], job["kind"], job["spec"]["completionMode"]) == ("batch/v1", "Job", "Indexed")
    count, (container,) = job["spec"]["completions"], job["spec"]["template"]["spec"]["containers"]
    array = re.search(r"--array=1-([0-9]+)", (folder / "slurm_array.sh").read_text())
    assert array
    for number in range(count):
        environment = {**path, "LOG": str(tmp_path / "pods"), "JOB_COMPLETION_INDEX": str(number)}
        subprocess.run([*container["command"], *container["args"]], env=environment, check=True)
    for number in range(1, int(array[1]) + 1):
        task = {"SLURM_ARRAY_TASK_ID": str(number), "SLURM_ARRAY_TASK_COUNT": array[1], "SLURM_CPUS_PER_TASK": "8"}
        environment = {**path, "LOG": str(tmp_path / "tasks"), **task}
        subprocess.run(["bash", folder / "slurm_array.sh"], env=environment, check=True)
    for name, parts in (("pods", count), ("tasks", int(array[1]))):
        lines = (tmp_path / name).read_text().splitlines()
        assert [line.split()[-1] for line in lines] == [f"{number}/{parts}" for number in range(1, parts + 1)]
        assert all(line.startswith("extract --src /data/FaceForensics++ --out /data/shards") for line in lines)


def test_the_training_job_of_a_cluster_starts_torchrun_on_every_machine(tmp_path):
    """The script runs with commands in place of those of Slurm, and a torchrun that prints its arguments."""
    stubs = {"srun": 'exec "$@"', "scontrol": "printf 'one\\ntwo\\n'", "torchrun": "printf '%s\\n' \"$@\""}
    for name, text in stubs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    job = {
        "SLURM_JOB_NODELIST": "[one-two]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_GPUS_ON_NODE": "4",
        "SLURM_JOB_ID": "7",
    }
    made = subprocess.run(
        ["bash", ROOT / "examples" / "cluster" / "slurm_train.sh"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **job},
        capture_output=True,
        text=True,
        check=True,
    )
    options = torchrun_options(made.stdout.splitlines())
    assert (options.nnodes, options.nproc_per_node, options.max_restarts) == ("2", "4", 3)
    assert (options.rdzv_backend, options.rdzv_endpoint, options.rdzv_id) == ("c10d", "one:29500", "7")
    assert (options.module, options.training_script) == (True, "mgst_cli.train")
    assert options.training_script_args == ["/data/shards", "--preset", "base", "--out", "/data/runs/base"]


def test_a_classifier_of_timm_is_evaluated(shards, monkeypatch):
    pytest.importorskip("timm", reason="the example needs timm")
    from mgst_model.evaluate import plug_detector, score_shards

    monkeypatch.setenv("MODEL", "test_resnet")
    detector = plug_detector(f"{ROOT / 'examples' / 'detector_of_timm.py'}:make")
    assert (detector.frames, detector.size, detector.face_margin) == (4, 224, 0.3)
    scored = score_shards(detector, str(shards), segments=1)
    assert len(scored) == 4
    assert all(0 < video.score < 1 for video in scored.videos)


def test_a_network_in_the_form_of_deepfakebench_is_evaluated(shards):
    from mgst_model.evaluate import plug_detector, score_shards

    module = importlib.import_module("detector_of_deepfakebench")
    detector = plug_detector(f"{module.__file__}:make")
    picture = torch.rand(1, 1, 3, 128, 128)
    network = detector.network.detector.detector
    with torch.inference_mode():
        prob = network({"image": (picture[0] - 0.5) / 0.5})["prob"]
        torch.testing.assert_close(detector.network(picture).logit.sigmoid(), prob)
    assert len(score_shards(detector, str(shards), segments=1)) == 4
    clip = module.Wrapped(nn.Identity(), frames=8)
    assert (clip.takes, clip.frames) == ("clip", 8)


def test_the_ray_cluster_follows_the_schema_of_ray_and_names_its_head():
    cluster = yaml.safe_load((ROOT / "examples" / "cluster" / "ray_cluster.yaml").read_text())
    assert cluster["head_node_type"] in cluster["available_node_types"]
    assert cluster["max_workers"] >= cluster["available_node_types"]["spot"]["max_workers"]
    ray, jsonschema = pytest.importorskip("ray"), pytest.importorskip("jsonschema")
    schema = Path(ray.__file__).with_name("autoscaler") / "ray-schema.json"
    jsonschema.validate(cluster, json.loads(schema.read_text()))
