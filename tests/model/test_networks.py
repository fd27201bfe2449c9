"""Networks: outputs at three grains, no information between streams without guidance, guidance starts at 0."""

from __future__ import annotations

import copy
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from mgst_data.core.errors import UsageError
from mgst_model.networks import NetworkConfig, build_network
from mgst_model.networks.heads import pool_tubes
from mgst_model.networks.network_config import Fusion, Guidance
from mgst_model.networks.temporal import TemporalStream

BACKBONES = ("test_convnext", "test_efficientnet", "test_vit")
WAYS = get_args(Guidance)


@pytest.fixture(autouse=True)
def _seeded():
    """Seeds torch's default generator, which networks draw their weights from, and restores it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def tiny(*, opened: bool = True, **changes: object) -> nn.Module:
    """Builds a network that runs in milliseconds; ``opened`` changes every parameter, so that no gate is 0."""
    options = {
        "backbone": "test_convnext",
        "dim": 16,
        "heads": 2,
        "blocks": 3,
        "embedding_dim": 8,
        "drop_path_rate": 0.0,
    }
    network = build_network(NetworkConfig(pretrained="random", **(options | changes)))
    return opened_up(network).eval() if opened else network.eval()


def opened_up(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return network


def clip(b: int = 2, t: int = 3, side: int = 64, seed: int = 1) -> Tensor:
    return torch.rand(b, t, 3, side, side, generator=torch.Generator().manual_seed(seed))


def assert_same(output: tuple, expected: tuple, tolerance: float = 1e-4) -> None:
    for name, ours, theirs in zip(expected._fields, output, expected, strict=True):
        assert (ours is None) == (theirs is None), name
        if ours is not None:
            torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


def patch_of(frames: Tensor, i: int, j: int) -> Tensor:
    return frames[..., 16 * i : 16 * (i + 1), 16 * j : 16 * (j + 1)]


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("t", [1, 4])
def test_the_output_has_the_three_grains(device, backbone, t):
    output = tiny(backbone=backbone).to(device)(clip(t=t).to(device))
    assert output.logit.shape == (2,)
    assert output.frame_logits.shape == (2, t)
    assert output.embedding.shape == (2, t, 8)
    torch.testing.assert_close(output.logit, output.frame_logits.mean(dim=1))
    torch.testing.assert_close(output.embedding.norm(dim=-1), torch.ones(2, t, device=device))
    assert output.patch_logits is None if t == 1 else output.patch_logits.shape == (2, t - 1, 4, 4)


@pytest.mark.parametrize(("side", "grid"), [(160, 10), (224, 14)])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_grid_of_patches_follows_the_size_of_the_frames(backbone, side, grid):
    assert tiny(backbone=backbone)(clip(1, 2, side)).patch_logits.shape == (1, 1, grid, grid)


def test_patches_of_14_pixels_guide_tubes_of_16():
    network = tiny(backbone="vit_tiny_patch16_224").eval()
    assert network(clip(1, 2, 64)).patch_logits.shape == (1, 1, 4, 4)


def test_a_frame_size_that_is_no_multiple_of_a_patch_is_rejected():
    with pytest.raises(ValueError, match="multiples of 16, got 100 and 100"):
        tiny()(clip(side=100))


@pytest.mark.parametrize(
    ("streams", "embedded", "patched"), [("both", True, True), ("spatial", True, False), ("temporal", False, True)]
)
def test_a_single_stream_gives_its_own_outputs_only(streams, embedded, patched):
    network = tiny(streams=streams)
    output = network(clip())
    assert (output.embedding is not None) == embedded
    assert (output.patch_logits is not None) == patched
    assert (network.backbone is not None) == embedded


@pytest.mark.parametrize(
    "options",
    [{}, {"streams": "spatial"}, {"streams": "temporal"}, {"fusion": "scores"}, {"backbone": "test_vit"}],
    ids=str,
)
def test_segments_of_a_batch_do_not_affect_each_other(device, options):
    network, frames = tiny(**options).to(device), clip().to(device)
    alone = [network(frames[i : i + 1]) for i in range(2)]
    assert (alone[0].logit - alone[1].logit).abs() > 1e-5
    pairs = [None if a is None else torch.cat((a, b)) for a, b in zip(*alone, strict=True)]
    assert_same(network(frames), type(alone[0])(*pairs), 1e-3)


def test_frames_stay_with_their_segment_and_keep_their_order():
    """Without operations over time, permuted frames give a permuted output."""
    network = tiny(streams="spatial", opened=False)
    frames, order = clip(t=4), torch.tensor([2, 0, 3, 1])
    output, moved = network(frames), network(frames[:, order])
    torch.testing.assert_close(moved.frame_logits, output.frame_logits[:, order], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(moved.embedding, output.embedding[:, order], atol=1e-5, rtol=1e-4)
    assert (output.frame_logits[:, 0] - output.frame_logits[:, 1]).abs().min() > 1e-6


def test_the_network_depends_on_the_order_of_frames():
    network, frames = tiny(), clip(t=4)
    moved = network(frames[:, [2, 0, 3, 1]])
    assert (moved.logit - network(frames).logit).abs().max() > 1e-4


@pytest.mark.parametrize("options", [{}, {"backbone": "test_vit"}])
def test_a_still_segment_has_equal_outputs_in_every_frame(options):
    still = clip(t=1).expand(2, 4, 3, 64, 64)
    output = tiny(**options)(still)
    for values in (output.frame_logits, output.embedding, output.patch_logits):
        torch.testing.assert_close(values, values[:, :1].expand_as(values), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("fusion", get_args(Fusion))
def test_a_single_frame_is_scored_by_the_spatial_stream_alone(backbone, fusion):
    network = tiny(backbone=backbone, fusion=fusion)
    alone = tiny(backbone=backbone, streams="spatial")
    state = {name.replace("heads.both", "heads.spatial"): value for name, value in network.state_dict().items()}
    project = "segment_heads.spatial.project.weight"
    state[project] = state[project][:, : alone.state_dict()[project].shape[1]]
    unknown = alone.load_state_dict(state, strict=False)
    assert not unknown.missing_keys
    others = {"temporal", "guidance", "patch_head"} | ({"segment_heads"} if fusion == "scores" else set())
    assert {key.split(".")[0] for key in unknown.unexpected_keys} == others
    assert_same(network(clip(t=1)), alone(clip(t=1)))


def test_the_added_temporal_stream_has_no_initial_effect():
    """The output for a segment equals the output of the spatial stream for its single frames."""
    network, frames = tiny(opened=False), clip(t=4)
    singly = network(frames.flatten(0, 1)[:, None])
    together = network(frames)
    torch.testing.assert_close(together.frame_logits.flatten(), singly.frame_logits[:, 0], atol=1e-5, rtol=1e-4)


def test_logits_of_separately_trained_streams_are_added():
    network, frames = tiny(fusion="scores", opened=False), clip(t=4)
    alone = [tiny(streams=streams) for streams in ("spatial", "temporal")]
    with torch.no_grad():
        network.begin_with(*alone)
    spatial, temporal = (stream(frames) for stream in alone)
    expected = (spatial.logit + temporal.logit, spatial.frame_logits + temporal.frame_logits)
    assert_same(network(frames), type(spatial)(*expected, spatial.embedding, temporal.patch_logits), 1e-5)
    assert temporal.logit.abs().min() > 1e-3


def test_the_temporal_stream_does_not_depend_on_positions(device):
    network, frames = tiny(streams="temporal").to(device), clip().to(device)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(3))
    shuffled = torch.empty_like(frames)
    for new, old in enumerate(order.tolist()):
        patch_of(shuffled, new // 4, new % 4).copy_(patch_of(frames, old // 4, old % 4))
    output, moved = network(frames), network(shuffled)
    expected = output.patch_logits.flatten(2)[:, :, order].unflatten(2, (4, 4))
    torch.testing.assert_close(moved.patch_logits, expected, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(moved.frame_logits, output.frame_logits, atol=1e-4, rtol=1e-3)
    assert not torch.allclose(moved.patch_logits, output.patch_logits, atol=1e-3)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_pooling_weights_suspicious_patches(generator, step):
    """The first frame has no change of its own and uses the patch weights of the second frame."""
    tubes, logits = torch.rand(2, 4, 5, 4, 6, generator=generator), torch.zeros(2, 3, 4, 5)
    torch.testing.assert_close(pool_tubes(tubes, None), tubes.mean(dim=(1, 2)))
    torch.testing.assert_close(pool_tubes(tubes, logits), tubes.mean(dim=(1, 2)))
    logits[:, step, 2, 1] = 50
    found = pool_tubes(tubes, logits)
    suspected = [frame for frame in range(4) if max(frame - 1, 0) == step]
    torch.testing.assert_close(found[:, suspected], tubes[:, 2, 1, suspected])
    others = [frame for frame in range(4) if frame not in suspected]
    torch.testing.assert_close(found[:, others], tubes[:, :, :, others].mean(dim=(1, 2)))


def test_the_temporal_stream_is_sensitive_to_small_changes_from_the_start():
    """A flicker of 1/100 changes the first tokens by 1/10 of the change for new pictures, not by 1/100."""
    stream = TemporalStream(16, blocks=3, heads=2).requires_grad_(False)
    still = clip(1, 1).expand(1, 4, 3, 64, 64)
    flicker = still.clone()
    flicker[:, 2] += 0.01

    def moved(frames: Tensor) -> float:
        return float((stream.start(frames) - stream.start(still)).square().mean().sqrt())

    assert moved(flicker) > 0.1 * moved(clip(1, 4, seed=7))


def test_a_patch_logit_depends_on_its_own_pixels_only():
    network, frames = tiny(streams="temporal"), clip(1, 4)
    touched = frames.clone()
    patch_of(touched[:, 2], 1, 3).mul_(0.3)
    moved = (network(touched).patch_logits - network(frames).patch_logits).abs() > 1e-6
    assert moved[:, :, 1, 3].all()
    assert moved.sum() == 3


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("way", WAYS)
def test_guidance_has_no_initial_effect(backbone, way):
    guided = tiny(backbone=backbone, guidance=way, opened=False)
    plain = tiny(backbone=backbone, guidance="none", opened=False)
    missing = plain.load_state_dict(guided.state_dict(), strict=False)
    assert not missing.missing_keys
    assert all(key.startswith("guidance.") for key in missing.unexpected_keys)
    frames = clip()
    for ours, theirs in zip(guided(frames), plain(frames), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("way", WAYS)
def test_guidance_has_the_right_direction(backbone, way):
    """Embeddings depend on the weights of the temporal stream, or patch logits on the spatial one, only if guided."""
    network, frames = tiny(backbone=backbone, guidance=way), clip()
    before = network(frames)
    changed = copy.deepcopy(network)
    nn.init.normal_(changed.temporal.stem[0].bias, generator=torch.Generator().manual_seed(4))
    spatial_hears = not torch.equal(changed(frames).embedding, before.embedding)
    changed = copy.deepcopy(network)
    changed.spatial.mean += 0.3
    temporal_hears = not torch.equal(changed(frames).patch_logits, before.patch_logits)
    assert spatial_hears == (way in ("both", "temporal_to_spatial"))
    assert temporal_hears == (way in ("both", "spatial_to_temporal"))


def test_cross_attention_reaches_direct_neighbours_only():
    """Only after the middle stage, a token attends to the tubes at its place and next to it."""
    network = tiny(guidance="temporal_to_spatial", opened=False)
    asking = opened_up(network.guidance[1].ask_temporal)
    queries, context = torch.rand(1, 5, 5, 3, 48), torch.rand(1, 5, 5, 3, 16)
    other = context.clone()
    other[0, 1, 1, 2] += 1
    moved = (asking(queries, other) - asking(queries, context)).abs().amax(dim=-1)[0] > 1e-6
    assert moved[:3, :3].all()
    assert moved.sum() == 27


def _gradients(network: nn.Module) -> dict[str, Tensor | None]:
    # In evaluation mode, because the batch norm statistics of two frames of 2 x 2 cells are degenerate.
    output = network(clip(t=4))
    weighted = [v * torch.randn(v.shape, generator=torch.Generator().manual_seed(5)) for v in output if v is not None]
    sum(v.sum() for v in weighted).backward()
    return {name: p.grad for name, p in network.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    "options",
    [
        *({"backbone": backbone} for backbone in BACKBONES),
        *({"guidance": way} for way in WAYS),
        {"streams": "spatial"},
        {"streams": "temporal"},
        {"fusion": "scores"},
        {"backbone": "test_vit", "adapter_dim": 4},
        {"backbone": "test_convnext", "adapter_dim": 4},
        {"kind": "image"},
    ],
    ids=str,
)
def test_every_parameter_has_a_gradient(options):
    closed = _gradients(tiny(opened=False, **options))
    assert not [name for name, gradient in closed.items() if gradient is None]
    opened = _gradients(tiny(**options))
    assert not [name for name, gradient in opened.items() if gradient is None or not gradient.any()]


def test_training_skips_blocks_and_evaluation_does_not():
    network, frames = tiny(drop_path_rate=0.9), clip(8, 2)
    assert_same(network(frames), network(frames), 0.0)
    assert not torch.equal(network.train()(frames).patch_logits, network(frames).patch_logits)


@pytest.mark.parametrize("backbone", ["test_convnext", "test_vit"])
def test_styles_are_mixed_in_training_only_and_not_in_the_temporal_stream(device, backbone):
    network, frames = tiny(style_mix_p=1.0, guidance="none", backbone=backbone).to(device), clip(8, 2).to(device)
    plain = network(frames)
    mixed = network.train()(frames)
    assert not torch.allclose(mixed.embedding, plain.embedding, atol=1e-2)
    torch.testing.assert_close(mixed.patch_logits, plain.patch_logits, atol=1e-5, rtol=1e-4)
    assert_same(network.eval()(frames), plain, 0.0)


@pytest.mark.parametrize("options", [{}, {"backbone": "test_vit", "adapter_dim": 4}, {"kind": "image"}])
def test_half_precision_gives_full_precision_outputs(device, options):
    network, frames = tiny(**options).to(device), clip().to(device)
    exact = network(frames)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        output = network(frames)
    assert all(v is None or v.dtype == torch.float32 for v in output)
    torch.testing.assert_close(output.logit, exact.logit, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("options", [{}, {"fusion": "scores"}, {"backbone": "test_vit"}, {"kind": "image"}], ids=str)
def test_an_exported_network_gives_the_same_output(options):
    network, frames = tiny(**options), clip()
    exported = torch.export.export(network, (frames,), strict=False)
    assert_same(exported.module()(clip(seed=7)), network(clip(seed=7)))


def test_the_image_network_scores_every_frame_separately(device):
    network, frames = tiny(kind="image").to(device), clip(t=4).to(device)
    output = network(frames)
    assert output.embedding is None
    assert output.patch_logits is None
    assert isinstance(network.backbone, nn.Module)
    torch.testing.assert_close(output.logit, output.frame_logits.mean(dim=1))
    rows = network(frames.flatten(0, 1)[:, None])
    torch.testing.assert_close(rows.logit, output.frame_logits.flatten(), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "low", "high"),
    [
        ({}, 38, 42),
        ({"backbone": "tf_efficientnet_lite0", "dim": 96, "blocks": 4}, 3.5, 5),
        ({"backbone": "vit_base_patch16_clip_224.openai", "adapter_dim": 64}, 12, 16),
        ({"kind": "image"}, 27, 29),
    ],
    ids=["default", "small", "clip", "image"],
)
def test_presets_have_the_documented_number_of_parameters(options, low, high):
    with torch.device("meta"):
        network = build_network(NetworkConfig(pretrained="random", **options))
    millions = sum(p.numel() for p in network.parameters() if p.requires_grad) / 1e6
    assert low < millions < high


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": ""}, "backbone must be a text that is not empty"),
        ({"dim": 0}, "dim must be at least 1"),
        ({"dim": 36, "heads": 8}, "multiple of 4 and of heads"),
        ({"blocks": 2}, "at least 3"),
        ({"mlp_ratio": 0}, "above 0"),
        ({"drop_path_rate": 1.0}, r"\[0, 1\)"),
        ({"adapter_dim": -1}, "adapter_dim must be at least 0"),
        ({"style_mix_p": 1.1}, r"\[0, 1\]"),
        ({"kind": "image", "adapter_dim": 8}, "adapter_dim needs kind 'parallel'"),
        ({"kind": "image", "style_mix_p": 0.5}, "style_mix_p needs kind 'parallel'"),
    ],
)
def test_an_invalid_configuration_is_rejected(options, message):
    with pytest.raises(ValueError, match=message):
        NetworkConfig(**options)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("kind", "video", "kind must be one of parallel, image, got 'video'"),
        ("streams", "none", "streams must be one of both"),
        ("guidance", "one", "guidance must be one of both"),
    ],
)
def test_an_unknown_choice_is_rejected_with_the_known_ones(name, value, message):
    config = NetworkConfig()
    # Set without the type checker, which runs in tests and not for users.
    object.__setattr__(config, name, value)
    with pytest.raises(ValueError, match=message):
        config.__post_init__()


@pytest.mark.parametrize("kind", ["parallel", "image"])
def test_an_unknown_backbone_is_rejected_with_similar_names(kind):
    with pytest.raises(UsageError, match="unknown backbone 'test_convnexxt'") as caught:
        build_network(NetworkConfig(kind=kind, backbone="test_convnexxt", pretrained="random"))
    assert "test_convnext" in caught.value.hint
