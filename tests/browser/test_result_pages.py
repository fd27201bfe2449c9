"""The pages of an evaluation and of a training in a browser."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from browser.browsing import check_page, open_page, settle
from click.testing import CliRunner
from face_shards import write_face_shards
from mgst_cli.evaluate import evaluate
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from mgst_data.shards import ShardReader
from mgst_model.evaluate.predictions import Predictions, VideoScore
from mgst_model.train import Experiment
from mgst_model.train.report import write_report
from mgst_model.train.state import write_table


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of two detectors with made-up scores. One of the videos exists."""
    folder = tmp_path_factory.mktemp("evaluation")
    shards = write_face_shards(folder / "shards", train=0, val=6, fakes=True)
    records = {chunk.record.key: chunk.record for chunk in ShardReader.open(shards)}
    random = np.random.default_rng(0)
    for name in ("first", "second"):
        videos = []
        for number, record in enumerate(records.values()):
            score = float(np.clip(0.35 + 0.3 * record.label + random.normal() / 5, 0, 1))
            about = {"key": record.key, "dataset": record.dataset, "method": record.method, "label": record.label}
            frames = tuple(np.clip(score + 0.01 * np.arange(8), 0, 1).tolist()) if number else (score,)
            indices = tuple(range(len(frames)))
            videos.append(VideoScore(**about, score=score, frames=frames, frame_indices=indices, segments=(score,)))
        info = {"shards": [str(shards)]}
        Predictions(name, tuple(videos), info).save(folder / "scores" / "predictions" / name)
    video = folder / "data" / next(iter(records.values())).video
    video.parent.mkdir(parents=True)
    video.touch()
    arguments = (
        "--predictions",
        folder / "scores",
        "--src",
        folder / "data",
        "--out",
        folder / "out",
        "--resamples",
        50,
    )
    result = CliRunner().invoke(evaluate, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return folder / "out" / "report.html"


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training with made-up numbers."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    folder.mkdir()
    settings = {"shards": "shards", **Experiment().as_dict()}
    settings["train"] = {**settings["train"], "lr": 0.123}
    (folder / "config.json").write_text(json.dumps(settings))
    fixed = {"rate": 1e-3, "patch": 1.0, "seconds_data": 0.1}
    steps = [{"step": n, "epoch": (n - 1) // 1000, "total": 2 - n / 5000, **fixed} for n in range(1, 4001)]
    write_table(folder / "steps.csv", steps)
    rows = [{"step": 1000 * (n + 1), "epoch": n, "auc": auc, "loss": 1 - auc, "best": int(n < 2)}
            for n, auc in enumerate((0.6, 0.8, 0.7, 0.75))]  # fmt: skip
    write_table(folder / "validation.csv", rows)
    (folder / "best.safetensors").write_bytes(bytes(2_000_000))
    return write_report(folder)


def test_the_page_of_an_evaluation_passes_and_names_the_worst_errors(driver: Chrome, evaluation: Path):
    open_page(driver, evaluation)
    check_page(driver)
    assert "ROC" in driver.find_element(By.ID, "roc-figure").text
    shots = driver.find_elements(By.CSS_SELECTOR, ".shot")
    assert len(shots) == 24
    assert driver.execute_script(
        "return [...document.querySelectorAll('.shot img')].filter((image) => image.naturalWidth === 176).length"
    ) == len(shots)
    # The highest real videos come first.
    scores = [float(shot.find_element(By.TAG_NAME, "strong").text) for shot in shots[:6]]
    assert scores == sorted(scores, reverse=True)
    links = {link.get_attribute("href") for link in driver.find_elements(By.CSS_SELECTOR, ".shot a")}
    assert {link.split("#t=")[0] for link in links} == {
        path.resolve().as_uri() for path in (evaluation.parents[1] / "data").rglob("*.mp4")
    }


def test_charts_of_an_evaluation_name_what_they_show(driver: Chrome, evaluation: Path):
    open_page(driver, evaluation)
    settle(driver)
    roc = driver.execute_script("return document.getElementById('roc').data")
    assert [trace["name"].split(":")[0] for trace in roc[1:]] == ["first", "second"]
    assert all(len(trace["text"]) == len(trace["x"]) for trace in roc[1:])
    bars = driver.execute_script("return document.getElementById('auc-0').data")
    assert all(len(bar["error_y"]["array"]) == len(bar["x"]) for bar in bars)
    real, fake = driver.execute_script("return document.getElementById('scores-0').data.map((bar) => bar.y)")
    assert sum(real) == pytest.approx(1, abs=1e-3)
    assert sum(fake) == pytest.approx(1, abs=1e-3)
    assert driver.find_elements(By.ID, "difference-0")


def test_the_page_of_a_training_passes(driver: Chrome, training: Path):
    open_page(driver, training)
    check_page(driver)
    text = driver.find_element(By.TAG_NAME, "body").text
    assert "0.8000" in text
    assert "2.0 MB" in text
    assert f"mgst-predict VIDEO --weights {training.parent}" in text
    assert [item.text for item in driver.find_elements(By.CSS_SELECTOR, "#options ~ .charts strong")] == ["lr", "0.123"]
    curve = driver.execute_script("return document.getElementById('loss').data[0]")
    assert len(curve["x"]) <= 1500
    assert curve["x"][-1] == 4000
    auc = driver.execute_script("return document.getElementById('validation-auc').data[0]")
    assert auc["marker"]["symbol"] == ["star", "star", "circle", "circle"]
