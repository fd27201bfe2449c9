"""Scoring on a Ray cluster of two nodes on this machine: a lost node and killed workers do not change the results."""

import json
import os
import subprocess
import sys

import pytest
import torch
from face_videos import empty_rooms, encode, faces

from mgst_model.networks import NetworkConfig, build_network
from mgst_model.networks.checkpoint import save_network

pytest.importorskip("ray")

# In a process of its own without run-time type checks: Ray does not accept a generator that they wrap.
SCRIPT = """
import json, os, sys, threading, time
from pathlib import Path
from click.testing import CliRunner
from deadly_work import DeadlyWork
from ray.cluster_utils import Cluster
from mgst_cli.predict import batch, predict

root, weights = Path(sys.argv[1]), sys.argv[2]
os.chdir(root)
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=1)
os.environ["RAY_ADDRESS"] = cluster.address
batch.ScoreWork = DeadlyWork

def lose():
    while not list(Path("ray").rglob("scores.json")):
        time.sleep(0.05)
    cluster.remove_node(second, allow_graceful=False)

threading.Thread(target=lose, daemon=True).start()

def run(out, *more):
    options = ["--weights", weights, "--device", "cpu", "--precision", "fp32", "--out", out, *more]
    made = CliRunner().invoke(predict, ["clips", "missing.mp4", *options])
    if made.exception and not isinstance(made.exception, SystemExit):
        raise made.exception
    return made.exit_code, made.stdout.replace(out + "/", "OUT/"), made.stderr

found = {"ray": run("ray", "--executor", "ray", "--workers", "2")}
cluster.shutdown()
Path("clips/die.mp4").unlink()
found["serial"] = run("serial")
print(json.dumps(found))
"""


@pytest.mark.slow
def test_a_cluster_that_loses_a_node_gives_the_results_of_a_serial_run(tmp_path):
    config = NetworkConfig(
        backbone="test_efficientnet", pretrained="random", dim=16, heads=2, blocks=3, embedding_dim=8
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(config).eval()
    weights = save_network(tmp_path / "network", network, config, frames=4, size=64, info={"name": "drawn"})
    (tmp_path / "clips").mkdir()
    for number in range(5):
        encode(tmp_path / "clips" / f"v{number}.mp4", faces(9 + number, (10 + 4 * number, 20)))
    encode(tmp_path / "clips" / "room.mp4", empty_rooms(9))
    (tmp_path / "clips" / "text.mp4").write_text("not a video\n" * 50)
    (tmp_path / "clips" / "die.mp4").write_bytes((tmp_path / "clips" / "v0.mp4").read_bytes())

    # One thread everywhere: sums of several threads differ in the last bits.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    # The executor sets this before it imports Ray. Here the cluster is made before.
    environment["RAY_DEDUP_LOGS_SKIP_REGEX"] = "(?s).*"
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(weights)]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert made.returncode == 0, made.stderr[-3000:]
    found = json.loads(made.stdout.strip().splitlines()[-1])

    code, tables, messages = found["ray"]
    own_code, own_tables, own_messages = found["serial"]
    assert code == own_code == 1
    died = [line for line in messages.splitlines() if "die.mp4" in line]
    assert len(died) == 1
    assert died[0].startswith("error: clips/die.mp4: the worker process died, 2 times (")
    assert [line for line in messages.splitlines() if line not in died] == own_messages.splitlines()
    assert tables.splitlines()[:-1] == own_tables.splitlines()[:-1]
    assert "1 worker_died, " in tables.splitlines()[-1]

    def files(folder):
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert len(files(tmp_path / "serial")) > 5 * 4
    assert files(tmp_path / "ray") == files(tmp_path / "serial")
