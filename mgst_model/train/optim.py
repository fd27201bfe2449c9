"""How weights are changed: groups of parameters, the learning rate of a step, sharpness-aware minimisation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mgst_model.train.experiment import TrainConfig

# Share of the highest learning rate that is left at the end.
FINAL = 0.01


def parameter_groups(network: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Groups for AdamW: backbone and guidance learn at rates of their own; biases and norms do not decay.

    Each group has its ``scale`` of the learning rate.
    """
    scales: dict[int, float] = {}
    for name, factor in (("backbone", config.backbone_lr_scale), ("guidance", config.guidance_lr_scale)):
        part = getattr(network, name, None)
        scales |= {id(parameter): factor for parameter in part.parameters()} if isinstance(part, nn.Module) else {}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if parameter.requires_grad:
            scale = scales.get(id(parameter), 1.0)
            decay = config.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((scale, decay), []).append(parameter)
    return [
        {"params": members, "scale": scale, "weight_decay": decay, "lr": config.lr * scale}
        for (scale, decay), members in groups.items()
    ]


def learning_rate(step: int, *, steps: int, warmup: int, highest: float) -> float:
    """A line up to ``highest`` over ``warmup`` steps, then half a cosine down to 1 % of it.

    Args:
        step: From 0.
        steps: Of the whole training.
        warmup: Steps of the line; the first step is not 0.
        highest: Reached at its end.
    """
    if step < warmup:
        return highest * (step + 1) / warmup
    along = min(1.0, (step - warmup) / max(1, steps - warmup))
    return highest * (FINAL + (1 - FINAL) * (1 + math.cos(math.pi * along)) / 2)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Gives every group its share."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


@contextmanager
def climbed(network: nn.Module, radius: float) -> Iterator[None]:
    """Within, the weights stand where the loss is worst in the neighbourhood; gradients start anew there.

    The first half of sharpness-aware minimisation [Foret et al., ICLR 2021]: w + radius * g / |g|. Running means of
    batch norms stay as the first pass left them.

    Args:
        network: With the gradients g of the first pass.
        radius: rho of the paper.
    """
    moved = [parameter for parameter in network.parameters() if parameter.grad is not None]
    gradients = [parameter.grad for parameter in moved if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    steps = [gradient * (radius / norm.clamp_min(1e-12)) for gradient in gradients]
    before: list[Tensor] = [parameter.detach().clone() for parameter in moved]
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [module.momentum for module in norms]
    with torch.no_grad():
        for parameter, step in zip(moved, steps, strict=True):
            parameter.add_(step)
            parameter.grad = None
    for module in norms:
        module.momentum = 0.0
    try:
        yield
    finally:
        for module, momentum in zip(norms, momenta, strict=True):
            module.momentum = momentum
        with torch.no_grad():
            for parameter, value in zip(moved, before, strict=True):
                parameter.copy_(value)
