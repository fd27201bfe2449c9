"""The base of all HTML pages: templates, style, charts, and writing. Pages open from files, without a server."""

from mgst_data.html.charts import Chart, figure_chart
from mgst_data.html.page import environment, render_page, write_page

__all__ = ["Chart", "environment", "figure_chart", "render_page", "write_page"]
