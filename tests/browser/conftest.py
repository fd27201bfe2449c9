"""One headless browser for all tests of pages. The helpers are in browsing.py."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import NoReturn

import pytest
from browser.browsing import HEIGHT, WIDE
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service


@pytest.fixture(scope="session")
def driver() -> Iterator[Chrome]:
    """Headless Chromium. Without it tests are skipped; with MGST_REQUIRE_BROWSER=1 they fail."""
    paths = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        _unavailable(f"not installed: {', '.join(missing)}; run: apt-get install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = str(paths["chromium"])
    for argument in (
        "headless=new",
        "no-sandbox",
        "disable-dev-shm-usage",
        "force-prefers-reduced-motion",
        f"window-size={WIDE},{HEIGHT}",
    ):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = Chrome(options=options, service=Service(str(paths["chromedriver"])))
    try:
        yield chrome
    finally:
        chrome.quit()


def _unavailable(why: str) -> NoReturn:
    if os.environ.get("MGST_REQUIRE_BROWSER") == "1":
        pytest.fail(f"MGST_REQUIRE_BROWSER=1, but {why}")
    pytest.skip(why)
