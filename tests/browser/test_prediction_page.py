"""The page of a scored video in a browser: playing, seeking, layers, and what it shows without the video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from browser.browsing import check_page, open_page, settle, wait
from face_videos import encode, faces
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By

from mgst_model.predict import TrackPrediction, VideoPrediction

FRAMES, RATE, SIZE = 50, 25, (240, 160)
DRAWN = (
    "(() => { const layer = document.getElementById('layer');"
    "const seen = layer.getContext('2d').getImageData(0, 0, layer.width, layer.height).data;"
    "let sum = 0; for (let i = 3; i < seen.length; i += 4) sum += seen[i] > 0; return sum; })()"
)


def track(number: int, left: int, frames: int) -> TrackPrediction:
    """A face of some frames, whose score rises from 0 to 1."""
    count = np.arange(frames)
    return TrackPrediction(
        id=number,
        frame=count,
        time=count / RATE,
        score=(count / (frames - 1)).astype(np.float32),
        boxes=np.tile(np.array([left, 40.0, left + 50, 100.0]), (frames, 1)),
        squares=np.tile(np.array([left - 15, 25.0, left + 75, 115.0]), (frames, 1)),
        patches=np.full((frames, 4, 4), 0.9, np.float16),
        overall=0.5 + 0.1 * number,
    )


def prediction(video: Path, **options: object) -> VideoPrediction:
    tracks = [track(0, 20, FRAMES), track(1, 140, 20)]
    about = {
        "frames": FRAMES,
        "fps": float(RATE),
        "size": SIZE,
        "seconds": FRAMES / RATE,
        "caution": "do not rely on it",
    }
    return VideoPrediction(source=str(video), tracks=tracks, main=0, **{**about, **options})


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a video that the browser plays. Its name needs an escape in the link."""
    folder = tmp_path_factory.mktemp("page")
    video = encode(folder / "a talk #1.mp4", faces(FRAMES, (0, 0), size=SIZE, side=150))
    prediction(video).save(folder / "scores", video=False)
    return folder / "scores" / "report.html"


def test_the_page_passes(driver: Chrome, page: Path):
    open_page(driver, page)
    wait(driver, "document.getElementById('media').readyState >= 2")
    assert not driver.find_element(By.ID, "missing").is_displayed()
    check_page(driver)


def test_a_click_on_the_curve_or_on_a_picture_seeks(driver: Chrome, page: Path):
    open_page(driver, page)
    settle(driver)
    wait(driver, "document.getElementById('media').readyState >= 2")
    area = driver.find_element(By.CSS_SELECTOR, "#curve .nsewdrag")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", area)
    for share in (0.25, 0.75):
        across = (share - 0.5) * area.size["width"]
        ActionChains(driver).move_to_element_with_offset(area, round(across), 0).pause(0.2).click().perform()
        wait(driver, f"Math.abs(document.getElementById('media').currentTime - {share * FRAMES / RATE}) < 0.1")
        # The cursor of the curve follows.
        wait(driver, f"Math.abs(document.getElementById('curve').layout.shapes[1].x0 - {share * FRAMES / RATE}) < 0.1")
    button = driver.find_elements(By.CSS_SELECTOR, "button[data-time]")[0]
    driver.execute_script("arguments[0].click()", button)
    wanted = float(button.get_attribute("data-time") or "nan")
    wait(driver, f"Math.abs(document.getElementById('media').currentTime - {wanted}) < 0.03")
    assert "face 0: 1.00" in wait(driver, "document.getElementById('now').textContent.includes('1.00') && "
                                  "document.getElementById('now').textContent")  # fmt: skip


def test_the_scores_follow_the_playing_video(driver: Chrome, page: Path):
    open_page(driver, page)
    settle(driver)
    driver.execute_script("document.getElementById('media').muted = true; document.getElementById('media').play()")
    wait(driver, "document.getElementById('media').ended")
    # The second face is gone at the end.
    assert wait(driver, "/face 0: (0.9|1.0)/.test(document.getElementById('now').textContent)")
    assert "face 1" not in driver.find_element(By.ID, "now").text
    assert driver.execute_script("return document.getElementById('curve').layout.shapes[1].x0") > 1.8


def test_switches_hide_the_layers(driver: Chrome, page: Path):
    open_page(driver, page)
    both = wait(driver, DRAWN)
    driver.find_element(By.ID, "heat").click()
    boxes = driver.execute_script(f"return {DRAWN}")
    assert 0 < boxes < both
    driver.find_element(By.ID, "boxes").click()
    assert driver.execute_script(f"return {DRAWN}") == 0
    driver.find_element(By.ID, "heat").click()
    assert 0 < driver.execute_script(f"return {DRAWN}") < both


def test_an_annotated_copy_is_shown_where_the_original_cannot_be(driver: Chrome, tmp_path: Path):
    video = encode(tmp_path / "talk.mkv", faces(FRAMES, (0, 0), size=SIZE, side=150))
    prediction(video).save(tmp_path / "scores")
    open_page(driver, tmp_path / "scores" / "report.html")
    wait(driver, "document.getElementById('media').readyState >= 2")
    assert "talk.mp4" in driver.execute_script("return document.getElementById('media').src")
    assert not driver.find_elements(By.ID, "boxes")
    assert not driver.find_elements(By.ID, "layer")


def test_a_missing_video_is_said(driver: Chrome, tmp_path: Path):
    video = encode(tmp_path / "talk.mkv", faces(FRAMES, (0, 0), size=SIZE, side=150))
    prediction(video).save(tmp_path / "none", video=False)
    open_page(driver, tmp_path / "none" / "report.html")
    assert "There is no video to show" in driver.find_element(By.ID, "main").text
    assert len(driver.find_elements(By.CSS_SELECTOR, "span.shot")) > 4
    check_page(driver)
    playable = video.rename(tmp_path / "talk.mp4")
    encode(playable, faces(FRAMES, (0, 0), size=SIZE, side=150))
    prediction(playable).save(tmp_path / "moved", video=False)
    playable.unlink()
    open_page(driver, tmp_path / "moved" / "report.html")
    wait(driver, "!document.getElementById('missing').hidden")
