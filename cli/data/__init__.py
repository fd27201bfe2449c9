"""The command ``mgst-data``: extracts face tracks of a data set into shards, and shows what shards contain."""

from __future__ import annotations

import click

from ..common.errors import Commands, run_script
from .demo import demo
from .export import export
from .extract import extract
from .inspect import inspect
from .people import people
from .preview_blend import preview_blend
from .report import report
from .sheet import sheet

EPILOG = """\b
Quick start:
  mgst-data demo --out demo/videos
  mgst-data extract --src demo/videos --out demo/shards
  mgst-data inspect demo/shards
"""


@click.group(
    "mgst-data",
    cls=Commands,
    epilog=EPILOG,
)
@click.version_option(package_name="mgst")
def data() -> None:
    """Prepares face video for training: extracts face tracks of a data set into shards."""


for command in (extract, inspect, report, export, sheet, people, preview_blend, demo):
    data.add_command(command)


def main() -> None:
    """Entry point of the console script ``mgst-data``."""
    run_script(data)
