"""A Ray cluster of two nodes on this machine: lost nodes and killed workers do not change the shards."""

import json
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

out, kind = Path(sys.argv[1]), sys.argv[2]
lose = kind == "lose"
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=1)
ray.init(address=cluster.address, logging_level="error", log_to_driver=False)
names = ["a", "b", "c", "d"] if lose else ["a", kind]
limit = {"video_timeout": 3.0} if kind == "stuck" else {}
tasks = [task_of(f"train-{i:06d}", *(f"{name}{i}{j}" for j in range(3))) for i, name in enumerate(names)]
seen = []
for event in EXECUTORS.get("ray")(workers=2, **limit).map(SlowShards(out, 0.5), tasks):
    if isinstance(event, VideoReport):
        seen.append((event.key, event.reason))
        if lose and second is not None and len(seen) == 3:
            cluster.remove_node(second, allow_graceful=False)
            second = None
print(sorted(seen))
ray.shutdown()
cluster.shutdown()
"""


# A cluster without CPUs at first. Two machines join: one when the run waits, one in its middle.
GROWING = """
import json, os, signal, sys, types, warnings
from pathlib import Path
from ray.cluster_utils import Cluster
from fakes import task_of
from ray_places import Places
from mgst_data.core import MgstError
from mgst_data.core.errors import MgstWarning
from mgst_data.extract.executors import EXECUTORS
from mgst_data.shards import VideoReport

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
os.environ["RAY_ADDRESS"] = cluster.address
machine, told = {"num_cpus": 1, "num_gpus": 1, "memory": 10**9}, {"warnings": []}
folder = Path(sys.argv[1])

def waits(message, category, *_, **__):
    if category is MgstWarning:
        told["warnings"].append(str(message))
        cluster.add_node(**machine)

warnings.simplefilter("always")
warnings.showwarning = waits

def places(*, keys=("a",), join=False, **options):
    found = []
    tasks = [task_of(f"train-{i:06d}", key) for i, key in enumerate(keys)]
    for event in EXECUTORS.get("ray")(**options).map(Places(folder), tasks):
        if isinstance(event, VideoReport):
            found.append(json.loads(event.message))
            if join and len(found) == 2:
                cluster.add_node(**machine)
    return found

class Gone(Places):
    __module__ = "only_here"

sys.modules["only_here"] = types.ModuleType("only_here")
sys.modules["only_here"].Gone = Gone

def refused(run):
    try:
        list(run())
    except MgstError as error:
        return str(error)

told["growing"] = places(keys=("a", "b", "both", "c", "d"), join=True)
handler = signal.getsignal(signal.SIGTERM)
told["options"] = places(workers=3, worker_memory=2 * 10**8, gpus_per_worker=0.25)
told["handler"] = signal.getsignal(signal.SIGTERM) is handler
told["gone"] = refused(lambda: EXECUTORS.get("ray")().map(Gone(folder), [task_of("train-000000", "a")]))
cluster.shutdown()
os.environ["RAY_ADDRESS"] = "ray://127.0.0.1:10001"
told["client"] = refused(places)
os.environ["RAY_ADDRESS"] = "nonsense"
told["nonsense"] = refused(places)
print(json.dumps(told))
"""


def printed(script, *arguments):
    """Runs a script in a process of its own; returns the last line that it prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert made.returncode == 0, made.stderr[-3000:]
    return made.stdout.strip().splitlines()[-1]


def run(folder, kind):
    folder.mkdir()
    return eval(printed(SCRIPT, folder, kind))


@pytest.mark.slow
def test_machines_that_join_are_used_and_what_a_task_needs_is_reserved(tmp_path):
    told = json.loads(printed(GROWING, tmp_path))
    assert len(told["growing"]) == 5
    assert len({place["machine"] for place in told["growing"]}) == 2
    assert all(place.keys() == {"machine", "CPU"} for place in told["growing"])
    (warning,) = told["warnings"]
    assert "no machine of the Ray cluster is large enough for a task, which needs 1 CPU; waiting" in warning
    (place,) = told["options"]
    assert (place["CPU"], place["GPU"], place["memory"]) == (1, 0.25, 2e8)
    assert told["handler"], "SIGTERM still interrupts the command"
    assert "the Python package only_here is missing on the machine " in told["gone"]
    assert "pip install" in told["gone"]
    assert told["client"].startswith("ray://127.0.0.1:10001: Ray Client cannot")
    assert told["nonsense"].startswith("nonsense: the Ray cluster cannot be reached: ")


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


@pytest.mark.slow
def test_a_video_beyond_the_time_limit_is_skipped(tmp_path):
    reasons = dict(run(tmp_path / "ray", "stuck"))
    assert {key: reason for key, reason in reasons.items() if reason} == {"stuck10": "timeout"}
    assert sorted(reasons) == ["a00", "a01", "a02", "stuck10", "stuck11", "stuck12"]
