"""Measures whether a report of 10,000 tracks stays fluid in a browser, and how long it takes to write.

    python benchmarks/bench_report.py

Writes shards of short tracks of a portrait, makes a report, and opens it in headless Chromium (apt-get install chromium
chromium-driver). Time to first paint is from the start of the navigation, with an empty cache. Frame times are those of
``requestAnimationFrame`` while the wall scrolls, at the speed of a fast swipe, and from top to bottom in three seconds;
a screen of 60 Hz shows a frame every 16.7 ms. Headless Chromium draws without a GPU, on the same cores as everything
else. ``cpu_ms`` is processor time of the main thread, which other programs hardly change.
"""

from __future__ import annotations

import argparse
import os

# Must be set before torch and OpenCV are imported.
os.environ["OMP_NUM_THREADS"] = "1"

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data
import torch
from _common import write_result
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from mgst_data.core import VideoRecord
from mgst_data.report import write_report
from mgst_data.report.write import PAGE
from mgst_data.shards import FaceChunk, ShardWriter, VideoReport, encode_image, open_folder

CROP, FRAMES, LANDMARKS, REPEATS = 96, 3, 68, 5
METHODS = ("real", "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
# A fast swipe, CSS pixels per second: six screens.
SWIPE = 4000
SECONDS = 3.0
# Scrolls the wall at a speed (0: from top to bottom), and returns the time of every frame, milliseconds.
SCROLL = """
const [speed, seconds, done] = arguments, wall = document.getElementById("wall"), times = [], start = performance.now();
const far = wall.scrollHeight - wall.clientHeight, each = speed || far / seconds;
const step = (now) => {
  times.push(now);
  wall.scrollTop = each * (now - start) / 1000;
  if (now - start < 1000 * seconds) requestAnimationFrame(step);
  else done(times.slice(1).map((time, place) => time - times[place]));
};
requestAnimationFrame(step);
"""
# Runs one action, and returns the milliseconds until the next frame after the wall has changed.
ACT = """
const [id, value, done] = arguments, field = document.getElementById(id), count = document.getElementById("count");
const start = performance.now(), text = document.querySelector("#tiles .name").textContent + count.textContent;
field.value = value;
field.dispatchEvent(new Event("input", { bubbles: true }));
const look = () => {
  if (document.querySelector("#tiles .name").textContent + count.textContent === text) setTimeout(look, 1);
  else requestAnimationFrame(() => done(performance.now() - start));
};
look();
"""


def record_of(number: int) -> VideoRecord:
    """One of five methods, in three splits."""
    method = METHODS[number % len(METHODS)]
    video = f"{method}/{number:05d}.mp4"
    split = ("train", "val", "test")[number % 3]
    return VideoRecord(f"v{number:05d}", f"/x/{video}", video, "demo", split, int(method != "real"), method)


def chunk_of(record: VideoRecord, portrait: np.ndarray) -> FaceChunk:
    """A short track of a portrait in a colour of its own."""
    random = np.random.default_rng(int(record.key[1:]))
    picture = np.clip(portrait * random.uniform(0.5, 1.2, 3), 0, 255).astype(np.uint8)
    points = torch.from_numpy(random.uniform(20, 76, (FRAMES, LANDMARKS, 2)).astype(np.float32))
    return FaceChunk(
        record=record,
        track=0,
        chunk=0,
        fps=25.0,
        frame_indices=torch.arange(FRAMES),
        pts=torch.arange(FRAMES).double() / 25,
        frame_size=(1280, 720),
        crop_size=CROP,
        crop_from_frame=torch.eye(2, 3, dtype=torch.float64) * float(random.uniform(0.3, 1.0)),
        landmarks=points,
        landmarks_raw=points,
        valid=torch.from_numpy(random.random((FRAMES, LANDMARKS)) < 0.98),
        boxes=torch.tensor([20.0, 16.0, 76.0, 84.0]).expand(FRAMES, 4).clone(),
        scores=torch.from_numpy(random.uniform(0.95, 1, FRAMES).astype(np.float32)),
        images=(encode_image(picture),) * FRAMES,
    )


def make_shards(out: Path, tracks: int) -> None:
    """Writes a folder of shards with one track in each video."""
    portrait = cv2.resize(skimage.data.astronaut()[0:220, 110:330], (CROP, CROP), interpolation=cv2.INTER_AREA)
    records = [record_of(number) for number in range(tracks)]
    with open_folder(out, {}, records, videos_per_shard=500) as folder:
        for task in folder.missing(records):
            with ShardWriter(out, task.name, [record.key for record in task.records]) as shard:
                for record in task.records:
                    shard.write(chunk_of(record, portrait))
                    shard.end_video(VideoReport.of(record, frames=FRAMES, tracks=1, chunks=1, images=FRAMES))
        folder.finish()


def browser() -> Iterator[Chrome]:
    """Yields a new headless browser, with an empty cache, again and again."""
    while True:
        options = ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "window-size=1400,1000"):
            options.add_argument(f"--{argument}")
        driver = Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
        driver.set_script_timeout(120)
        try:
            yield driver
        finally:
            driver.quit()


