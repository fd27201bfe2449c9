"""Pages are written whole, escape what they show, and need no network."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import plotly.graph_objects as go
import pytest

from mgst_data.core import OutputError
from mgst_data.html import environment, figure_chart, render_page, write_page
from mgst_data.html.page import ASSETS, PLOTLY, TABLES

PACKAGE = "mgst_data.html"


def test_text_and_data_are_escaped():
    hostile = "</script><img src=x onerror=alert(1)>&'\""
    parts = environment().get_template("parts.html.j2").module
    shown = parts.data("values", {"name": hostile}) + parts.table(hostile, ["a"], [[hostile]])
    assert "<img" not in shown
    assert shown.count("</script>") == 1  # the end of the element of the data
    source = re.search(r">(.*)</script>", shown)
    assert source is not None
    assert json.loads(source[1]) == {"name": hostile}


def test_data_without_a_json_form_is_an_error():
    with pytest.raises(ValueError, match="JSON"):
        environment().from_string("{{ value | tojson }}").render(value=float("nan"))


@pytest.mark.parametrize("inline", [False, True])
def test_a_page_names_only_files_that_are_written_beside_it(tmp_path: Path, inline: bool):
    path = tmp_path / "new" / "index.html"
    write_page(path, "base.html.j2", package=PACKAGE, title="A <b> page", scripts=(PLOTLY, TABLES), inline=inline)
    text = path.read_text()
    named = re.findall(r'(?:src|href)="(assets/[^"]+)"', text)
    assert sorted(named) == ([] if inline else [f"{ASSETS}/{name}" for name in sorted(_written(path))])
    assert (path.parent / ASSETS).exists() != inline
    assert ("Plotly" in text) == inline
    assert "<title>A &lt;b&gt; page</title>" in text


def test_a_page_without_charts_is_small():
    assert len(render_page("base.html.j2", package=PACKAGE, title="x", inline=True)) < 20_000


def test_names_that_are_not_text_can_be_shown(tmp_path: Path):
    write_page(tmp_path / "page.html", "base.html.j2", package=PACKAGE, title="clip\udcff.mp4")
    assert "clip?.mp4" in (tmp_path / "page.html").read_text()


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        write_page(tmp_path / "file" / "page.html", "base.html.j2", package=PACKAGE, title="x")


@pytest.mark.parametrize("library", ["jinja2", "plotly.offline", "itables"])
def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, library: str):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=r"mgst\[report\]"):
        render_page("base.html.j2", package=PACKAGE, title="x", scripts=(PLOTLY, TABLES), inline=True)


def test_a_chart_has_the_data_of_its_figure_and_no_colours_of_a_white_page():
    chart = figure_chart("sizes", "Sizes", go.Figure(go.Bar(x=["a", "b"], y=[1, 2])), text="two bars")
    assert chart.figure["data"][0]["y"] == [1, 2]
    assert "template" not in chart.figure["layout"]
    assert "two bars" in environment().get_template("parts.html.j2").module.chart(chart)


def _written(path: Path) -> set[str]:
    return {file.name for file in (path.parent / ASSETS).iterdir()}
