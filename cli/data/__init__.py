"""The command ``mgst-data``: from a data set on disk to shards, and a look into them."""

from __future__ import annotations

import click

from ..common.errors import Commands, run_script
from .demo import demo
from .extract import extract
from .inspect import inspect
from .preview_blend import preview_blend
from .sheet import sheet

EPILOG = """\b
To begin with:
  mgst-data demo --out demo/videos
  mgst-data extract --src demo/videos --out demo/shards
  mgst-data inspect demo/shards
"""


@click.group(
    "mgst-data",
    cls=Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="mgst")
def data() -> None:
    """Prepares face video: tracks the faces of a data set and stores them as shards."""


for command in (extract, inspect, sheet, preview_blend, demo):
    data.add_command(command)


def main() -> None:
    """The console script."""
    run_script(data)
