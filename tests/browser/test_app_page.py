"""``mgst-app`` in a browser: a clip, files that cannot be scored, and sliders that change a blend."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from browser.browsing import NARROW, emulated, errors, violations, wait
from face_videos import empty_rooms, encode, faces
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By

from mgst_data.video.files import not_a_video
from mgst_model.networks import NetworkConfig, build_network
from mgst_model.networks.checkpoint import save_network

pytestmark = pytest.mark.skipif(find_spec("gradio") is None, reason="not installed: gradio; pip install 'mgst[app]'")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip, a video without a face, and a text file that names another file."""
    folder = tmp_path_factory.mktemp("files")
    encode(folder / "talk.mp4", faces(12))
    encode(folder / "a <b>{{1}}.mp4", empty_rooms(4))
    (folder / "notes.txt").write_text(f"{folder / 'talk.mp4'}\n")
    return folder


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running app. At the end, Ctrl-C must end it, and no file may be left."""
    folder = tmp_path_factory.mktemp("app")
    config = NetworkConfig(kind="image", backbone="test_convnext", pretrained="random")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network(config)
    save_network(folder / "network", network, config, frames=4, size=32)
    (folder / "tmp").mkdir()
    command = [sys.executable, "-m", "mgst_cli.app", "--weights", str(folder / "network.safetensors"), "--no-browser"]
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "PYTHONUNBUFFERED": "1"}
    app = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert app.stdout is not None
        yield app.stdout.readline().split()[0]
    finally:
        app.send_signal(signal.SIGINT)
        rest, said = app.communicate(timeout=20)
    assert (app.returncode, rest) == (130, "")
    assert said.splitlines()[-1] == "interrupted; run the same command again"
    assert "Traceback" not in said
    assert not list((folder / "tmp").iterdir())


@pytest.fixture
def page(driver: Chrome, address: str) -> Chrome:
    """The browser with a fresh page of the app."""
    driver.get("about:blank")
    driver.get_log("browser")
    driver.get(address)
    wait(driver, "document.querySelector('#score-file input[type=file]')")
    return driver


def drop(driver: Chrome, place: str, file: Path) -> None:
    driver.find_element(By.CSS_SELECTOR, f"#{place} input[type=file]").send_keys(str(file))


def line(driver: Chrome, place: str) -> str:
    """Waits for an error, and returns it."""
    wait(driver, f"document.querySelector('#{place} .mgst-error')")
    return driver.find_element(By.ID, place).text


def test_a_clip_gets_the_page_of_mgst_predict(page: Chrome, address: str, files: Path):
    drop(page, "score-file", files / "talk.mp4")
    wait(page, "document.querySelector('iframe.mgst-page')", seconds=60)
    # The frame is as high as its page.
    inside = "document.querySelector('iframe.mgst-page').contentDocument"
    wait(page, f"{inside}?.getElementById('media')?.readyState >= 2")
    wait(page, f"document.querySelector('iframe.mgst-page').offsetHeight >= {inside}.body.offsetHeight")
    assert not violations(page)
    with emulated(page, dark=True, width=NARROW):
        wait(page, f"document.documentElement.scrollWidth <= {NARROW}")
        assert not violations(page, "color-contrast")

    links = {
        item.text: str(item.get_attribute("href")) for item in page.find_elements(By.CSS_SELECTOR, ".mgst-links a")
    }
    scores = json.loads(fetched(page, links["Download the scores (JSON)"]))
    assert (scores["video"], scores["frames"]) == ("talk.mp4", 12)
    page.switch_to.frame(page.find_element(By.CSS_SELECTOR, "iframe.mgst-page"))
    said = page.find_element(By.CSS_SELECTOR, ".verdict").text
    assert said.startswith(f"{scores['verdict']}, score {scores['score']:.3f}")
    page.switch_to.default_content()

    script = "return [location, ...performance.getEntriesByType('resource').map((e) => e.name)].map(String)"
    asked = page.execute_script(script)
    assert len(asked) > 10
    assert all(name.startswith((address, "data:", "blob:")) for name in asked)
    assert not errors(page)  # the browser would write that it has refused something


def fetched(driver: Chrome, link: str) -> str:
    return driver.execute_async_script(
        "const done = arguments[1]; fetch(arguments[0]).then((answer) => answer.text()).then(done);", link
    )


def test_bad_input_gives_the_line_of_the_command(page: Chrome, files: Path):
    drop(page, "score-file", files / "notes.txt")
    said = str(not_a_video(str(files / "notes.txt")))
    assert line(page, "score-result") == f"error: {said.replace(f'{files}/', '')}"
    page.find_element(By.XPATH, "//button[contains(., 'Options')]").click()
    wait(page, "document.querySelector('#threshold input, #threshold textarea')?.offsetParent")
    page.find_element(By.CSS_SELECTOR, "#threshold input, #threshold textarea").send_keys("abc")
    page.find_element(By.ID, "score-again").click()
    wait(page, "document.querySelector('#score-result .mgst-error')?.innerText.includes('abc')")
    page.find_elements(By.CSS_SELECTOR, "button[role=tab]")[1].click()
    drop(page, "blend-file", files / "a <b>{{1}}.mp4")
    assert "no face" in line(page, "blend-result")


def test_a_slider_changes_the_blend(page: Chrome, files: Path):
    page.find_elements(By.CSS_SELECTOR, "button[role=tab]")[1].click()
    drop(page, "blend-file", files / "talk.mp4")
    pictures = "[...document.querySelectorAll('.mgst-panels img')].map((item) => item.src)"
    before = wait(page, f"({pictures}).length === 4 && {pictures}", seconds=60)
    assert len(set(before)) == 4
    page.find_element(By.CSS_SELECTOR, "#dial-strength input[type=range]").send_keys(Keys.HOME)
    after = wait(page, f"({pictures})[1] !== {json.dumps(before[1])} && {pictures}")
    assert after[2:] != before[2:]  # mask and difference
    assert after[0] == before[0]
    command = wait(page, "document.querySelector('.mgst-command')?.innerText.includes('--set') && "
                         "document.querySelector('.mgst-command').innerText")  # fmt: skip
    assert command.endswith("--seed 0 --count 1 --set 'mask.ratios=[0.05]'")
    assert not violations(page)
    assert not errors(page)
