"""Every plug-in point works: a third-party package is installed, found by its entry points, and used."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Name of the plug-in and of its object in the package, by entry-point group.
PLUGINS = {
    "mgst_data.layouts": ("demo_layout", "DemoLayout"),
    "mgst_data.readers": ("demo_reader", "DemoReader"),
    "mgst_data.detectors": ("demo_detector", "DemoDetector"),
    "mgst_data.landmarks": ("demo_landmarks", "DemoLandmarks"),
    "mgst_data.executors": ("demo_executor", "DemoExecutor"),
    "mgst_data.augmentations": ("demo_negative", "DemoNegative"),
    "mgst_data.recipes": ("demo_recipe", "demo_recipe"),
    "mgst_model.backbones": ("demo_backbone", "DemoBackbone"),
    "mgst_model.detectors": ("demo_scorer", "DemoScorer"),
}
# The script uses only names; it imports the package at the end.
SCRIPT = """
import json, sys
from pathlib import Path

from mgst_data.core import generator_for
from mgst_data.datasets import find_layout, scan_dataset
from mgst_data.extract import ExtractConfig, extract
from mgst_data.shards import ShardReader
from mgst_data.testing import example_segment
from mgst_model.evaluate import plug_detector, score_shards
from mgst_model.networks import NetworkConfig
from mgst_model.train import AugmentConfig, DataConfig, DetectionTask, Experiment, TrainConfig, make_fabric, train

root = Path(sys.argv[1])
config = ExtractConfig(reader="demo_reader", detector="demo_detector", landmarks="demo_landmarks", image_format="png")
summary = extract(scan_dataset(root / "videos"), config, root / "shards", executor="demo_executor", device="cpu")
chunk = next(iter(ShardReader.open(root / "shards")))

experiment = Experiment(
    network=NetworkConfig(backbone="demo_backbone", pretrained="random", dim=8, heads=2, blocks=3, embedding_dim=8),
    data=DataConfig(frames=3, size=32, batch_size=2, draws_per_video=1, val_draws_per_video=1, workers=0),
    augment=AugmentConfig(recipe="demo_recipe", temporal_p=0.0),
    train=TrainConfig(epochs=1),
)
train(experiment, root / "shards", root / "network", fabric=make_fabric(experiment, device="cpu"))

negative = AugmentConfig(recipe="demo_negative", temporal_p=0.0)
task = DetectionTask(experiment.data, negative, experiment.loss, experiment.network)
real = example_segment(b=2, t=4)
plain, turned = (make(real, generator_for(0)).frames for make in (task.test_examples, task.examples))

scored = score_shards(plug_detector("demo_scorer"), str(root / "shards"))

import demo_plugins

print(json.dumps({
    "layout": find_layout(root / "videos"),
    "dataset": chunk.record.dataset,
    "frames": summary.frames,
    "box": (chunk.boxes[0, 2:] - chunk.boxes[0, :2]).tolist(),
    "landmarks": chunk.models["landmarks"],
    "negative": bool((turned == 1 - plain).all()),
    "scored": [video.score for video in scored.videos],
    "used": demo_plugins.USED,
}))
"""


def install(site: Path) -> None:
    """Installs the package as an installer would."""
    info = site / "mgst_demo_plugins-0.1.dist-info"
    info.mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "demo_plugins.py", site)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mgst-demo-plugins\nVersion: 0.1\n")
    entries = [f"[{group}]\n{name} = demo_plugins:{item}\n" for group, (name, item) in PLUGINS.items()]
    (info / "entry_points.txt").write_text("\n".join(entries))


def test_every_plugin_group_is_tested_and_documented():
    sources = [path.read_text() for top in ("mgst_data", "mgst_model") for path in (ROOT / top).rglob("*.py")]
    assert {group for text in sources for group in re.findall(r'Registry\("([\w.]+)"\)', text)} == set(PLUGINS)
    described = (ROOT / "docs" / "architecture.md").read_text()
    assert [group for group in PLUGINS if f"`{group}`" not in described] == []


def test_extraction_and_training_use_plugins_by_name(tmp_path):
    install(tmp_path / "site")
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "demo.txt").write_text("train one\ntrain two\nval three\n")
    path = os.pathsep.join((str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")))
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["layout"], found["dataset"]) == ("demo_layout", "demo_set")
    assert found["frames"] == 3 * 8
    assert found["box"] == pytest.approx([64, 64], rel=0.05)
    assert found["landmarks"] == "demo 1.0, 68 points"
    assert found["negative"]
    kinds = {"layout", "reader", "detector", "landmarks", "executor", "augmentation", "recipe", "backbone", "scorer"}
    assert all(0.3 < score < 0.7 for score in found["scored"])
    assert set(found["used"]) == kinds
