"""Charts of pages: Plotly figures, drawn by the browser in the colours of the page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

# Okabe and Ito, "Color Universal Design" (2008), as in the other plots. All are readable on white and on black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of a page; the macro ``chart`` of ``parts.html.j2`` shows it.

    Attributes:
        name: Id of its element in the page, letters, digits and "-".
        title: What the chart shows.
        figure: The figure of Plotly, as JSON values: "data" and "layout".
        text: The same in words: for screen readers, and below the chart.
        height: Height, CSS pixels.
    """

    name: str
    title: str
    figure: dict[str, Any]
    text: str = ""
    height: int = 260


def figure_chart(name: str, title: str, figure: Any, *, text: str = "", height: int = 260) -> Chart:
    """Makes a chart of a Plotly figure.

    Args:
        name: Id of its element in the page.
        title: What the chart shows.
        figure: A ``plotly.graph_objects.Figure``, without a title. Colours of text, axes and background are those of
            the page, in light and dark mode.
        text: The same in words.
        height: Height, CSS pixels.
    """
    made = json.loads(figure.to_json())
    # The template of Plotly has colours for a white page, and 7 kB.
    made["layout"].pop("template", None)
    made["layout"].setdefault("colorway", list(COLOURS))
    return Chart(name, title, {"data": made["data"], "layout": made["layout"]}, text, height)
