"""The base of all pages in a browser; and a page that breaks each rule, which the check finds."""

from __future__ import annotations

from pathlib import Path

import plotly.graph_objects as go
import pytest
from browser.browsing import check_page, emulated, open_page, settle
from selenium.webdriver import Chrome

from mgst_data.html import environment, figure_chart, write_page
from mgst_data.html.page import PLOTLY


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with one of each part."""
    path = tmp_path_factory.mktemp("base") / "index.html"
    source = (
        "{% extends 'base.html.j2' %}{% import 'parts.html.j2' as parts %}{% block main %}"
        "{{ parts.figures([('videos', 12345)]) }}{{ parts.table('Splits', ['split', 'videos'], [['train', 3]]) }}"
        "<div class='charts'>{{ parts.chart(chart) }}</div>{{ parts.data('values', {'a': '</script>'}) }}{% endblock %}"
    )
    made = environment()
    figure = go.Figure(go.Bar(x=["a", "b"], y=[1, 2]), {"xaxis": {"title": "letter"}})
    text = made.from_string(source).render(
        title="A page", version="1", folder="assets", styles=["page.css"], scripts=[PLOTLY, "page.js"], sources={},
        chart=figure_chart("letters", "Letters", figure, text="b is twice a"),
    )  # fmt: skip
    write_page(path, "base.html.j2", package="mgst_data.html", title="", scripts=(PLOTLY,))
    path.write_text(text)
    return path


def test_a_page_of_all_parts_passes(driver: Chrome, page: Path):
    open_page(driver, page)
    check_page(driver)
    assert driver.execute_script("return mgst.data('values').a") == "</script>"
    assert driver.execute_script("return document.querySelectorAll('#letters .bars .point').length") == 2


def test_charts_take_the_colours_of_the_mode(driver: Chrome, page: Path):
    open_page(driver, page)
    settle(driver)
    seen = []
    for dark in (False, True):
        with emulated(driver, dark=dark):
            settle(driver)
            seen.append(driver.execute_script("return document.getElementById('letters').layout.font.color"))
    assert seen[0] != seen[1]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<p style='width: 500px'>wide</p>", "scrollWidth"),
        ("<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>", "image-alt"),
        ("<p style='color: #bbb; background: #fff'>pale</p>", "color-contrast"),
        ("<script>missing()</script>", "missing is not defined"),
        ("<style>:root {color-scheme: light} body {background: #fff; color: #000}</style>", "luminance"),
    ],
)
def test_the_check_finds_what_is_wrong(driver: Chrome, tmp_path: Path, body: str, message: str):
    path = tmp_path / "bad.html"
    write_page(path, "base.html.j2", package="mgst_data.html", title="A page", inline=True)
    path.write_text(path.read_text().replace("</main>", f"{body}</main>"))
    open_page(driver, path)
    with pytest.raises(Exception, match=message):
        check_page(driver, patience=0.2)
