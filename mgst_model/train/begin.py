"""The initial network of a training."""

from __future__ import annotations

from dataclasses import asdict, replace

import torch
from torch import nn

from mgst_data.core import UsageError, seed_for
from mgst_model.networks import NetworkConfig, build_network
from mgst_model.networks.checkpoint import load_network
from mgst_model.networks.parallel import STAGES, ParallelNetwork
from mgst_model.train.experiment import Experiment

_HINT = "set train.init_from to weights of the same network, or of its streams, each trained alone"


def begin(experiment: Experiment) -> nn.Module:
    """Builds the initial network: with weights of earlier trainings, or as its configuration says.

    Args:
        experiment: Options of the training.

    Raises:
        UsageError: if the weights of an earlier training are missing or have another shape.
    """
    if not experiment.train.init_from:
        return _drawn(experiment.network, experiment.train.seed)
    asked = replace(experiment.network, pretrained="random")
    begun = {where: load_network(where) for where in experiment.train.init_from}
    first = next(iter(begun.values()))
    network, streams = _drawn(asked, experiment.train.seed), dict[str, ParallelNetwork]()
    if len(begun) == 1 and _shape(first.config) == _shape(asked):
        network.load_state_dict(first.network.state_dict())
        return network
    for where, given in begun.items():
        name = given.config.streams
        is_one_of_both = asked.streams == "both" and name != "both" and name not in streams
        alike = _shape(given.config) == _shape(replace(asked, streams=name))
        if not is_one_of_both or not alike or not isinstance(given.network, ParallelNetwork):
            raise UsageError(_mismatch(given.config, asked), where=where, hint=_HINT)
        streams[name] = given.network
    if isinstance(network, ParallelNetwork):
        network.begin_with(*streams.values())
    return network


def _mismatch(given: NetworkConfig, asked: NetworkConfig) -> str:
    """Describes how a network differs from the one that should start with its weights."""
    was, wanted = asdict(_shape(given)), asdict(_shape(asked))
    changes = [f"network.{name}: {was[name]} -> {wanted[name]}" for name in was if was[name] != wanted[name]]
    return f"the network has another shape: {'; '.join(changes) or 'the same stream is given twice'}"


def _shape(config: NetworkConfig) -> NetworkConfig:
    """Returns a configuration in which all options without weights have a fixed value.

    These options are the mixing of styles and the skipping of blocks; for a single stream, guidance and fusion; for the
    spatial stream alone, the number of temporal blocks.
    """
    config = replace(config, style_mix_p=0.0, drop_path_rate=0.0)
    if config.streams == "both":
        return config
    config = replace(config, guidance="none", fusion="features")
    return replace(config, blocks=STAGES) if config.streams == "spatial" else config


def _drawn(config: NetworkConfig, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(seed, "weights"))
        return build_network(config)
