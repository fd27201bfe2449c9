"""Detectors by name: saved to folders, uploaded to a hub on this machine, downloaded, and found without a network."""

from __future__ import annotations

import json
import socket
import time

import pytest
import torch
from hub_server import REPO, Hub, serve

from mgst_data.core import UsageError
from mgst_data.core.errors import MgstWarning
from mgst_model.evaluate.cache import load_detectors
from mgst_model.networks import NetworkConfig, build_network, load_network, read_card, save_network
from mgst_model.networks.hub import HubName
from mgst_model.predict import Detector, load_detector

INFO = {
    "shards": "/home/ann/shards",
    "sources": {"clips": {"shards": "/home/ann/clips", "weight": 1.0}},
    "trained_on": {"real_videos": {"ffpp": 720}, "people": 720},
    "validation_auc": 0.875,
    "experiment": {
        "network": {"pretrained": "/home/ann/start.safetensors", "backbone": "test_efficientnet"},
        "train": {"lr": 0.001, "init_from": ["/home/ann/runs/a/best"]},
    },
    "calibration": {"videos": {"real": [0.1, 0.2, 0.3, 0.9], "people": 4}},
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    config = NetworkConfig(kind="image", backbone="test_efficientnet", pretrained="random")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(config)
        for module in network.modules():  # batch norms that folding changes
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_()
        return save_network(tmp_path_factory.mktemp("hub") / "best", network, config, frames=2, size=32, info=INFO)


def opened(weights, **options):
    return load_detector(weights, device="cpu", precision="fp32", faces=lambda _: iter(()), **options)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub without files, that huggingface_hub asks, with an empty cache."""
    made = Hub()
    with serve(made) as address:
        _use(monkeypatch, address, tmp_path)
        yield made


def _use(monkeypatch, address, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")


@pytest.fixture
def closed(monkeypatch, tmp_path):
    """A hub whose port is closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    _use(monkeypatch, f"http://127.0.0.1:{port}", tmp_path)


def test_a_saved_detector_has_the_same_weights_and_no_paths_of_the_machine(weights, tmp_path):
    folder = opened(weights).save_pretrained(tmp_path / "shared", repo="ann/det", licence="apache-2.0")
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "model.json", "README.md"}
    # The detector has folded its batch norms; the file has the weights of the training.
    assert (folder / "model.safetensors").read_bytes() == weights.read_bytes()
    frames = torch.rand(1, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before, after = (load_network(place).network(frames).logit for place in (weights, folder))
    assert torch.equal(before, after)
    card = read_card(folder)
    assert card.calibration() == read_card(weights).calibration()
    for file in ("model.json", "README.md"):
        assert "/home/ann" not in (folder / file).read_text()
    assert card.info["experiment"]["train"] == {"lr": 0.001, "init_from": ["best"]}


def test_the_page_says_what_is_known_and_what_is_not(weights, tmp_path):
    folder = opened(weights).save_pretrained(tmp_path / "a", repo="ann/det", licence="apache-2.0")
    page = (folder / "README.md").read_text()
    head = page.split("---")[1]
    assert "license: apache-2.0" in head
    assert "library_name: mgst" in head
    for known in ("| ffpp | 720 |", "720 people", "AUC 0.875", "`lr=0.001`", "hf://ann/det", "32 x 32"):
        assert known in page
    bare = save_network(tmp_path / "bare", load_network(weights).network, read_card(weights).config, frames=2, size=32)
    page = (opened(bare).save_pretrained(tmp_path / "b") / "README.md").read_text()
    assert "Not known: the card of the weights has no list" in page
    assert "Not stated" in page
    assert "license" not in page.split("---")[1]


def test_an_uploaded_detector_is_downloaded_by_name(weights, hub, tmp_path):
    commit = opened(weights).push_to_hub(REPO, private=True, licence="mit", token="hf_x")
    assert commit == f"{hub.address}/{REPO}/commit/{hub.commits['main']}"
    assert [made.get("visibility", made.get("private")) for made in hub.made] in (["private"], [True])
    assert set(hub.revisions["main"]) == {"model.safetensors", "model.json", "README.md"}
    found = Detector.from_pretrained(REPO, device="cpu", precision="fp32", faces=lambda _: iter(()))
    assert found.loaded.weights.read_bytes() == weights.read_bytes()
    (named,) = load_detectors([f"hf://{REPO}"])
    assert named.name == "detector"


def test_a_revision_is_chosen_and_a_commit_is_not_asked_for_again(weights, hub, tmp_path):
    detector = opened(weights)
    detector.push_to_hub(REPO, token="hf_x")
    hub.revisions["v1.0"] = hub.revisions["main"]
    hub.revisions["main"] = {"README.md": b"empty"}
    commit = hub.commits["v1.0"]
    for revision in ("v1.0", commit):
        found = Detector.from_pretrained(REPO, revision=revision, device="cpu", faces=lambda _: iter(()))
        assert found.loaded.weights.parent.name == commit
    hub.calls.clear()
    assert read_card(f"hf://{REPO}@{commit}").size == 32
    assert hub.calls == []
    with pytest.raises(UsageError, match=r"has no model\.safetensors, so it is no detector of mgst"):
        Detector.from_pretrained(f"hf://{REPO}")
    with pytest.raises(UsageError, match="no such branch, tag or commit: v9"):
        Detector.from_pretrained(REPO, revision="v9")
    with pytest.raises(UsageError, match="hf://ann/nothing: no such repository, or a private one"):
        Detector.from_pretrained("ann/nothing")


def test_an_earlier_download_is_used_without_a_network(weights, hub, monkeypatch):
    opened(weights).push_to_hub(REPO, token="hf_x")
    read_card(f"hf://{REPO}")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{port}")
    with pytest.warns(MgstWarning, match="an earlier download is used"):
        assert read_card(f"hf://{REPO}").size == 32
    assert Detector.from_pretrained(REPO, offline=True, device="cpu", faces=lambda _: iter(())).loaded.size == 32


def test_without_a_network_the_answer_comes_at_once_and_says_what_to_do(closed, weights):
    begin = time.perf_counter()
    with pytest.raises(UsageError, match="the hub is unreachable") as caught:
        Detector.from_pretrained("ann/det")
    assert caught.value.reason == "no_hub"
    assert "--weights FOLDER" in caught.value.hint
    with pytest.raises(UsageError, match="the hub is unreachable") as caught:
        opened(weights).push_to_hub("ann/det")
    assert "save_pretrained" in caught.value.hint
    assert time.perf_counter() - begin < 10  # 2 s, and room for a busy machine; without the limit it is minutes


def test_a_hub_that_never_answers_counts_as_unreachable(monkeypatch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        _use(monkeypatch, f"http://127.0.0.1:{server.getsockname()[1]}", tmp_path)
        begin = time.perf_counter()
        with pytest.raises(UsageError, match="timed out"):
            read_card("hf://ann/det")
        assert time.perf_counter() - begin < 10  # 2 s, and room for a busy machine; without the limit it is minutes


def test_places_of_weights_are_told_apart(weights, tmp_path, closed):
    assert Detector.from_pretrained(weights.parent, device="cpu", faces=lambda _: iter(())).loaded.size == 32
    with pytest.raises(UsageError, match="no such file or folder"):
        Detector.from_pretrained("nowhere.safetensors")
    with pytest.raises(UsageError, match="has no revisions"):
        Detector.from_pretrained(weights, revision="v1")
    with pytest.raises(UsageError, match="not a name of a repository"):
        read_card("hf://only-a-user")
    assert str(HubName.of("hf:/ann/det@v1/x")) == "hf://ann/det@v1/x"


def test_weights_that_are_gone_cannot_be_saved(weights, tmp_path):
    moved = tmp_path / "a.safetensors"
    moved.write_bytes(weights.read_bytes())
    (tmp_path / "a.json").write_text(json.dumps(json.loads(weights.with_suffix(".json").read_text())))
    detector = opened(moved)
    moved.unlink()
    with pytest.raises(UsageError, match="cannot be read again"):
        detector.save_pretrained(tmp_path / "out")
