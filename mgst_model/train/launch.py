"""Devices and processes: one process, several started from here, or those of ``torchrun``; the same code for all."""

from __future__ import annotations

import os

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies.ddp import DDPStrategy
from lightning.fabric.strategies.strategy import Strategy

from mgst_data.core import UsageError
from mgst_model.train.experiment import Experiment, TrainConfig


def make_fabric(config: Experiment | TrainConfig, *, device: str = "auto", devices: int = 1) -> Fabric:
    """Makes and launches the fabric that a training runs on.

    Args:
        config: Tells the precision; that of a whole experiment, also whether each parameter has a part in the loss.
        device: "auto", "cpu" or "cuda".
        devices: Processes on this machine; under ``torchrun`` it is torchrun that knows.

    Raises:
        UsageError: if there are not so many devices, or they do not compute in this precision.
    """
    precision = (config.train if isinstance(config, Experiment) else config).precision
    local, nodes = int(os.environ.get("LOCAL_WORLD_SIZE", devices)), int(os.environ.get("GROUP_WORLD_SIZE", 1))
    cuda = torch.cuda.device_count() if device != "cpu" else 0
    if device == "cuda" and local > cuda:
        what = f"there are {cuda} CUDA devices, not {local}" if cuda else "no CUDA device is available"
        raise UsageError(what, hint="lower --devices, or take --device cpu")
    if precision == "16-mixed" and not cuda:
        raise UsageError("train.precision 16-mixed needs a GPU", hint="use bf16-mixed or 32-true on a CPU")
    strategy: str | Strategy = "auto"
    if local * nodes > 1:
        # Single frames have nothing to say of patches; of a network of one's own, nothing is known.
        unused = (
            not isinstance(config, Experiment)
            or not (config.loss.patch_weight and config.loss.frame_weight)
            or config.data.frames == 1
        )
        # Running means are shared by the training, after every step.
        strategy = DDPStrategy(find_unused_parameters=unused, broadcast_buffers=False)
    fabric = Fabric(accelerator=device, devices=local, num_nodes=nodes, precision=precision, strategy=strategy)
    fabric.launch()
    return fabric
