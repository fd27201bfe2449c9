"""Draws ``docs/gallery/report.webp``: the wall and a film strip of a report on the demo data set.

python docs/make_report.py             # needs Chromium with its driver, and about two minutes
"""

from __future__ import annotations

import shutil
import time
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from mgst_data.datasets import scan_dataset
from mgst_data.demo import render_demo
from mgst_data.extract import ExtractConfig, extract
from mgst_data.report import write_report

PICTURE = Path(__file__).with_name("gallery") / "report.webp"
WIDTH, HEIGHT, QUALITY = 1160, 780, 80


def main() -> None:
    """Renders, extracts, writes the report, and takes two pictures."""
    with TemporaryDirectory() as folder:
        videos, shards = Path(folder, "demo"), Path(folder, "shards")
        render_demo(videos)
        extract(scan_dataset(videos, masks=True), ExtractConfig(masks=True), shards)
        pictures = screenshots(write_report(shards, Path(folder, "report"), frames=6).page)
    save(pictures)


def save(pictures: list[Image.Image]) -> None:
    """Writes the pictures below each other."""
    both = Image.new("RGB", (WIDTH, sum(picture.height for picture in pictures)))
    top = 0
    for picture in pictures:
        both.paste(picture, (0, top))
        top += picture.height
    both.save(PICTURE, quality=QUALITY, method=6)


def screenshots(page: Path) -> list[Image.Image]:
    """Takes pictures of the wall, and of the film strip of a fake.

    Args:
        page: Page of the report.
    """
    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("headless=new", "no-sandbox", f"window-size={WIDTH},{HEIGHT}", "hide-scrollbars"):
        options.add_argument(f"--{argument}")
    driver = Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    try:
        size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get(page.as_uri())
        time.sleep(3)
        driver.execute_script("document.getElementById('tracks').scrollIntoView({behavior: 'instant'})")
        time.sleep(1)
        wall = shot(driver)
        driver.execute_script("[...document.querySelectorAll('.tile.fake')].at(-1).click()")
        time.sleep(2)
        box = driver.execute_script(
            "const r = document.getElementById('film').getBoundingClientRect();"
            "return [0, Math.floor(r.top) - 12, innerWidth, Math.ceil(r.bottom) + 12]"
        )
        return [wall, shot(driver).crop(box)]
    finally:
        driver.quit()


def shot(driver: Chrome) -> Image.Image:
    """Takes a picture of the window."""
    return Image.open(BytesIO(driver.get_screenshot_as_png())).convert("RGB")


if __name__ == "__main__":
    main()
