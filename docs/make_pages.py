"""Takes the pictures of the HTML pages in ``docs/pages/`` from what ``make demo`` has written. Needs Chromium.

make demo
pip install 'mgst[app]'
python docs/make_pages.py demo
"""

from __future__ import annotations

import argparse
import io
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PICTURES = Path(__file__).with_name("pages")
WIDTH, QUALITY = 1000, 80
# Of each picture: the page below the folder of the demo, the height of the window, and what to do before.
PAGES = {
    "prediction": ("prediction/report.html", 1180, "document.getElementById('media').currentTime = 1.02"),
    "evaluation": ("evaluation/report.html", 1230, "document.getElementById('scores').scrollIntoView()"),
    "training": ("network/report.html", 1000, ""),
}
# Of each picture of mgst-app: number of the tab, where the video goes, the video, what appears then, and the height of
# the window.
TABS = {
    "app_score": (0, "#score-file", "manipulated_sequences/Deepfakes/c23/videos/006_007.mp4", ".mgst-page", 1100),
    "app_blends": (1, "#blend-file", "original_sequences/youtube/c23/videos/006.mp4", ".mgst-panels", 1000),
}


def main() -> None:
    """Opens the pages and takes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, help="Folder that make demo has written.")
    demo = parser.parse_args().demo.resolve()
    PICTURES.mkdir(exist_ok=True)
    options = ChromeOptions()
    for argument in ("headless=new", "no-sandbox", "hide-scrollbars", "force-prefers-reduced-motion"):
        options.add_argument(f"--{argument}")
    driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        for name, (page, height, script) in PAGES.items():
            picture = shoot(driver, demo / page, height, script)
            keep(name, picture)
        shoot_app(driver, demo)
    finally:
        driver.quit()


def keep(name: str, picture: bytes) -> None:
    """Writes a picture as WebP.

    Args:
        name: Name of the picture.
        picture: The picture, PNG.
    """
    Image.open(io.BytesIO(picture)).convert("RGB").save(PICTURES / f"{name}.webp", quality=QUALITY, method=6)


def shoot_app(driver: Chrome, demo: Path) -> None:
    """Starts ``mgst-app``, drops a video into each tab, and takes a picture.

    Args:
        driver: The browser.
        demo: Folder that make demo has written.
    """
    command = [sys.executable, "-m", "mgst_cli.app", "--weights", str(demo / "network"), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as app:
        try:
            assert app.stdout is not None
            address = app.stdout.readline().split()[0]
            for name, (tab, place, video, result, height) in TABS.items():
                size = {"width": WIDTH, "height": height, "deviceScaleFactor": 1, "mobile": False}
                driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
                driver.get(address)
                patient = WebDriverWait(driver, 300)
                patient.until(lambda page: page.find_elements(By.CSS_SELECTOR, "button[role=tab]"))[tab].click()
                patient.until(
                    lambda page, place=place: page.find_element(By.CSS_SELECTOR, f"{place} input[type=file]")
                ).send_keys(str(demo / "videos" / video))
                patient.until(lambda page, result=result: page.find_elements(By.CSS_SELECTOR, result))
                time.sleep(5)  # the page in the page draws its charts
                keep(name, driver.get_screenshot_as_png())
        finally:
            app.send_signal(signal.SIGINT)


def shoot(driver: Chrome, page: Path, height: int, script: str) -> bytes:
    """Returns a PNG of a page.

    Args:
        driver: The browser.
        page: File of the page.
        height: Height of the window, pixels.
        script: JavaScript that is run before.
    """
    size = {"width": WIDTH, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get(page.as_uri())
    # All charts are drawn, then the script runs, and what it shows is there a little later.
    driver.execute_async_script(
        "const done = arguments[0];"
        "const names = [...document.querySelectorAll('script[data-chart]')].map((item) => item.dataset.chart);"
        f"Promise.all(names.map((name) => mgst.draw(name))).then(() => {{ {script}; setTimeout(done, 2000); }});"
    )
    return driver.get_screenshot_as_png()


if __name__ == "__main__":
    main()