def main_thread(driver: Chrome) -> float:
    """Processor time of the main thread of the page, milliseconds."""
    found = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return float(next(1000 * metric["value"] for metric in found if metric["name"] == "TaskDuration"))


def scroll(driver: Chrome, name: str, speed: float) -> dict[str, float]:
    """Scrolls the wall, and measures its frames.

    Args:
        driver: The browser with the page.
        name: What the figures are named after.
        speed: CSS pixels per second; 0 for from top to bottom.
    """
    before = main_thread(driver)
    frames = driver.execute_async_script(SCROLL, speed, SECONDS)
    return {
        f"{name}_frame_median_ms": statistics.median(frames),
        f"{name}_frame_95_ms": float(np.percentile(frames, 95)),
        f"{name}_frame_worst_ms": max(frames),
        f"{name}_cpu_ms_per_frame": (main_thread(driver) - before) / len(frames),
    }


def act(driver: Chrome, name: str, field: str, value: str) -> dict[str, float]:
    """Changes a field above the wall, and measures the time until the wall has changed.

    Args:
        driver: The browser with the page.
        name: What the figures are named after.
        field: Id of the field.
        value: New value.
    """
    before = main_thread(driver)
    taken = driver.execute_async_script(ACT, field, value)
    return {f"{name}_ms": taken, f"{name}_cpu_ms": main_thread(driver) - before}


def measure_page(driver: Chrome, page: Path) -> dict[str, float]:
    """Opens the page, scrolls, filters and sorts.

    Args:
        driver: A new browser.
        page: Page of the report.
    """
    driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    driver.get(page.as_uri())
    WebDriverWait(driver, 120, poll_frequency=0.02).until(
        lambda driver: driver.execute_script("return document.documentElement.dataset.ready !== undefined")
    )
    paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    tiles = "performance.getEntriesByName('tiles')[0].startTime"
    ready = "performance.getEntriesByName('filters')[0].startTime"
    start = driver.execute_script(f"return [{paint}, {tiles}, {ready}]")
    opened = main_thread(driver)
    return {
        "first_paint_ms": start[0],
        "first_tiles_ms": start[1],
        "filters_ready_ms": start[2],
        "open_cpu_ms": opened,
        **scroll(driver, "swipe", SWIPE),
        **scroll(driver, "whole", 0),
        "tiles_in_the_document": driver.execute_script("return document.querySelectorAll('#tiles button').length"),
        **act(driver, "filter", "by-method", '"FaceSwap"'),
        **act(driver, "sort", "sort", "3"),
        **act(driver, "search", "search", "0123"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--work", type=Path, help="Folder for shards and report, to use them again.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        shards, out = work / "shards", work / "report"
        if not (shards / "dataset.json").exists():
            make_shards(shards, options.tracks)
        page = out / PAGE
        figures: dict[str, Any] = {"tracks": options.tracks}
        if not page.exists():
            start = time.perf_counter()
            write_report(shards, out, frames=FRAMES, side=64, duplicates=False)
            seconds = time.perf_counter() - start
            figures |= {"write_seconds": round(seconds, 1), "tracks_per_second": round(options.tracks / seconds, 1)}
        browsers = browser()
        runs = [measure_page(next(browsers), page) for _ in range(options.repeats)]
        browsers.close()
        figures |= {
            "page_bytes": page.stat().st_size,
            "report_bytes": sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
            "load": os.getloadavg()[0],
            "median": {name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]},
            "runs": runs,
        }
    for name, value in figures["median"].items():
        print(f"{name}: {value:g}")
    print(write_result("report", figures))


if __name__ == "__main__":
    main()
