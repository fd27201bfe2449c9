"""Exported networks give the scores of the original, say what their input is, and are not kept if they differ."""

from __future__ import annotations

import json
import shutil
import zipfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from face_videos import encode, faces
from mgst_cli.export import export
from mgst_cli.predict import predict
from torch import nn

from mgst_data.core import MgstError, UsageError
from mgst_model.evaluate.windows import score_windows
from mgst_model.export import ExportedNetwork, export_network, load_onnx, portraits, quantise, shard_crops
from mgst_model.export.crops import InputSpec
from mgst_model.export.formats import compare, description
from mgst_model.export.graph import ScoringGraph, as_input
from mgst_model.networks import (
    NetworkConfig,
    SegmentOutput,
    build_network,
    fold_batch_norms,
    load_network,
    save_network,
)
from mgst_model.predict import load_detector

SIZE, FRAMES = 32, 4
INFO = {"calibration": {"videos": {"real": [0.1, 0.2, 0.7], "people": 3}}}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    config = NetworkConfig(kind="image", backbone="test_efficientnet", pretrained="random")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(config)
        nn.init.normal_(network.head.weight)  # scores that differ between faces
        path = tmp_path_factory.mktemp("export") / "best"
        return save_network(path, network, config, frames=FRAMES, size=SIZE, face_margin=0.1, info=INFO)


@pytest.fixture(scope="module")
def original(weights):
    loaded = load_network(weights)
    fold_batch_norms(loaded.network)
    return loaded


@pytest.fixture(scope="module")
def crops():
    return portraits(8, frames=FRAMES, size=SIZE)


@pytest.fixture(scope="module")
def exported(original, crops, weights):
    return export_network(original, weights.with_name("best.onnx"), "onnx", crops[:2])


def test_portraits_are_faces_of_different_people_that_move(crops):
    assert crops.shape == (8, FRAMES, 3, SIZE, SIZE)
    moved = (crops[:, 0].float() - crops[:, 1].float()).abs().mean(dim=(1, 2, 3))
    others = (crops[:-1, 0].float() - crops[1:, 0].float()).abs().mean(dim=(1, 2, 3))
    assert (moved > 1).all()
    assert (others > moved[1:]).all()


def test_an_onnx_file_gives_the_scores_of_the_original_for_any_number_of_frames(exported, original, crops):
    assert set(exported.differences) == {"score", "frame_scores"}
    assert exported.difference < 1e-5
    loaded = load_onnx(exported.path)
    for run, stride in ((crops[0], None), (crops[:3].flatten(0, 1), 3), (crops[1, :1], None)):
        wanted, found = (score_windows(one.network, run, frames=FRAMES, stride=stride) for one in (original, loaded))
        torch.testing.assert_close(found.window, wanted.window, atol=1e-5, rtol=0)
        torch.testing.assert_close(found.frame, wanted.frame, atol=1e-5, rtol=0)
    assert float(wanted.frame.std(correction=0)) >= 0
    assert score_windows(original.network, crops[:, 0], frames=1).window.std() > 1e-3


def test_the_file_describes_its_input_and_holds_the_card(exported, original):
    session = onnxruntime.InferenceSession(str(exported.path))
    about = json.loads(session.get_modelmeta().custom_metadata_map["mgst"])
    given = about["input"]
    assert given["shape"] == ["batch", "frames", 3, SIZE, SIZE]
    assert (given["face_margin"], given["usual_frames"], given["least_frames"]) == (0.1, FRAMES, 1)
    assert given["normalisation"]["mean"] == pytest.approx(original.network.mean.flatten().tolist())
    assert [one.name for one in session.get_inputs()] == ["frames"]
    assert [one.name for one in session.get_outputs()] == list(about["outputs"]) == ["score", "frame_scores"]
    loaded = load_onnx(exported.path)
    assert (loaded.frames, loaded.shortest, loaded.face_margin) == (FRAMES, 1, 0.1)
    assert loaded.calibration() == original.calibration()
    assert loaded.threshold == original.threshold


def test_a_detector_takes_an_exported_file(exported):
    detector = load_detector(exported.path, faces=lambda _: iter(()))
    assert isinstance(detector.loaded, ExportedNetwork)
    assert (detector.device, detector.half) == ("cpu", False)
    with pytest.raises(UsageError, match="fp32 on the CPU, not with precision bf16"):
        load_detector(exported.path, precision="bf16")
    with pytest.raises(UsageError, match=r"torch does not run \.onnx files"):
        load_detector(exported.path, runtime="torch")
    with pytest.raises(UsageError, match="no weights to save"):
        detector.save_pretrained("anywhere")


