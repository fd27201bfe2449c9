"""Optimisation: the learning rate of every step, parameter groups, and sharpness-aware minimisation."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mgst_model.networks import NetworkConfig, build_network
from mgst_model.train import TrainConfig
from mgst_model.train.optim import climbed, learning_rate, make_optimizer, parameter_groups, set_learning_rate


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def network(**changes):
    options = {"backbone": "test_efficientnet.r160_in1k", "dim": 16, "heads": 2, "blocks": 3, "embedding_dim": 8}
    return build_network(NetworkConfig(pretrained="random", **(options | changes)))


def test_the_rate_rises_as_a_line_and_falls_as_a_cosine():
    rates = [learning_rate(step, steps=14, warmup=4, highest=0.8) for step in range(14)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])
    assert rates[9] == pytest.approx(0.8 * (0.01 + 0.99 * 0.5))
    assert learning_rate(14, steps=14, warmup=4, highest=0.8) == pytest.approx(0.008)


def test_the_rate_can_fall_as_a_line_over_the_last_quarter():
    rates = [
        learning_rate(step, steps=100, warmup=0, highest=1.0, decay="linear", decay_start=0.75) for step in range(101)
    ]
    assert rates[:76] == [1.0] * 76
    assert rates[75:] == pytest.approx([1 - 0.99 * step / 25 for step in range(26)])


@given(
    steps=st.integers(1, 200),
    warmup=st.integers(0, 250),
    highest=st.floats(1e-6, 10),
    decay=st.sampled_from(["cosine", "linear"]),
    decay_start=st.floats(0, 1),
)
def test_the_rate_has_one_maximum_and_is_never_0(steps, warmup, highest, decay, decay_start):
    options = {"warmup": warmup, "highest": highest, "decay": decay, "decay_start": decay_start}
    rates = [learning_rate(step, steps=steps, **options) for step in range(steps)]
    top = min(warmup, steps)
    assert all(0 < rate <= highest * (1 + 1e-9) for rate in rates)
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    if warmup < steps:
        assert max(rates) == pytest.approx(highest)


def test_backbone_and_guidance_have_their_own_rates_and_biases_do_not_decay():
    trained = network()
    groups = parameter_groups(
        trained, TrainConfig(lr=0.01, backbone_lr_scale=0.25, guidance_lr_scale=4.0, weight_decay=0.1)
    )
    parts = ((trained.backbone, 0.25), (trained.guidance, 4.0))
    scales = {id(parameter): scale for part, scale in parts for parameter in part.parameters()}
    seen = set()
    for group in groups:
        assert group["lr"] == 0.01 * group["scale"]
        for parameter in group["params"]:
            seen.add(id(parameter))
            assert group["scale"] == scales.get(id(parameter), 1.0)
            assert group["weight_decay"] == (0.1 if parameter.ndim > 1 else 0.0)
    assert sum(len(group["params"]) for group in groups) == len(seen)
    assert seen == {id(parameter) for parameter in trained.parameters()}
    assert {(group["scale"], group["weight_decay"]) for group in groups} == {
        (0.25, 0.1), (0.25, 0.0), (1.0, 0.1), (1.0, 0.0), (4.0, 0.1), (4.0, 0.0),
    }  # fmt: skip


def test_every_group_gets_the_rate_times_its_factor():
    optimizer = torch.optim.AdamW(parameter_groups(network(), TrainConfig(backbone_lr_scale=0.25)), lr=1.0)
    set_learning_rate(optimizer, 0.4)
    assert {(group["scale"], group["lr"]) for group in optimizer.param_groups} == {(0.25, 0.1), (1.0, 0.4)}


def test_sgd_moves_along_the_gradient_with_momentum():
    layer = nn.Linear(2, 1, bias=False)
    optimizer = make_optimizer(layer, TrainConfig(optimizer="sgd", momentum=0.5, lr=0.1, weight_decay=0.0))
    places = [layer.weight.detach().clone()]
    for _ in range(2):
        optimizer.zero_grad()
        layer.weight.sum().backward()
        optimizer.step()
        places.append(layer.weight.detach().clone())
    torch.testing.assert_close(places[1], places[0] - 0.1)
    torch.testing.assert_close(places[2], places[1] - 0.1 * 1.5)


def test_frozen_weights_and_missing_streams_have_no_group():
    trained = network(adapter_dim=4)
    groups = parameter_groups(trained, TrainConfig())
    members = {id(parameter) for group in groups for parameter in group["params"]}
    assert members == {id(parameter) for parameter in trained.parameters() if parameter.requires_grad}
    assert not members & {id(parameter) for parameter in trained.backbone.parameters()}
    groups = parameter_groups(network(streams="temporal"), TrainConfig(backbone_lr_scale=0.25))
    assert {group["scale"] for group in groups} == {1.0}


def bowl():
    """Returns a layer with a norm after it, and its loss on a fixed batch."""
    layers = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    rows = torch.randn(16, 6)
    return layers, lambda: layers(rows).sub(1).square().mean()


@pytest.mark.parametrize("radius", [0.01, 0.1])
def test_climbing_increases_the_loss_and_restores_the_weights(radius):
    layers, loss = bowl()
    here = loss()
    here.backward()
    before = copy.deepcopy(layers.state_dict())
    parameters = list(layers.parameters())
    gradients = [parameter.grad.clone() for parameter in parameters]
    with climbed(layers, radius):
        assert all(parameter.grad is None for parameter in parameters)
        way = [parameter.detach() - before[name] for name, parameter in layers.named_parameters()]
        there = loss()
        there.backward()
    steps, slope = torch.cat([step.flatten() for step in way]), torch.cat([g.flatten() for g in gradients])
    assert float(steps.norm()) == pytest.approx(radius, rel=1e-3)
    torch.testing.assert_close(steps / radius, slope / slope.norm(), atol=1e-4, rtol=0)
    assert there > here
    assert float((there - here).detach()) == pytest.approx(radius * float(slope.norm()), rel=0.5)
    for name, value in layers.state_dict().items():
        # The second pass counts the batch, but does not change the running means.
        assert torch.equal(value, before[name]) or name.endswith("num_batches_tracked"), name
    assert all(not torch.equal(p.grad, g) for p, g in zip(parameters[:1], gradients, strict=False))
    assert layers[1].momentum == 0.1


def test_climbing_restores_the_weights_after_an_error():
    layers, loss = bowl()
    loss().backward()
    before = copy.deepcopy(layers.state_dict())
    with pytest.raises(KeyError), climbed(layers, 1.0):
        raise KeyError
    assert all(torch.equal(value, before[name]) for name, value in layers.state_dict().items())


def test_a_zero_gradient_does_not_move_the_weights():
    layers = nn.Linear(2, 1)
    (layers.weight.sum() * 0 + layers.bias.sum() * 0).backward()
    before = layers.weight.detach().clone()
    with climbed(layers, 1.0):
        assert torch.equal(layers.weight, before)
