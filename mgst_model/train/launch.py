"""Devices and processes: one process, several processes started here, or the processes of ``torchrun``."""

from __future__ import annotations

import os

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies.ddp import DDPStrategy
from lightning.fabric.strategies.strategy import Strategy

from mgst_data.core import UsageError
from mgst_model.train.experiment import Experiment, TrainConfig


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
    fabric = Fabric(accelerator=device, devices=local, num_nodes=nodes, precision=precision, strategy=strategy)
    fabric.launch()
    return fabric