def test_weights_are_exported_once_and_the_export_is_kept(weights, exported, crops, monkeypatch, tmp_path):
    monkeypatch.setenv("MGST_CACHE", str(tmp_path))
    made = []

    def export(loaded, path, to, crops):
        made.append(to)
        path.parent.mkdir(parents=True)
        path.write_bytes(exported.path.read_bytes())

    monkeypatch.setattr("mgst_model.export.runtime.export_network", export)
    for _ in range(2):
        detector = load_detector(weights, runtime="onnx", faces=lambda _: iter(()))
        assert detector.loaded.frames == FRAMES
    assert made == ["onnx"]
    card = weights.with_suffix(".json")
    before = card.read_bytes()
    (tmp_path / "exports").rename(tmp_path / "old")
    try:
        card.write_bytes(before + b" ")  # another card is another network
        load_detector(weights, runtime="onnx", faces=lambda _: iter(()))
    finally:
        card.write_bytes(before)
    assert made == ["onnx", "onnx"]
    assert [path.name for path in (tmp_path / "old").iterdir()] != [
        path.name for path in (tmp_path / "exports").iterdir()
    ]


def test_torch_export_is_a_file_with_the_description(original, crops, tmp_path):
    made = export_network(original, tmp_path / "net.pt2", "torch-export", crops[:2], frames=2)
    assert made.difference < 1e-6
    with zipfile.ZipFile(made.path) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("mgst.json"))
        assert json.loads(archive.read(name))["input"]["shape"] == ["batch", 2, 3, SIZE, SIZE]
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt2"]


def test_openvino_gives_the_scores_of_the_original(original, crops, tmp_path, exported, monkeypatch):
    openvino = pytest.importorskip("openvino", reason="the extra openvino is not installed")

    def again(program, names, about, path):  # the ONNX file exists already
        path.write_bytes(exported.path.read_bytes())

    monkeypatch.setattr("mgst_model.export.formats._write_onnx", again)
    monkeypatch.setattr("mgst_model.export.formats.trace", lambda loaded, frames: (None, exported.outputs))
    made = export_network(original, tmp_path / "net.xml", "openvino", crops[:2])
    assert made.difference < 1e-5
    assert {path.name for path in tmp_path.iterdir()} == {"net.xml", "net.bin"}
    model = openvino.Core().read_model(tmp_path / "net.xml")
    assert json.loads(model.get_rt_info(["mgst"]).astype(str))["card"]["size"] == SIZE


def test_a_file_that_gives_other_scores_is_not_kept(original, crops, tmp_path, monkeypatch):
    monkeypatch.setattr("mgst_model.export.formats.trace", lambda loaded, frames: (None, ("score", "frame_scores")))

    def write(program, names, about, path):
        path.write_bytes(b"file")

    def run(path, names):
        def other(frames):
            values = ScoringGraph(original.network)(frames)
            return {name: value.detach() + 2e-4 for name, value in zip(names, values, strict=True)}

        return other

    monkeypatch.setitem(__import__("mgst_model.export.formats", fromlist=["x"]).FORMATS, "onnx", (write, run))
    with pytest.raises(MgstError, match=r"differs by 0\.0002, more than 0\.0001") as caught:
        export_network(original, tmp_path / "net.onnx", "onnx", crops[:2])
    assert caught.value.reason == "export_differs"
    assert list(tmp_path.iterdir()) == []


def test_nan_counts_as_a_difference(original, crops):
    def broken(frames):
        return {name: torch.full_like(value, torch.nan) for name, value in _outputs(original, frames).items()}

    found = compare(broken, original.network, crops[:2], fixed=None, shortest=1)
    assert set(found.values()) == {float("inf")}


def _outputs(original, frames):
    return dict(zip(("score", "frame_scores"), ScoringGraph(original.network)(frames), strict=True))


class TwoStreams(nn.Module):
    """Has all four outputs, if there is more than one frame."""

    def forward(self, frames):
        b, t = frames.shape[:2]
        logits = frames.mean(dim=(2, 3, 4))
        patches = torch.zeros(b, t - 1, 2, 2) if t > 1 else None
        return SegmentOutput(logits.mean(dim=1), logits, torch.ones(b, t, 3), patches)


def test_outputs_have_the_names_of_what_the_network_returns(original):
    graph = ScoringGraph(TwoStreams())
    frames = torch.zeros(2, 3, 3, 8, 8)
    assert graph.names(frames) == ("score", "frame_scores", "patch_scores", "embeddings")
    assert graph.names(frames[:, :1]) == ("score", "frame_scores", "embeddings")
    assert [tuple(value.shape) for value in graph(frames)] == [(2,), (2, 3), (2, 2, 2, 2), (2, 3, 3)]
    about = description(replace(original, network=TwoStreams()), graph.names(frames), frames=3)
    assert about["input"]["least_frames"] == 3


def test_integers_change_scores_a_little_and_say_so(exported, crops, tmp_path):
    change = quantise(exported.path, tmp_path / "int8.onnx", crops)
    assert 0 < change.mean <= change.largest < 0.1
    assert change.segments == 4
    loaded = load_onnx(tmp_path / "int8.onnx")
    assert loaded.int8
    before = load_onnx(exported.path)
    scores = [one.network(as_input(crops[1::2])).logit.sigmoid() for one in (before, loaded)]
    assert float((scores[0] - scores[1]).abs().max()) == pytest.approx(change.largest, abs=1e-3)
    with pytest.raises(UsageError, match="at least 4 segments"):
        quantise(exported.path, tmp_path / "few.onnx", crops[:3])


