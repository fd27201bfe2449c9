"""What every page must do in a browser: ``check_page(driver)`` after ``open_page(driver, path)``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_core_python.selenium import Axe
from selenium.webdriver import Chrome
from selenium.webdriver.support.ui import WebDriverWait

WIDE, NARROW, HEIGHT = 1200, 400, 900
# Rules whose result depends on the colour scheme.
_COLOURS = ("color-contrast",)
_SEVERE = ("serious", "critical")


def open_page(driver: Chrome, path: Path) -> None:
    """Opens a file, and forgets what earlier pages have written to the console."""
    driver.get("about:blank")
    driver.get_log("browser")
    driver.get(path.resolve().as_uri())
    wait(driver, "document.readyState === 'complete'")


def wait(driver: Chrome, condition: str, *, seconds: float = 20) -> Any:
    """Waits until a JavaScript expression is true, and returns its value."""
    return WebDriverWait(driver, seconds, poll_frequency=0.02).until(
        lambda driver: driver.execute_script(f"return {condition}"), f"not true in {seconds} s: {condition}"
    )


def settle(driver: Chrome) -> None:
    """Waits until all charts that are visible have been drawn."""
    driver.execute_async_script(
        "const done = arguments[0];"
        "const names = [...document.querySelectorAll('script[data-chart]')].map((e) => e.dataset.chart);"
        "Promise.all(names.map((name) => mgst.draw(name))).then(() => requestAnimationFrame(() => done()));"
    )


def check_page(driver: Chrome, *, patience: float = 10) -> None:
    """Fails unless the open page has no errors, can be used by everyone, fits 400 pixels, and has a dark mode.

    ``patience`` is how long the page may take to fit a narrow window, seconds.
    """
    settle(driver)
    for dark in (False, True):
        with emulated(driver, dark=dark):
            light = luminance(driver)
            assert light < 0.2 if dark else light > 0.8, f"background of luminance {light} with dark = {dark}"
            found = violations(driver, *(_COLOURS if dark else ()))
            assert not found, f"{'dark' if dark else 'light'} mode:\n" + "\n".join(found)
    with emulated(driver, width=NARROW):
        settle(driver)
        # Charts are drawn again at the new width a little later.
        wait(driver, f"document.documentElement.scrollWidth <= {NARROW}", seconds=patience)
    found = errors(driver)
    assert not found, found


@contextmanager
def emulated(driver: Chrome, *, dark: bool = False, width: int = WIDE) -> Iterator[None]:
    """Emulates a window and a colour scheme."""
    media = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    size = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        yield
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def errors(driver: Chrome) -> list[str]:
    """Errors in the console since the last call or since the page was opened."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


def violations(driver: Chrome, *rules: str, part: str = "html") -> list[str]:
    """What axe-core calls serious or critical in a part of the page, by all rules or by those given."""
    context = {"include": [[part]], "exclude": [[".plot .svg-container"]]}  # one picture, with a text
    options = {"resultTypes": ["violations"], **({"runOnly": [*rules]} if rules else {})}
    found = Axe().run(driver, context=context, options=options)["violations"]
    return [
        f"{violation['id']}: {violation['help']}: {node['html'][:160]} {node.get('failureSummary', '')}"
        for violation in found
        if violation["impact"] in _SEVERE
        for node in violation["nodes"][:5]
    ]


def luminance(driver: Chrome) -> float:
    """Mean of the channels of the background of the page, [0, 1]."""
    colour = driver.execute_script("return getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g)")
    return sum(float(value) for value in colour[:3]) / 3 / 255
