"""Takes the pictures of the HTML pages in ``docs/pages/`` from what ``make demo`` has written. Needs Chromium.

make demo
python docs/make_pages.py demo
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

PICTURES = Path(__file__).with_name("pages")
WIDTH, QUALITY = 1000, 80
# Of each picture: the page below the folder of the demo, the height of the window, and what to do before.
PAGES = {
    "prediction": ("prediction/report.html", 1180, "document.getElementById('media').currentTime = 1.02"),
    "evaluation": ("evaluation/report.html", 1230, "document.getElementById('scores').scrollIntoView()"),
    "training": ("network/report.html", 1000, ""),
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
            Image.open(io.BytesIO(picture)).convert("RGB").save(PICTURES / f"{name}.webp", quality=QUALITY, method=6)
    finally:
        driver.quit()


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
