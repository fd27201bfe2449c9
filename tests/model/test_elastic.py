"""Two nodes of torchrun: a training goes on after one of its processes was killed, to the same weights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
from face_shards import write_face_shards
from test_train import CONFIG, assert_same_training, free_port, rows

# Agents and workers are forked from one process that has imported everything, which saves four imports of torch. The
# options are read by torchrun, and the workers run the command.
SCRIPT = """
import os, signal, sys
from multiprocessing import get_context
from torch.distributed.elastic.rendezvous import dynamic_rendezvous
from torch.distributed.launcher.api import elastic_launch
from torch.distributed.run import config_from_args, parse_args
from mgst_cli.train import train
from mgst_model.train.trainer import Trainer

folder, shards, *ports = sys.argv[1:]
context, logged = get_context("fork"), Trainer._log

def log(self, report):
    logged(self, report)
    mark = os.path.join(folder, "mark")
    if os.environ["KILL"] == "yes" and report.step == 3 and self.fabric.is_global_zero and not os.path.exists(mark):
        open(mark, "x").close()
        os.kill(os.getpid(), signal.SIGKILL)

Trainer._log = log
# It looks for the caller in all modules, for a log that nobody reads; that takes seconds here.
dynamic_rendezvous.get_method_name = lambda *_: ""

def work(arguments):
    code = train.main(arguments, standalone_mode=False)
    if code:
        sys.exit(code)

def node(port, out):
    options = ["--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", "1", "--monitor-interval", "0.05"]
    options += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port}", "--rdzv-id", out]
    config, *_ = config_from_args(parse_args([*options, "--local-addr", "127.0.0.1", "--start-method", "fork", "-"]))
    arguments = [shards, "--config", f"{folder}/tiny.toml", "--out", f"{folder}/{out}", "--device", "cpu"]
    elastic_launch(config, work)(arguments)

for out, kill, port in zip(("whole", "restarted"), ("no", "yes"), ports):
    os.environ["KILL"] = kill
    nodes = [context.Process(target=node, args=(port, out)) for _ in range(2)]
    [one.start() for one in nodes]
    [one.join() for one in nodes]
    assert [one.exitcode for one in nodes] == [0, 0], out
"""


@pytest.mark.slow
def test_a_training_on_two_nodes_continues_bit_identically_after_a_process_was_killed(tmp_path):
    shards = write_face_shards(tmp_path / "shards", val=1)
    options = CONFIG.replace("batch_size = 2", "batch_size = 1").replace("draws_per_video = 3", "draws_per_video = 2")
    options = options.replace("epochs = 1", "epochs = 1\nsave_every = 2").replace('"videos"', '"blends"')
    (tmp_path / "tiny.toml").write_text(options)
    command = [sys.executable, "-c", SCRIPT, tmp_path, shards, free_port(), free_port()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    run = subprocess.Popen(list(map(str, command)), env=environment, start_new_session=True, **pipes)
    try:
        _, told = run.communicate(timeout=250)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == 0, told
    assert (tmp_path / "mark").exists()
    assert "continuing after step 2" in told
    assert f"error: {tmp_path}/restarted: another process was lost (its own message says why; " in told
    assert [row["step"] for row in rows(tmp_path / "whole")] == list("1234")
    assert_same_training(tmp_path / "restarted", tmp_path / "whole")
