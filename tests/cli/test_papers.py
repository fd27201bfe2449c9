"""The commands of docs/reproduce.md run from data sets to tables, on miniatures, with the options of each paper."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from mgst_cli.common.options import PAPERS
from mgst_cli.common.tables import preset_file
from mgst_cli.data import data
from mgst_cli.evaluate import evaluate
from mgst_cli.train import train
from miniatures import make_miniatures

from mgst_data.shards import ShardReader

PAGE = (Path(__file__).parents[2] / "docs" / "reproduce.md").read_text()
COMMANDS = {"mgst-data": data, "mgst-train": train, "mgst-eval": evaluate}
# What does not fit a machine without a GPU. All other options are those of the file.
TINY = {
    "papers/sbi": ["network.backbone=test_efficientnet", "data.size=44"],
    "papers/fakestormer": ["network.backbone=test_vit", "data.size=64"],
    "papers/multi_grained": ["network.backbone=test_convnext", "data.size=32", "train.precision=32-true"],
}
CHANGES = ["network.pretrained=random", "network.dim=16", "network.heads=2", "network.blocks=3", "data.workers=0"]
CHANGES += ["train.epochs=1"]
SIX = tomllib.loads(preset_file("six_data_sets", "eval").read_text())["groups"]
FRAMES = 17  # one more than a segment of the longest kind has


def block(language: str) -> str:
    """Returns the only block of the page in a language."""
    (code,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return code


@pytest.fixture(scope="module")
def data_sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("data_sets")
    make_miniatures(root, frames=FRAMES)
    with contextlib.chdir(root):
        exec(compile(block("python"), "reproduce.md", "exec"), {})
    return root


def run(line: str, *more: str):
    command, *arguments = shlex.split(line)
    return CliRunner().invoke(COMMANDS[command], [*arguments, *more, "--device", "cpu"], catch_exceptions=False)


def test_the_page_has_a_row_for_every_paper():
    assert re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE) == [paper.removeprefix("papers/") for paper in PAPERS]


@pytest.mark.slow
@pytest.mark.timeout(900)  # on a busy machine; alone, a paper takes less than 15 seconds
@pytest.mark.parametrize("paper", PAPERS)
def test_a_paper_runs_from_data_sets_to_tables(paper, data_sets):
    name = paper.removeprefix("papers/")
    changes = [part for change in (*TINY[paper], *CHANGES) for part in ("--set", change)]
    extra = {
        "mgst-data": ["--executor", "serial", "--strict"],
        "mgst-train": changes,
        "mgst-eval": ["--resamples", "10", "--json"],
    }
    first, *lines = block("sh").splitlines()
    assert first.startswith("PAPER=")
    with contextlib.chdir(data_sets):
        for line in lines:
            result = run(line.replace("$PAPER", name), *extra[line.split()[0]])
            assert result.exit_code == 0, f"{line}\n{result.stderr}"
    told = json.loads(result.stdout)

    content = tomllib.loads(preset_file(paper).read_text())
    used = json.loads((data_sets / name / "weights" / "best.json").read_text())["info"]["experiment"]
    changed = {change.partition("=")[0] for change in (*TINY[paper], *CHANGES)}
    for table in ("network", "data", "augment", "loss", "train"):
        for option, value in content[table].items():
            assert f"{table}.{option}" in changed or used[table][option] == value
    chunks = ShardReader.open(str(data_sets / name / "celeb_df"))
    assert int(chunks.frames.max()) == min(FRAMES, content["extract"]["frames"])

    for evaluation, groups in zip(told["evaluations"], (content["groups"], SIX), strict=True):
        assert [group["group"] for group in evaluation["groups"]] == list(groups)
        for group in evaluation["groups"]:
            assert group["real"] > 0
            assert group["fake"] > 0
            assert 0 <= group["auc"] <= 1