def test_crops_of_shards_have_the_form_of_the_network(mixed_shards, original):
    found = shard_crops(str(mixed_shards), InputSpec.of(original), count=5, frames=3)
    assert found.shape == (5, 3, 3, SIZE, SIZE)
    assert found.float().std() > 1
    with pytest.raises(UsageError, match="no chunk has 99 frames"):
        shard_crops(str(mixed_shards), InputSpec.of(original), count=5, frames=99)


def test_other_files_are_refused(tmp_path, exported):
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    for path, what in ((tmp_path / "junk.onnx", "not an ONNX file"), (tmp_path / "none.onnx", "no such file")):
        with pytest.raises(UsageError, match=what):
            load_onnx(path)
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(exported.path))
    for change, what in (({"version": 99}, "format version must be 1, got 99"), ({"input": 1}, "does not describe")):
        about = json.loads(model.metadata_props[0].value)
        other = onnx.ModelProto()
        other.CopyFrom(model)
        (entry,) = (one for one in other.metadata_props if one.key == "mgst")
        entry.value = json.dumps(about | change)
        onnx.save(other, str(tmp_path / "other.onnx"))
        with pytest.raises(UsageError, match=what):
            load_onnx(Path(tmp_path / "other.onnx"))


def run(command, *arguments):
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_report_of_a_video_is_the_same_with_both_runtimes(exported, weights, tmp_path, monkeypatch):
    # Starting another process takes longer than the rest of the test.
    monkeypatch.setattr("mgst_cli.predict.command.RunProcess", nullcontext)
    monkeypatch.setenv("MGST_CACHE", str(tmp_path / "cache"))
    video, found = encode(tmp_path / "nod.mp4", faces(10)), {}
    for name, given in (
        ("torch", ("--weights", weights, "--precision", "fp32", "--device", "cpu")),
        ("onnx", ("--weights", exported.path)),
    ):
        result = run(predict, video, *given, "--out", tmp_path / name, "--no-video", "--json")
        assert (result.exit_code, result.stderr) == (0, ""), result.output
        found[name] = json.loads((tmp_path / name / "scores.json").read_text())
    for track in found["torch"]["tracks"]:
        for one in (track, *track["windows"]):
            one["score"] = pytest.approx(one["score"], abs=2e-4)
        track["frame_score"] = pytest.approx(track["frame_score"], abs=2e-4)
    found["torch"]["score"] = pytest.approx(found["torch"]["score"], abs=2e-4)
    assert len(found["torch"]["tracks"][0]["windows"]) == 3
    assert found["onnx"] == found["torch"]
    refused = run(predict, video, "--weights", exported.path, "--device", "cuda", "--out", tmp_path / "x")
    assert refused.exit_code == 2
    assert "not with device cuda" in refused.stderr


def test_the_command_writes_next_to_the_weights_and_prints_the_differences(weights, tmp_path):
    for file in (weights, weights.with_suffix(".json")):
        shutil.copy(file, tmp_path)
    result = run(export, tmp_path, "--to", "torch-export", "--frames", "2", "--segments", "1")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "compared with PyTorch on 1 segment of rendered faces; the limit is 0.0001"
    assert [line.split()[0] for line in lines[2:4]] == ["score", "frame_scores"]
    assert f"input: frames (batch, 2 frames, 3, {SIZE}, {SIZE}); outputs: score, frame_scores" in lines
    assert lines[-1].startswith(f"{tmp_path}/best.pt2 ")
    assert (tmp_path / "best.pt2").is_file()


def test_the_command_states_the_change_by_integers(weights, exported, mixed_shards, tmp_path, monkeypatch):
    def copy(loaded, path, to, crops, *, frames):
        shutil.copy(exported.path, path)
        return replace(exported, path=path, segments=len(crops))

    monkeypatch.setattr("mgst_cli.export.write.export_network", copy)
    given = (weights, "--to", "onnx", "--int8", "--crops", mixed_shards, "--out", tmp_path / "small.onnx")
    found = json.loads(run(export, *given, "--json").stdout)
    assert found["file"] == str(tmp_path / "small.onnx")
    assert 0 < found["int8"]["mean_score_change"] <= found["int8"]["largest_score_change"]
    assert load_onnx(tmp_path / "small.onnx").int8


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (("--to", "openvino", "--int8"), "--int8 needs --to onnx, got --to openvino"),
        (("--to", "onnx", "--int8"), "--int8 needs --crops"),
        (("--to", "onnx", "--out", "net.pt2"), "a file of --to onnx must end in .onnx (use --out net.onnx)"),
        (("--to", "onnx", "--crops", "none"), "none: no shards here"),
    ],
)
def test_wrong_options_of_the_command_are_named(weights, more, what):
    result = run(export, weights, *more)
    assert (result.exit_code, result.stdout) == (2, "")
    assert what in result.stderr
    assert len(result.stderr.splitlines()) == 1
