"""``mgst-eval``: metrics, result files, reuse of scores, and messages for bad input."""

import csv
import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from mgst_cli.evaluate.command import KINDS, PROTOCOLS, evaluate
from mgst_cli.evaluate.measure import read_protocol
from shards.synthetic_shards import CONFIG, chunk_of, record_of, write_shard

from mgst_data.core import UsageError
from mgst_data.shards import ShardFolder, ShardTask, open_folder
from mgst_data.shards.report import latest
from mgst_model.evaluate.cache import unique_names
from mgst_model.evaluate.perturbations import PERTURBATIONS
from mgst_model.evaluate.predictions import Predictions, VideoScore
from mgst_model.networks import NetworkConfig, build_network
from mgst_model.networks.checkpoint import save_network
from mgst_model.networks.image import ImageNetwork
from mgst_model.networks.trained_videos import KnownVideo, TrainedVideos

FAST = ("--device", "cpu", "--segments", "1", "--resamples", "20")


def write_shards(out, *, dataset="ffpp", fakes=("Deepfakes", "Face2Face"), faceless=True, labels=(0, 1)):
    """Two real test videos, two of each method, one without a face, and one of the split train."""
    records = [record_of(f"{dataset}r{i}", split="test") for i in range(2) if 0 in labels]
    records += [record_of(f"{dataset}{m}{i}", label=1, split="test", method=m) for m in fakes for i in range(2)]
    records += [record_of(f"{dataset}none", split="test")] if faceless else []
    records = [replace(record, dataset=dataset) for record in [*records, record_of(f"{dataset}t")]]
    with open_folder(out, CONFIG, records, videos_per_shard=20) as folder:
        for task in folder.missing(records):
            assert isinstance(task, ShardTask)
            skip = {f"{dataset}none": "no_face"} if faceless else {}
            write_shard(out, task, skip=skip, extract=lambda record: [] if record.key.endswith("none") else one(record))
        folder.finish()
    return out


def one(record):
    return [chunk_of(record, t=3, size=32)]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("eval") / "shards")


@pytest.fixture(scope="module")
def make_weights(tmp_path_factory):
    """``make_weights("net")`` writes a tiny network of random weights."""
    folder = tmp_path_factory.mktemp("weights")

    def make(name, *, seed=0):
        config = NetworkConfig(kind="image", backbone="test_efficientnet", pretrained="random")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            TrainedVideos((KnownVideo("elsewhere", "a", "content of a"),), ()).save(path)
            return save_network(path, build_network(config), config, frames=2, size=32)

    return make


@pytest.fixture(scope="module")
def weights(make_weights):
    return make_weights("net")


