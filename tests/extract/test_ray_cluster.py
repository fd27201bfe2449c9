"""A Ray cluster of two nodes on this machine: lost nodes and killed workers do not change the shards."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("ray")

# In a process of its own without run-time type checks: Ray does not accept a generator that they wrap.
SCRIPT = """
import sys
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
from fakes import task_of
from slow_shards import SlowShards
from mgst_data.extract.executors import EXECUTORS
from mgst_data.shards import VideoReport

out, lose = Path(sys.argv[1]), sys.argv[2] == "lose"
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=1)
ray.init(address=cluster.address, logging_level="error", log_to_driver=False)
names = ["a", "b", "c", "d"] if lose else ["a", "die"]
tasks = [task_of(f"train-{i:06d}", *(f"{name}{i}{j}" for j in range(3))) for i, name in enumerate(names)]
seen = []
for event in EXECUTORS.get("ray")(workers=2).map(SlowShards(out, 0.5), tasks):
    if isinstance(event, VideoReport):
        seen.append((event.key, event.reason))
        if lose and second is not None and len(seen) == 3:
            cluster.remove_node(second, allow_graceful=False)
            second = None
print(sorted(seen))
ray.shutdown()
cluster.shutdown()
"""


def run(folder, kind):
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SCRIPT, str(folder), kind]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert made.returncode == 0, made.stderr[-3000:]
    return eval(made.stdout.strip().splitlines()[-1])


@pytest.mark.slow
def test_a_lost_node_gives_the_shards_of_a_serial_run(tmp_path):
    from fakes import task_of
    from slow_shards import SlowShards

    seen = run(tmp_path / "ray", "lose")
    tasks = [task_of(f"train-{i:06d}", *(f"{name}{i}{j}" for j in range(3))) for i, name in enumerate("abcd")]
    assert [key for key, _ in seen] == sorted(record.key for task in tasks for record in task.records)
    (tmp_path / "serial").mkdir()
    for task in tasks:
        list(SlowShards(tmp_path / "serial")(task, {}))

    def tars(folder):
        return {path.name: path.read_bytes() for path in folder.glob("*.tar*")}

    assert tars(tmp_path / "ray") == tars(tmp_path / "serial")


@pytest.mark.slow
def test_a_video_that_kills_two_workers_is_skipped(tmp_path):
    reasons = dict(run(tmp_path / "ray", "die"))
    assert {key: reason for key, reason in reasons.items() if reason} == {f"die1{j}": "worker_died" for j in range(3)}
    assert sorted(reasons) == ["a00", "a01", "a02", "die10", "die11", "die12"]
