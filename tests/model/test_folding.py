"""Folded batch norms: fewer operations, the same output."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mgst_model.networks import NetworkConfig, build_network
from mgst_model.networks.folding import fold_batch_norms

KINDS = [
    {"backbone": "tf_efficientnet_lite0"},
    {"backbone": "tf_efficientnet_lite0", "kind": "image"},
    {"backbone": "test_efficientnet"},
    {"backbone": "efficientnet_b0", "streams": "spatial"},
    {"backbone": "test_resnet"},
    {"backbone": "test_vit"},
]


def with_random_norms(network: nn.Module) -> nn.Module:
    """Sets random statistics and weights, so that batch norms are not identities."""
    generator = torch.Generator().manual_seed(1)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for values in (norm.running_mean, norm.bias):
                values.data.uniform_(-0.2, 0.2, generator=generator)
            for values in (norm.running_var, norm.weight):
                values.data.uniform_(0.5, 2.0, generator=generator)
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("options", KINDS, ids=lambda options: " ".join(options.values()))
@torch.no_grad()
def test_folding_does_not_change_the_output(options):
    base = {"pretrained": "random", "dim": 16, "heads": 2, "blocks": 3, "embedding_dim": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = with_random_norms(build_network(NetworkConfig(**base, **options)))
    frames = torch.rand(1, 2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    before, count = network(frames), norms(network)
    after = fold_batch_norms(network)(frames)
    for ours, theirs in zip(after, before, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)
    assert before.frame_logits.abs().min() > 0
    assert norms(network) == (count if options["backbone"] == "test_resnet" else 0)


def test_a_network_in_training_mode_is_rejected():
    config = NetworkConfig(kind="image", backbone="test_efficientnet", pretrained="random")
    with torch.random.fork_rng(devices=[]):
        network = build_network(config)
    with pytest.raises(ValueError, match="in training"):
        fold_batch_norms(network.train())