def mgst_eval(*arguments):
    result = CliRunner().invoke(evaluate, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def refused(*arguments):
    """Returns the single line of the error."""
    result = mgst_eval(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    return line.removeprefix("error: ")


def test_scores_tables_and_plots_are_written_and_shown(shards, weights, tmp_path):
    result = mgst_eval(shards, "--weights", weights, *FAST, "--out", tmp_path / "new" / "out")
    assert (result.exit_code, result.stderr) == (0, "")
    out = tmp_path / "new" / "out"
    files = [out / name for name in ("table.md", "table.csv", "roc.png", "histogram-net.png", "report.html")]
    assert result.stdout.splitlines()[-5:] == list(map(str, files))
    assert {path.name for path in out.iterdir()} == {path.name for path in files} | {"parts", "predictions"}
    saved = Predictions.load(out / "predictions" / "net")
    assert (saved.model, len(saved), [video.key for video in saved.faceless()]) == ("net", 7, ["ffppnone"])
    assert saved.faceless()[0].compression == "c23"
    rows = list(csv.DictReader(files[1].read_text().splitlines()))
    assert [(row["protocol"], row["missing"], row["group"]) for row in rows] == [
        ("data_sets", "leave_out", "ffpp"),
        ("data_sets", "half", "ffpp"),
        *[("methods", way, name) for way in ("leave_out", "half") for name in ("Deepfakes", "Face2Face", "average")],
    ]
    assert [row["real"] for row in rows[:2]] == ["2", "3"]
    # Videos without a face are reported in both ways.
    assert "videos without a face excluded" in result.stdout
    assert "videos without a face scored 0.5" in result.stdout


def test_tables_outside_a_terminal_are_not_cut_off(shards, weights, tmp_path):
    shown = mgst_eval(shards, "--weights", weights, *FAST, "--out", tmp_path).stdout
    assert "…" not in shown
    head = next(line for line in shown.splitlines() if line.startswith("group"))
    assert head.split() == [
        "group",
        "auc",
        "ap",
        "eer",
        "accuracy",
        "tpr_at_1",
        "tpr_at_5",
        "real",
        "fake",
        "no",
        "face",
    ]


def test_scores_are_reused(shards, make_weights, tmp_path, monkeypatch):
    weights = make_weights("once/best")
    robust = ("--robustness", "--kind", "contrast", "--kind", "pixelation", "--severity", "5")
    first = mgst_eval(shards, "--weights", weights, *FAST, *robust, "--out", tmp_path)
    made = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}

    def fail(*_):
        raise AssertionError("scored again")

    monkeypatch.setattr(ImageNetwork, "forward", fail)
    second = mgst_eval(shards, "--weights", weights, *FAST, *robust, "--batch", "3", "--out", tmp_path)
    assert second.stdout == first.stdout
    assert second.stderr == (
        "reusing 3 of 3 sets of scores: same weights, shards and options (--again scores them again)\n"
    )
    assert {path: path.read_bytes() for path in made} == made
    # Changing an option that affects scores, or --again, scores again.
    other = make_weights("once/last", seed=1)
    for changed in (["--again"], ["--segments", "2"], ["--tracks", "max"], ["--split", "all"], ["--weights", other]):
        with pytest.raises(AssertionError, match="scored again"):
            mgst_eval(shards, "--weights", weights, *FAST, *changed, "--out", tmp_path)
    with pytest.raises(AssertionError, match="scored again"):
        mgst_eval(shards, "--weights", weights, *FAST, *robust, "--seed", "1", "--out", tmp_path)


def test_interrupted_run_continues(shards, weights, tmp_path, monkeypatch):
    other = write_shards(tmp_path / "other", dataset="other", faceless=False)
    calls, forward = [], ImageNetwork.forward

    def interrupt(self, frames):
        calls.append(frames.shape)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return forward(self, frames)

    monkeypatch.setattr(ImageNetwork, "forward", interrupt)
    command = (shards, other, "--weights", weights, *FAST, "--out", tmp_path / "out")
    stopped = mgst_eval(*command)
    assert stopped.exit_code == 130
    assert stopped.stderr.splitlines() == [
        "1 of 2 sets of scores are complete; run the same command again to continue",
        "interrupted; run the same command again",
    ]
    result = mgst_eval(*command)
    assert result.exit_code == 0
    assert result.stderr.startswith("reusing 1 of 2 sets of scores")
    assert len(Predictions.load(tmp_path / "out" / "predictions" / "net")) == 7 + 6


def test_tables_made_again_from_saved_scores_are_the_same(shards, make_weights, tmp_path):
    both = ("--weights", make_weights("a"), "--weights", make_weights("b", seed=1))
    first = mgst_eval(shards, *both, *FAST, "--json", "--out", tmp_path / "out")
    again = mgst_eval("--predictions", tmp_path / "out", "--resamples", "20", "--json", "--out", tmp_path / "again")
    found, redone = json.loads(first.stdout), json.loads(again.stdout)
    assert [each["model"] for each in found["evaluations"][:2]] == ["a", "b"]
    areas = [each["groups"][0]["auc"] for each in found["evaluations"][:2]]
    differences = found["differences"]
    assert (differences["than"], differences["rows"][0]["model"]) == ("a", "b")
    value, low, high = differences["rows"][0]["auc"][found["evaluations"][0]["groups"][0]["group"]]
    assert low <= value == pytest.approx(areas[1] - areas[0])
    assert value <= high
    assert "AUC minus the AUC of a" in (tmp_path / "out" / "table.md").read_text()
    assert redone.pop("files") != found.pop("files")
    assert redone == found
    names = ("table.md", "table.csv", "roc.png", "histogram-a.png", "histogram-b.png")
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    assert not (tmp_path / "again" / "parts").exists()


def test_saved_scores_are_narrowed_to_a_split(tmp_path):
    videos = [
        VideoScore(key=f"{split}{i}", dataset="d", method="m", label=i % 2, split=split, score=(i + 1) / 9)
        for split, count in (("train", 6), ("test", 4))
        for i in range(count)
    ]
    Predictions("net", tuple(videos)).save(tmp_path / "saved")
    given = ("--predictions", tmp_path / "saved", "--resamples", "0", "--json", "--out", tmp_path / "out")
    for more, count in (((), 5), (("--split", "all"), 5), (("--split", "test"), 2)):
        (found,) = json.loads(mgst_eval(*given, *more).stdout)["evaluations"]
        assert found["groups"][0]["real"] == found["groups"][0]["fake"] == count
    none = mgst_eval(*given, "--split", "val")
    assert none.exit_code == 2
    assert "no scores of the split 'val'" in none.stderr
    other = mgst_eval(*given, "--segments", "3")
    assert other.exit_code == 2
    assert "--segments has no effect with --predictions" in other.stderr


def test_robustness_has_clean_auc_mean_and_drop(shards, weights, tmp_path):
    kinds = ("--kind", "saturation", "--kind", "h264", "--severity", "5", "--severity", "1")
    result = mgst_eval(shards, "--weights", weights, *FAST, "--robustness", *kinds, "--json", "--out", tmp_path)
    found = json.loads(result.stdout)
    (robust,) = found["robustness"]
    assert robust["clean"] == found["evaluations"][0]["average"]["auc"]
    assert {kind: list(areas) for kind, areas in robust["auc"].items()} == {
        "saturation": ["1", "5"],
        "h264": ["1", "5"],
    }
    mean = sum(area for areas in robust["auc"].values() for area in areas.values()) / 4
    assert robust["mean"] == pytest.approx(mean)
    assert robust["drop"] == pytest.approx(robust["clean"] - mean)
    rows = list(csv.DictReader((tmp_path / "robustness.csv").read_text().splitlines()))
    assert [row["perturbation"] for row in rows] == ["saturation", "h264", "mean"]
    assert {"robustness.md", "robustness.png"} <= {path.name for path in tmp_path.iterdir()}


def test_several_folders_are_combined(shards, weights, tmp_path):
    other = write_shards(tmp_path / "other", dataset="other", fakes=("Swap",), faceless=False)
    fakes = write_shards(tmp_path / "fakes", dataset="bare", fakes=("Swap",), faceless=False, labels=(1,))
    protocol = tmp_path / "mine.toml"
    protocol.write_text(
        'name = "mine"\ndescription = ""\n[groups.one]\ndataset = "ffpp"\n'
        '[groups.two]\ndataset = "bare"\nreals = "other"\n[groups.three]\ndataset = "nowhere"\n'
    )
    command = (shards, other, fakes, "--weights", weights, *FAST, "--json", "--out", tmp_path / "out")
    result = mgst_eval(*command, "--protocol", protocol, "--protocol", "per_method")
    found = json.loads(result.stdout)["evaluations"]
    assert [(each["protocol"], each["missing"]) for each in found] == [
        ("mine", "leave_out"),
        ("mine", "half"),
        ("per_method", "leave_out"),
        ("per_method", "half"),
    ]
    assert [(group["group"], group.get("real"), group.get("fake")) for group in found[0]["groups"]] == [
        ("one", 2, 4),
        ("two", 2, 2),
        ("three", None, None),
    ]
    assert "note: net, three: not measured, no real videos and fake videos" in result.stderr
    # Without a protocol, every data set is compared with its own real videos.
    result = mgst_eval(*command)
    assert "note: net, bare: not measured, no real videos" in result.stderr


def test_frames_can_be_counted_in_place_of_videos(shards, weights, tmp_path):
    result = mgst_eval(shards, "--weights", weights, *FAST, "--level", "frame", "--json", "--out", tmp_path)
    found = json.loads(result.stdout)["evaluations"]
    assert [(each["protocol"], each["missing"]) for each in found] == [
        ("data_sets", "leave_out"),
        ("methods", "leave_out"),
    ]
    (group,) = found[0]["groups"]
    assert (group["real"], group["fake"]) == (4, 8)
    assert "intervals" not in group


def test_arguments_that_exclude_each_other_are_rejected(shards, weights, tmp_path):
    out = ("--out", tmp_path / "out")
    assert refused(*out).startswith("missing SHARDS (")
    assert refused(shards, *out).startswith("missing --weights (")
    assert refused(shards, "--weights", weights, "--kind", "h264", *out).endswith("(add --robustness)")
    for more in ([shards], ["--weights", weights], ["--robustness"]):
        assert "cannot be combined" in refused("--predictions", tmp_path, *more, *out)
    assert not (tmp_path / "out").exists()


def test_bad_shards_are_named(shards, weights, tmp_path):
    given = ("--weights", weights, *FAST, "--out", tmp_path / "out")
    assert refused(tmp_path / "none", *given).startswith(f"{tmp_path}/none: no shards here (")
    hint = "splits here: test (6 videos), train (1 videos); choose one with --split, or use --split all"
    assert refused(shards, "--split", "val", *given) == f"{shards}: no videos in the split 'val' ({hint})"
    assert f"{shards}: no fake videos in the split 'train' (" in refused(shards, "--split", "train", *given)
    assert "given more than once (give each folder of shards once)" in refused(shards, shards, *given)


def test_bad_weights_and_protocols_are_named(shards, weights, tmp_path):
    given = (shards, *FAST, "--out", tmp_path / "out")
    (tmp_path / "theirs.pth").write_bytes(b"weights")
    assert "theirs.pth: not a weights file of mgst (" in refused(*given, "--weights", tmp_path / "theirs.pth")
    assert "given more than once" in refused(*given, "--weights", weights, "--weights", weights.with_suffix(".json"))
    given = (*given, "--weights", weights)
    assert refused(*given, "--protocol", "domain").startswith("unknown protocol 'domain'; known: in_domain,")
    file = tmp_path / "p.toml"
    assert refused(*given, "--protocol", file) == f"{file}: no such file or directory (check the path)"
    file.write_text('name = "p"\ndescription = ""\n[groups.a]\ndatset = "ffpp"\n')
    hint = "(did you mean 'dataset'?)"
    assert refused(*given, "--protocol", file) == f"{file}: unknown option 'groups.a.datset' {hint}"
    file.write_text('name = "p"\ndescription = ""\n[groups.a]\ndataset = "dfdc"\n')
    assert "net: the predictions have no videos for any group of p: a has no real videos and fake videos" in refused(
        *given, "--protocol", file
    )


def test_bad_predictions_are_named(tmp_path):
    out = ("--out", tmp_path / "out")
    assert refused("--predictions", tmp_path, *out).startswith(f"{tmp_path}: no predictions in this folder (")
    assert "nowhere: no such file or directory" in refused("--predictions", tmp_path / "nowhere", *out)


def test_detectors_have_different_names(tmp_path):
    paths = [tmp_path / name for name in ("x/a/best.f", "y/a/best.f", "x/c.f", "y/a/last.f")]
    assert unique_names(["a", "a", "c", "a"], paths)[2] == "c"
    assert unique_names(["a", "a", "c", "a"], paths)[:2] == ["x-a-best", "y-a-best"]
    assert len(set(unique_names(["a"] * 4, paths))) == 4


def test_weights_called_best_are_named_after_their_folder(shards, make_weights, tmp_path):
    folder = make_weights("run/best").parent
    mgst_eval(shards, "--weights", folder, *FAST, "--out", tmp_path)
    assert Predictions.load(tmp_path / "predictions" / "run").model == "run"


def test_every_installed_protocol_is_valid():
    for name in PROTOCOLS:
        assert read_protocol(name, PROTOCOLS).name == name.rpartition("/")[2]
    with pytest.raises(UsageError, match="unknown protocol"):
        read_protocol("default", PROTOCOLS)


def test_kinds_are_those_of_the_library():
    assert tuple(PERTURBATIONS) == KINDS


def test_help_does_not_wait_for_torch():
    code = "import sys; from mgst_cli.evaluate import evaluate; evaluate.main(['--help'], standalone_mode=False)"
    code += "; sys.exit('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "--robustness" in shown.stdout


def test_videos_that_were_trained_on_are_refused_or_marked(shards, make_weights, tmp_path):
    weights = make_weights("leaky")
    known = [
        KnownVideo("renamed", "x", "content of ffppr0"),  # the same file in another data set, under another name
        KnownVideo("ffpp", "ffppDeepfakes0"),  # its hash is unknown
        KnownVideo("ffpp", "ffppFace2Face0", "of another file"),  # the same name, but another file
        KnownVideo("ffpp", "y", "content of y", ("ffpp/ffppr1",)),
    ]
    TrainedVideos(tuple(known), (KnownVideo("z", "z", "content of ffppFace2Face1"),)).save(weights.with_suffix(""))
    line = refused(shards, "--weights", weights, *FAST, "--out", tmp_path / "out")
    assert line.startswith(f"{shards}: the network was trained on 2 of 6 test videos, for example videos/ffpp")
    assert "--allow-trained-on" in line
    assert not (tmp_path / "out").exists()

    result = mgst_eval(shards, "--weights", weights, *FAST, "--out", tmp_path / "out", "--allow-trained-on", "--json")
    notes = [line for line in result.stderr.splitlines() if line.startswith("note: ")]
    assert [note.removeprefix("note: leaky: ").split(" (")[0] for note in notes] == [
        "2 of 6 test videos were trained on; the table marks them",
        "1 of 6 test videos were used in its validation, which chose the weights",
        "1 of 6 test videos show persons that it was trained on",
        "some training videos have no hash of their file",
    ]
    saved = Predictions.load(tmp_path / "out" / "predictions" / "leaky")
    seen = {"ffppr0": "trained", "ffppDeepfakes0": "trained", "ffppFace2Face1": "validated", "ffppr1": "person"}
    assert {video.key: video.seen for video in saved.videos if video.seen} == seen
    with (tmp_path / "out" / "predictions" / "leaky" / "predictions.csv").open(newline="") as file:
        assert {row["key"]: row["seen"] for row in csv.DictReader(file) if row["seen"]} == seen
    groups = json.loads(result.stdout)["evaluations"][0]["groups"]
    assert groups[0]["seen"] == "1 person, 2 trained, 1 validated"
    assert "| 1 person, 2 trained, 1 validated |" in (tmp_path / "out" / "table.md").read_text()


def test_a_missing_or_damaged_list_of_videos_is_reported(shards, make_weights, tmp_path):
    weights = make_weights("unlisted")
    file = weights.with_suffix(".videos.json")
    file.write_text("{}")
    assert refused(shards, "--weights", weights, *FAST, "--out", tmp_path).startswith(f"{file}: not a list of videos")
    file.unlink()
    result = mgst_eval(shards, "--weights", weights, *FAST, "--out", tmp_path)
    assert result.exit_code == 0
    assert "note: unlisted: it is not known which videos this network was trained on" in result.stderr


def test_several_folders_have_a_table_by_source(shards, weights, tmp_path):
    other = write_shards(tmp_path / "other", dataset="more", faceless=False)
    result = mgst_eval(shards, other, "--weights", weights, *FAST, "--out", tmp_path / "out", "--json")
    found = {each["protocol"]: [group["group"] for group in each["groups"]]
             for each in json.loads(result.stdout)["evaluations"]}  # fmt: skip
    assert found["sources"] == ["other", "shards"]
    saved = Predictions.load(tmp_path / "out" / "predictions" / "net")
    assert {video.source for video in saved.videos} == {"other", "shards"}
    assert len(saved.select(source="other")) == 6


DETECTOR = """
import torch

class Detector(torch.nn.Module):
    takes, returns, size = "picture", "logit", 16

    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(3, 1, bias=False)
        torch.nn.init.constant_(self.head.weight, 0.5)

    def forward(self, frames):
        return self.head(frames.mean(dim=(2, 3)))
"""


def test_a_detector_of_others_and_scores_from_elsewhere_are_compared_with_a_network(shards, weights, tmp_path):
    (tmp_path / "theirs.py").write_text(DETECTOR)
    known = [video for video in reports_of(shards) if video.split == "test" and video.chunks]
    rows = [f"{video.key},{0.9 if video.label else 0.1}" for video in known]
    (tmp_path / "perfect.csv").write_text("\n".join(["key,score", *rows]))
    robust = ("--robustness", "--kind", "contrast", "--severity", "5")
    theirs = ("--detector", f"{tmp_path}/theirs.py:Detector", "--predictions", tmp_path / "perfect.csv")
    given = (shards, "--weights", weights, *theirs, *robust, *FAST, "--json", "--out", tmp_path / "out")
    result = mgst_eval(*given)
    assert result.exit_code == 0, result.stderr
    assert "theirs: it is not known which videos this detector was trained on" in result.stderr
    found = json.loads(result.stdout)
    assert [each["model"] for each in found["evaluations"][:3]] == ["net", "theirs", "perfect"]
    assert found["evaluations"][2]["groups"][0]["auc"] == 1.0
    assert [each["model"] for each in found["robustness"]] == ["net", "theirs"]
    assert {row["model"] for row in found["differences"]["rows"]} == {"theirs", "perfect"}
    saved = {path.name for path in (tmp_path / "out" / "predictions").iterdir()}
    assert saved == {"net", "theirs", "perfect"}


def reports_of(shards):
    return latest(ShardFolder.read(str(shards)).reports()).values()


def test_wrong_uses_of_detectors_and_tables_are_named(shards, weights, tmp_path):
    (tmp_path / "scores.csv").write_text("video,score\nx.mp4,0.5\n")
    table, out = ("--predictions", tmp_path / "scores.csv"), ("--out", tmp_path / "out")
    assert f"{tmp_path}/scores.csv: missing SHARDS (" in refused(*table, *out)
    assert "--robustness has no effect with --predictions" in refused(shards, *table, "--robustness", *out)
    assert "1 of 1 videos are not in the shards, for example x.mp4" in refused(shards, *table, *out)
    assert "unknown detector 'xception'" in refused(shards, "--detector", "xception", *out)
    assert "missing SHARDS" in refused("--detector", "xception", *out)
