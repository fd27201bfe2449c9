"""Weights in files: saving and loading keeps the network, and other files are rejected with one line."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_state import Attack

from mgst_data.core import OutputError, UsageError
from mgst_model.networks import NetworkConfig, build_network
from mgst_model.networks.checkpoint import load_network, read_card, save_network
from mgst_model.networks.renamed import RENAMED

OPTIONS = {"backbone": "test_efficientnet.r160_in1k", "pretrained": "random", "dim": 16, "heads": 2, "blocks": 3}
VARIANTS = {
    "parallel": {},
    "convnext": {"backbone": "test_convnext", "guidance": "none"},
    "adapters": {"backbone": "test_vit", "adapter_dim": 4},
    "temporal": {"streams": "temporal"},
    "image": {"kind": "image"},
}


def built(name="parallel"):
    config = NetworkConfig(**{**OPTIONS, "embedding_dim": 8, **VARIANTS[name]})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = build_network(config)
        network.train()(torch.rand(2, 3, 3, 64, 64))  # changes the statistics of batch norms
    return config, network.eval()


@pytest.fixture
def saved(tmp_path):
    config, network = built()
    save_network(tmp_path / "best", network, config, frames=3, size=64, info={"auc": 0.5})
    return tmp_path / "best.safetensors"


def assert_refused(path, message):
    with pytest.raises(UsageError, match=message) as caught:
        load_network(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("name", VARIANTS)
def test_a_loaded_network_gives_the_same_output(tmp_path, name, device):
    config, network = built(name)
    written = save_network(tmp_path / "a.v1", network, config, frames=3, size=64, info={"auc": 0.5})
    assert written == tmp_path / "a.v1.safetensors"
    loaded = load_network(tmp_path / "a.v1", device)
    assert (loaded.frames, loaded.size, loaded.info) == (3, 64, {"auc": 0.5})
    assert not loaded.network.training
    frames = torch.rand(2, 3, 3, 64, 64, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.no_grad():
        for said, wanted in zip(loaded.network(frames), network.to(device)(frames), strict=True):
            assert (said is None) == (wanted is None)
            if said is not None:
                assert said.device.type == device.type
                assert torch.equal(said, wanted)


def test_a_network_is_found_by_each_file_name_and_by_folder(saved):
    weights = load_network(saved).network.state_dict()
    for path in (saved.with_suffix(".json"), saved.with_suffix(""), saved.parent, str(saved)):
        again = load_network(path).network.state_dict()
        assert all(torch.equal(again[name], value) for name, value in weights.items())


def test_a_card_with_earlier_option_names_is_read(tmp_path):
    config = NetworkConfig(**OPTIONS, embedding_dim=8, drop_path_rate=0.5, style_mix_p=0.25)
    with torch.random.fork_rng(devices=[]):
        network = build_network(config)
    path = save_network(tmp_path / "best", network, config, frames=3, size=64).with_suffix(".json")
    card = json.loads(path.read_text())
    for earlier, name in RENAMED.items():
        if earlier.startswith("network."):
            card["network"][earlier.partition(".")[2]] = card["network"].pop(name.partition(".")[2])
    path.write_text(json.dumps(card))
    assert load_network(path).config == config


@pytest.mark.parametrize("margin", [None, 0.125, 0, -0.1])
def test_a_card_keeps_the_margin_around_the_face(tmp_path, margin):
    config, network = built("image")
    path = save_network(tmp_path / "best", network, config, frames=3, size=64, face_margin=margin)
    assert load_network(path).face_margin == read_card(path).face_margin == margin


def test_a_card_of_an_earlier_version_has_no_margin(saved):
    path = saved.with_suffix(".json")
    card = json.loads(path.read_text())
    del card["face_margin"]
    path.write_text(json.dumps(card))
    assert load_network(saved).face_margin is None


def test_loading_does_not_depend_on_the_random_state_of_torch(saved):
    # A fixture of all tests checks that loading does not change the state of torch.
    first = load_network(saved).network.state_dict()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        before = torch.random.get_rng_state()
        second = load_network(saved).network.state_dict()
        assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(second[name], value) for name, value in first.items())


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin"])
def test_a_pickle_is_rejected_and_not_run(tmp_path, suffix):
    trace = tmp_path / "trace"
    path = tmp_path / f"weights{suffix}"
    torch.save({"state_dict": Attack(trace)}, path)
    assert_refused(path, "not a weights file of mgst .*never unpickled")
    assert not trace.exists()


def test_a_pickle_named_safetensors_is_rejected(saved, tmp_path):
    trace = tmp_path / "trace"
    saved.write_bytes(pickle.dumps(Attack(trace)))
    assert_refused(saved, "best.safetensors: damaged")
    torch.save({"x": Attack(trace)}, saved)
    assert_refused(saved, "best.safetensors: damaged")
    assert not trace.exists()


def test_the_card_cannot_name_other_weights(saved, tmp_path):
    trace = tmp_path / "trace"
    torch.save({"x": Attack(trace)}, tmp_path / "evil.pth")
    for source in (str(tmp_path / "evil.pth"), "hub", "package"):
        card = json.loads(saved.with_suffix(".json").read_text())
        card["network"]["pretrained"] = source
        saved.with_suffix(".json").write_text(json.dumps(card))
        assert load_network(saved).frames == 3
    assert not trace.exists()


@pytest.mark.parametrize("share", [0, 0.0001, 0.5, 0.999])
def test_truncated_weights_are_rejected(saved, share):
    saved.write_bytes(saved.read_bytes()[: int(share * saved.stat().st_size)])
    assert_refused(saved, "best.safetensors: damaged.*copy the file again, or train again")


def test_both_files_are_needed(saved, tmp_path):
    assert_refused(tmp_path / "nothing", "nothing: no such file or folder .*a pair of files")
    saved.with_suffix(".json").unlink()
    assert_refused(saved, "best.json: no such file")
    (tmp_path / "empty").mkdir()
    assert_refused(tmp_path / "empty", "best.safetensors: no such file")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "best.json: format version must be 1, got 2"),
        ({"frames": "3"}, "not a network card: .*frames must be a whole number from 1 to 1,000, got '3'"),
        ({"size": 0}, "not a network card: .*size must be .*, got 0"),
        ({"face_margin": "0.1"}, r"not a network card: .*face_margin must be in \[-0.4, 10.0\] or null, got '0.1'"),
        ({"face_margin": True}, "not a network card: .*face_margin must be .*, got True"),
        ({"face_margin": -1}, "not a network card: .*face_margin must be .*, got -1"),
        ({"network": None}, "best.json: describes a custom network, which mgst cannot build"),
        ({"network": {"depth": 3}}, "not a network card: .*depth"),
        ({"network": {"dim": "wide"}}, "not a network card"),
        (
            {"network": {**OPTIONS, "embedding_dim": 8, "backbone": "test_efficientne"}},
            "unknown backbone 'test_efficientne'",
        ),
        (
            {"network": {**OPTIONS, "embedding_dim": 4}},
            "the weights do not fit best.json: size mismatch for frame_head",
        ),
        (
            {"network": {**OPTIONS, "embedding_dim": 8, "streams": "spatial"}},
            "the weights do not fit best.json: Missing key",
        ),
        ({"network": {**OPTIONS, "embedding_dim": 8, "blocks": 4}}, "the weights do not fit best.json: Missing key"),
    ],
)
def test_an_invalid_card_is_rejected(saved, changes, message):
    path = saved.with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    assert_refused(saved, message)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "{}", '{"format": 1}', "\udcff"])
def test_a_card_of_any_text_is_rejected(saved, text):
    saved.with_suffix(".json").write_bytes(text.encode(errors="surrogateescape"))
    assert_refused(saved, "best.json: not a network card")


def test_weights_of_another_network_are_rejected(saved):
    state = load_file(saved)
    name = next(name for name in state if name.endswith("weight"))
    save_file({**{key: value for key, value in state.items() if key != name}, "other": torch.zeros(2)}, saved)
    assert_refused(saved, f'the weights do not fit best.json: Missing key.*"{name}".*Unexpected key.*"other"')


def test_a_write_error_is_an_output_error(tmp_path):
    config, network = built("image")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        save_network(tmp_path / "file" / "best", network, config, frames=3, size=64)
    assert [path for path in Path(tmp_path).iterdir() if path.name != "file"] == []
