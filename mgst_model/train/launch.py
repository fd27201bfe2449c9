"""Devices and processes: one process, several processes started here, or the processes of ``torchrun``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies.ddp import DDPStrategy
from lightning.fabric.strategies.strategy import Strategy
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.constants import default_pg_timeout
from torch.distributed.elastic.utils.distributed import get_free_port

from mgst_data.core import MgstError, UsageError
from mgst_model.train.experiment import Experiment, TrainConfig

# Set by torchrun: whether all processes meet at the store of its agent, which lives longer than they do.
_AGENT_STORE = "TORCHELASTIC_USE_AGENT_STORE"
# Prefix of our keys there.
_KEYS = "mgst"


def make_fabric(
    config: Experiment | TrainConfig, *, device: str = "auto", devices: int = 1, stills: bool = False
) -> Fabric:
    """Builds and launches the fabric of a training.

    Args:
        config: Options with the precision. A complete experiment also tells whether every parameter is in the loss.
        device: "auto", "cpu" or "cuda".
        devices: Processes on this machine. Under ``torchrun``, its number of processes is used instead.
        stills: Whether some batches have single frames; see :func:`mgst_model.train.data.has_stills`.

    Raises:
        UsageError: if there are fewer devices, or they do not support the precision.
    """
    precision = (config.train if isinstance(config, Experiment) else config).precision
    local, nodes = int(os.environ.get("LOCAL_WORLD_SIZE", devices)), int(os.environ.get("GROUP_WORLD_SIZE", 1))
    cuda = torch.cuda.device_count() if device != "cpu" else 0
    if device == "cuda" and local > cuda:
        what = f"--devices must be at most {cuda}, got {local}" if cuda else "no CUDA device is available"
        raise UsageError(what, hint="lower --devices, or use --device cpu")
    if precision == "16-mixed" and not cuda:
        raise UsageError("train.precision 16-mixed needs a GPU", hint="use bf16-mixed or 32-true on a CPU")
    strategy: str | Strategy = "auto"
    if local * nodes > 1:
        # Single frames have no patch logits. For a custom network it is unknown which parameters are in the loss.
        unused = (
            not isinstance(config, Experiment)
            or not (config.loss.patch_weight and config.loss.frame_weight)
            or config.data.frames == 1
            or stills
        )
        # The trainer synchronises running means after every step, so DDP does not need to.
        strategy = DDPStrategy(find_unused_parameters=unused, broadcast_buffers=False)
    if os.environ.get(_AGENT_STORE) == "True" and local * nodes > 1:
        _leave_agent_store()
    fabric = Fabric(accelerator=device, devices=local, num_nodes=nodes, precision=precision, strategy=strategy)
    fabric.launch()
    return fabric


@contextmanager
def lost_processes_named(out: Path) -> Iterator[None]:
    """Turns an error of the connection to the other processes into a message that says what to do.

    Args:
        out: Folder of the training.

    Raises:
        MgstError: with the reason "process_lost".
        RuntimeError: any other one of its block.
    """
    try:
        yield
    except RuntimeError as error:  # gloo has no class of its own
        if not (isinstance(error, torch.distributed.DistError) or "gloo" in str(error)):
            raise
        hint = "its own message says why; the same command continues after the last saved state"
        raise MgstError("another process was lost", where=out, hint=hint, reason="process_lost") from error


def _leave_agent_store() -> None:
    """Agrees with the other processes on a store of their own, which begins empty.

    ``torchrun`` restarts all processes when one has died, but its agent keeps its store. There the new processes would
    find the addresses of the old ones, and wait for them (https://github.com/pytorch/pytorch/issues/135712). Nothing
    that they know is new after a restart, so each process gives itself a new name, and the first one answers with a
    port. It may see the name of an old process first, and answers again until all have confirmed.

    Raises:
        MgstError: if a process does not answer.
    """
    rank, world, address = (os.environ[name] for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR"))
    store = TCPStore(address, int(os.environ["MASTER_PORT"]), is_master=False)
    if rank == "0":
        answer = f"{get_free_port()}/{uuid4().hex}"  # type: ignore[no-untyped-call]
        waiting = set(range(1, int(world)))

        def all_confirmed() -> bool:
            for other in tuple(waiting):
                if store.check([f"{_KEYS}/{answer}/{other}"]):
                    waiting.remove(other)
                elif store.check([f"{_KEYS}/{other}"]):
                    store.set(f"{_KEYS}/{store.get(f'{_KEYS}/{other}').decode()}", answer)
            return not waiting

        _wait(all_confirmed)
    else:
        name = uuid4().hex
        store.set(f"{_KEYS}/{rank}", name)
        _wait(lambda: bool(store.check([f"{_KEYS}/{name}"])))
        answer = store.get(f"{_KEYS}/{name}").decode()
        store.set(f"{_KEYS}/{answer}/{rank}", "")
    os.environ |= {"MASTER_PORT": answer.partition("/")[0], _AGENT_STORE: "False"}


def _wait(met: Callable[[], bool]) -> None:
    until = time.monotonic() + default_pg_timeout.total_seconds()
    while not met():
        if time.monotonic() > until:
            hint = "check that all machines run the same command"
            raise MgstError("other processes of torchrun do not answer", hint=hint, reason="process_lost")
        time.sleep(0.02)
