"""Devices and processes: one process, several started from here, or those of ``torchrun``; the same code for all."""

from __future__ import annotations

import os

from lightning.fabric import Fabric
from lightning.fabric.strategies.ddp import DDPStrategy
from lightning.fabric.strategies.strategy import Strategy

from mgst_model.train.config import Experiment


def make_fabric(experiment: Experiment, *, device: str = "auto", devices: int = 1) -> Fabric:
    """Makes and launches the fabric that a training runs on.

    Args:
        experiment: Tells the precision, and whether each parameter has a part in the loss.
        device: "auto", "cpu" or "cuda".
        devices: Processes on this machine; under ``torchrun`` it is torchrun that knows.
    """
    local, nodes = int(os.environ.get("LOCAL_WORLD_SIZE", devices)), int(os.environ.get("GROUP_WORLD_SIZE", 1))
    strategy: str | Strategy = "auto"
    if local * nodes > 1:
        # Single frames have nothing to say of patches.
        unused = not (experiment.loss.patch and experiment.loss.frame) or experiment.data.frames == 1
        strategy = DDPStrategy(find_unused_parameters=unused)
    fabric = Fabric(
        accelerator=device, devices=local, num_nodes=nodes, precision=experiment.train.precision, strategy=strategy
    )
    fabric.launch()
    return fabric
