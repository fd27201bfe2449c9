"""Optimisation: parameter groups, the learning rate of a step, sharpness-aware minimisation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mgst_model.train.experiment import Decay, TrainConfig

# Final learning rate as a share of the highest one.
FINAL = 0.01


def parameter_groups(network: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Returns the parameter groups of the optimizer. Each group has its learning-rate factor as ``scale``.

    Backbone and guidance have their own factors. Biases and norms have no weight decay.

    Args:
        network: Network with its trainable parameters.
        config: Options with the learning rate, the factors and the weight decay.
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


def make_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Builds the optimizer of a training.

    Args:
        network: Network with its trainable parameters.
        config: Options of the optimisation.
    """
    groups = parameter_groups(network, config)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)
    return torch.optim.AdamW(groups, lr=config.lr)


def learning_rate(
    step: int, *, steps: int, warmup: int, highest: float, decay: Decay = "cosine", decay_start: float = 0.0
) -> float:
    """Returns the learning rate of a step: a linear warm-up to ``highest``, a constant part, and a fall to 1 % of it.

    Args:
        step: Number of the step, from 0.
        steps: Number of steps of the training.
        warmup: Number of warm-up steps. The rate of the first step is above 0.
        highest: Learning rate at the end of the warm-up.
        decay: The fall follows half a "cosine", or a line ("linear").
        decay_start: Share of the steps after which the rate falls, but not before the end of the warm-up.
    """
    if step < warmup:
        return highest * (step + 1) / warmup
    start = max(warmup, round(decay_start * steps))
    along = min(1.0, max(0, step - start) / max(1, steps - start))
    left = 1 - along if decay == "linear" else (1 + math.cos(math.pi * along)) / 2
    return highest * (FINAL + (1 - FINAL) * left)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate of every group to ``rate`` times its factor.

    Args:
        optimizer: Optimizer with the groups of :func:`parameter_groups`.
        rate: Learning rate for a factor of 1.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


@contextmanager
def climbed(network: nn.Module, radius: float) -> Iterator[None]:
    """Moves the weights, inside the context, to the nearby point with the highest loss. Gradients are reset there.

    This is the first half of sharpness-aware minimisation [Foret et al., ICLR 2021]: w + radius * g / |g|. Running
    means of batch norms keep the values of the first pass. At the end, the weights return to their values from before.

    Args:
        network: Network with the gradients g of the first pass.
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
