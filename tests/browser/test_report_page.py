"""The report on shards in a browser: wall, filters, list, film strip, keyboard."""

from __future__ import annotations

import json
import re
from pathlib import Path
from unittest import mock

import pytest
from browser.browsing import check_page, emulated, errors, open_page, violations, wait
from report.report_folder import FAKE, NAME, REAL, write_folder
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from mgst_data.report import write_report
from mgst_data.report.charts import track_charts

COUNT = len(REAL) + len(FAKE)
READY = "document.documentElement.dataset.ready !== undefined"
FILM = "document.querySelectorAll('#film-frames svg').length"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page with its first two charts: drawing all of them takes most of the time of these tests."""
    shards, root = write_folder(tmp_path_factory.mktemp("browsed"))
    with mock.patch("mgst_data.report.write.track_charts", lambda tracks: track_charts(tracks)[:2]):
        return write_report(shards, shards.parent / "report", roots=[str(root)], frames=4, side=48, workers=1).page


@pytest.fixture
def report(driver: Chrome, page: Path) -> Chrome:
    """The browser with the report open."""
    open_page(driver, page)
    wait(driver, READY)
    return driver


def shown(driver: Chrome) -> list[str]:
    """Names of the tiles, in order."""
    script = (
        "return [...document.querySelectorAll('#tiles > div')].sort((a, b) => a.ariaPosInSet - b.ariaPosInSet)"
        ".map((e) => e.querySelector('.name').textContent)"
    )
    return driver.execute_script(script)


def filtered(driver: Chrome, count: int) -> None:
    wait(driver, f"document.getElementById('count').textContent.startsWith('{count} of {COUNT} ')")


def press(driver: Chrome, *keys: str) -> None:
    ActionChains(driver, duration=0).send_keys(*keys).perform()


def focused(driver: Chrome) -> str:
    return driver.execute_script("return document.activeElement.textContent")


def test_the_report_passes_all_checks(report: Chrome):
    check_page(report)
    report.find_element(By.ID, "as-list").click()
    wait(report, "document.querySelectorAll('#list tbody tr').length > 5")
    with emulated(report, dark=True):
        assert not violations(report, part="#list-view")
        report.find_element(By.CSS_SELECTOR, "#list tbody button").click()
        wait(report, f"{FILM} === 4")
        assert not violations(report, part="#film")
    assert not errors(report)


def test_filters_search_and_sorting_choose_the_tiles(report: Chrome):
    assert len(shown(report)) == COUNT
    assert NAME in shown(report)
    Select(report.find_element(By.ID, "by-label")).select_by_index(2)
    filtered(report, len(FAKE))
    assert all("swap" in name for name in shown(report))
    report.find_element(By.CSS_SELECTOR, "#filters button[type=reset]").click()
    filtered(report, COUNT)
    Select(report.find_element(By.ID, "by-reasons")).select_by_value('"possible duplicate"')
    filtered(report, 2)
    report.find_element(By.CSS_SELECTOR, "#filters button[type=reset]").click()
    report.find_element(By.ID, "doubt-from").send_keys("40")
    filtered(report, 1)
    report.find_element(By.CSS_SELECTOR, "#filters button[type=reset]").click()
    report.find_element(By.ID, "face-from").send_keys("65")
    filtered(report, 0)
    report.find_element(By.CSS_SELECTOR, "#filters button[type=reset]").click()
    report.find_element(By.ID, "search").send_keys("swap_1")
    filtered(report, 1)
    report.find_element(By.ID, "search").send_keys(*[Keys.BACKSPACE] * 6)
    filtered(report, COUNT)
    Select(report.find_element(By.ID, "sort")).select_by_visible_text("video")
    wait(report, "document.querySelector('[aria-posinset=\"1\"] .name').textContent.startsWith('videos/<')")
    assert shown(report) == sorted(shown(report))


def test_a_tile_opens_its_film_strip_and_switches_hide_layers(report: Chrome):
    Select(report.find_element(By.ID, "by-label")).select_by_index(2)
    filtered(report, len(FAKE))
    report.find_element(By.CSS_SELECTOR, "#tiles button").click()
    wait(report, f"{FILM} === 4")
    assert report.find_element(By.ID, "film-title").text == f"{shown(report)[0]}, track 0"
    for switch, layer, count in (("landmarks", "circle", 4 * 68), ("box", ".box", 4), ("mask", ".mask", 4)):
        layers = report.find_elements(By.CSS_SELECTOR, f"#film svg {layer}")
        assert len(layers) == count
        assert layers[0].is_displayed()
        report.find_element(By.ID, f"show-{switch}").click()
        assert not layers[0].is_displayed()
        report.find_element(By.ID, f"show-{switch}").click()
    size = "new Promise((done) => { const i = new Image(); i.onload = () => done(i.width); i.src = arguments[0]; })"
    source = report.find_element(By.CSS_SELECTOR, "#film image").get_attribute("href")
    assert report.execute_script(f"return {size}", source) == 4 * 48
    assert "Deepfakes" in report.find_element(By.ID, "film-numbers").text


def test_everything_can_be_done_with_the_keyboard(report: Chrome):
    names = shown(report)
    report.execute_script("document.getElementById('as-list').focus()")
    press(report, Keys.TAB)
    assert names[0] in focused(report)
    press(report, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert names[2] in focused(report)
    press(report, Keys.END)
    assert names[-1] in focused(report)
    press(report, Keys.HOME, Keys.ENTER)
    wait(report, f"{FILM} === 4")
    press(report, Keys.ARROW_RIGHT)
    wait(report, f"document.getElementById('film-title').textContent.startsWith({json.dumps(names[1])})")
    press(report, Keys.ESCAPE)
    wait(report, "!document.getElementById('film').open")
    assert names[1] in focused(report)
    press(report, Keys.TAB)
    assert not report.execute_script("return document.getElementById('wall').contains(document.activeElement)")


def test_the_list_sorts_by_its_columns(report: Chrome):
    report.find_element(By.ID, "as-list").click()
    wait(report, "document.querySelectorAll('#list tbody tr').length > 5")
    header = report.find_element(By.XPATH, "//div[@id='list-view']//th[.//*[text()='Video']]")
    header.click()
    names = "[...document.querySelectorAll('#list tbody td.long:nth-child(2)')].map((e) => e.textContent)"
    wait(report, f"{names}[0].startsWith('videos/<')")
    found = report.execute_script(f"return {names}")
    assert found == sorted(found)
    # The wall has the order of the list.
    report.find_element(By.ID, "as-wall").click()
    assert shown(report)[: len(found)] == found


def test_only_tiles_in_view_exist(driver: Chrome, page: Path):
    many = page.with_name("many.html")

    def repeated(found: re.Match[str]) -> str:
        wall = json.loads(found[2])
        rows = (wall["rows"] * (3000 // COUNT + 1))[:3000]
        wall["rows"] = [[number, *row[1:]] for number, row in enumerate(rows)]
        return found[1] + json.dumps(wall).replace("<", "\\u003c") + found[3]

    many.write_text(re.sub(r'(id="wall-data">)(.*?)(</script>)', repeated, page.read_text()))
    open_page(driver, many)
    wait(driver, READY)
    driver.execute_script("document.getElementById('wall').scrollTop = 1e9")
    wait(driver, "document.querySelector('[aria-posinset=\"3000\"]') !== null")
    assert 10 < driver.execute_script("return document.querySelectorAll('#tiles button').length") < 100
    driver.find_element(By.ID, "as-list").click()
    wait(driver, "document.querySelectorAll('#list tbody tr').length > 5")
    assert driver.execute_script("return document.querySelectorAll('#list tbody tr').length") < 200
