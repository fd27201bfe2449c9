"""The folder of a training: it continues only with the same options, and never runs code from a file."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mgst_data.core import ConfigMismatchError, OutputError, UsageError
from mgst_model.networks.renamed import RENAMED
from mgst_model.train.experiment import TrainConfig
from mgst_model.train.state import STATE, STEPS, VALIDATIONS, TrainFolder, load_state


class Attack:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def folder_of(path, experiment, shards="shards"):
    """Opens the folder of an experiment; raises an error if it has another training."""
    return TrainFolder(path, {"shards": shards, **experiment.as_dict()})


@pytest.fixture
def folder(make_experiment, tmp_path):
    return folder_of(tmp_path / "out", make_experiment())


def test_a_saved_state_is_loaded_unchanged(folder):
    assert load_state(folder.path) is None
    state = {"step": 7, "best": [1, 0.5, True], "network": {"weight": torch.arange(3.0)}}
    folder.save(state)
    folder.save({**state, "step": 8})
    loaded = load_state(folder.path)
    assert loaded["step"] == 8
    assert loaded["best"] == [1, 0.5, True]
    assert torch.equal(loaded["network"]["weight"], torch.arange(3.0))


# Torch warns about pickles that it did not write, before it rejects them.
OTHER_PICKLES = pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")


@OTHER_PICKLES
def test_a_malicious_state_is_rejected_and_not_run(folder, tmp_path):
    trace = tmp_path / "trace"
    for write in (torch.save, lambda value, path: Path(path).write_bytes(pickle.dumps(value))):
        write({"step": 1, "network": Attack(trace)}, folder.path / STATE)
        with pytest.raises(UsageError, match=r"state.pt: damaged: .*\(delete it to train again\)") as caught:
            load_state(folder.path)
        assert "\n" not in str(caught.value)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Attack(trace)))
    assert trace.exists(), "the attack would have worked"


@OTHER_PICKLES
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.builds(bytes.__add__, st.sampled_from([b"", b"\x80\x02", b"PK\x03\x04"]), st.binary(max_size=60)))
def test_a_state_of_any_bytes_is_rejected_in_one_line(folder, data):
    (folder.path / STATE).write_bytes(data)
    with pytest.raises(UsageError) as caught:
        load_state(folder.path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_state_is_rejected(folder, share):
    folder.save({"step": 1, "network": {"weight": torch.zeros(100)}})
    path = folder.path / STATE
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UsageError, match=r"state.pt: damaged"):
        load_state(folder.path)


@pytest.mark.parametrize("other", [{"epochs": 3}, [1, 2], torch.zeros(2)])
def test_a_file_with_other_tensors_is_rejected(folder, other):
    torch.save(other, folder.path / STATE)
    with pytest.raises(UsageError, match="not a state of a training"):
        load_state(folder.path)


def test_the_same_experiment_continues_in_its_folder(folder, make_experiment):
    folder.save({"step": 3})
    folder.close()
    assert load_state(folder_of(folder.path, make_experiment()).path) == {"step": 3}


def test_another_experiment_is_rejected_with_the_differences(folder, make_experiment):
    changed = make_experiment(train={"lr": 0.5}, data={"methods": ("Deepfakes",)})
    folder.close()
    with pytest.raises(ConfigMismatchError) as caught:
        folder_of(folder.path, changed, "elsewhere")
    message = str(caught.value)
    assert "trained with another config: " in message
    for change in ("data.methods: [] -> ['Deepfakes']", "shards: shards -> elsewhere", "train.lr: 0.001 -> 0.5"):
        assert change in message
    assert "data.size" not in message
    assert "\n" not in message


def test_a_newer_option_is_compared_by_its_default(folder, make_experiment):
    settings = json.loads((folder.path / "config.json").read_text())
    del settings["train"]["ema_decay"], settings["train"]["warmup_epochs"]
    (folder.path / "config.json").write_text(json.dumps(settings))
    folder.close()
    folder_of(folder.path, make_experiment(train={"ema_decay": TrainConfig().ema_decay})).close()
    with pytest.raises(ConfigMismatchError, match=r"config: train.ema_decay: 0.9998 -> 0.9 "):
        folder_of(folder.path, make_experiment())


def test_a_training_with_earlier_option_names_continues(folder, make_experiment):
    """Reads all earlier names of options, as an earlier version wrote them."""
    settings = json.loads((folder.path / "config.json").read_text())
    for earlier, name in RENAMED.items():
        (table, option), (_, now) = earlier.split("."), name.split(".")
        settings[table][option] = settings[table].pop(now)
    (folder.path / "config.json").write_text(json.dumps(settings))
    folder.close()
    folder_of(folder.path, make_experiment()).close()
    with pytest.raises(ConfigMismatchError, match=r"config: data.batch_size: 2 -> 4; train.ema_decay: 0.9 -> 0.5 "):
        folder_of(folder.path, make_experiment(train={"ema_decay": 0.5}, data={"batch_size": 4}))


def test_custom_settings_are_compared_unchanged(tmp_path):
    # mgst's own tables "data" and "train" have options with these names, and defaults for them.
    asked = {"model": "gru", "data": {"batch": 2, "folder": "a"}, "train": {"lr": 0.1}}
    TrainFolder(tmp_path, asked).close()
    TrainFolder(tmp_path, asked).close()
    with pytest.raises(ConfigMismatchError, match=r"config: data.folder: a -> b; model: gru -> lstm "):
        TrainFolder(tmp_path, {**asked, "model": "lstm", "data": {"batch": 2, "folder": "b"}})


def test_the_number_of_reading_processes_may_differ(folder, make_experiment):
    folder.close()
    folder_of(folder.path, make_experiment(data={"workers": 3}))


def test_one_training_at_a_time_writes_into_a_folder(folder, make_experiment):
    with pytest.raises(OutputError, match="in use by another run"):
        folder_of(folder.path, make_experiment())
    with pytest.raises(OutputError, match="in use by another run"):  # also with other options
        folder_of(folder.path, make_experiment(train={"lr": 0.5}))
    folder.close()
    folder_of(folder.path, make_experiment())


def test_a_folder_with_other_files_is_rejected_and_not_changed(make_experiment, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="not a folder of a training, and not empty"):
        folder_of(tmp_path, make_experiment())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("text", ["{", "", "\udcff"])
def test_settings_that_are_not_json_are_rejected(make_experiment, tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match=r"config.json: not valid JSON"):
        folder_of(tmp_path, make_experiment())


def test_settings_of_another_kind_are_rejected(make_experiment, tmp_path):
    (tmp_path / "config.json").write_text("[1, 2]")
    with pytest.raises(UsageError, match="not a config of a training"):
        folder_of(tmp_path, make_experiment())


def test_a_file_in_place_of_the_folder_is_rejected(make_experiment, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="this is a file, not a folder"):
        folder_of(tmp_path / "out", make_experiment())


def test_rewinding_removes_later_rows(folder):
    for step in range(1, 6):
        folder.log(STEPS, {"step": step, "total": step / 10})
    folder.log(VALIDATIONS, {"step": 5, "auc": 0.5})
    folder.rewind(3, 0)
    assert (folder.path / STEPS).read_text().splitlines() == ["step,total", "1,0.1", "2,0.2", "3,0.3"]
    assert (folder.path / VALIDATIONS).read_text().splitlines() == ["step,auc"]
    folder.log(STEPS, {"step": 4, "total": 9})
    folder.log(VALIDATIONS, {"step": 4, "auc": 0.75})
    assert (folder.path / STEPS).read_text().splitlines()[-1] == "4,9"
    assert (folder.path / VALIDATIONS).read_text().splitlines() == ["step,auc", "4,0.75"]
    folder.rewind(4, 4)
    assert len((folder.path / STEPS).read_text().splitlines()) == 5
    assert len((folder.path / VALIDATIONS).read_text().splitlines()) == 2
    folder.rewind(4, 3)
    assert len((folder.path / VALIDATIONS).read_text().splitlines()) == 1
    assert not list(folder.path.glob("*.part"))
