"""The command ``mgst-app``: the toolkit as a page in the browser, on this computer."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from mgst_data.processes import heavy_imports

from ..common.errors import LoneCommand, debug_option, run_script
from ..common.options import device_option, option, options, weights_option

EPILOG = """\b
Examples:
  mgst-app
  mgst-app --weights runs/base --port 8000
  mgst-app --host 0.0.0.0 --no-browser

Files stay on this computer, and are deleted when the app ends. Nothing is loaded from a network.

\b
Exit codes: 2 wrong option or weights, 130 interrupted (Ctrl-C).
"""
LOOPBACK = "127.0.0.1"


@click.command("mgst-app", cls=LoneCommand, epilog=EPILOG)
@options(
    "Network",
    weights_option(),
    device_option(),
)
@options(
    "Server",
    option(
        "--host",
        default=LOOPBACK,
        show_default=True,
        metavar="ADDRESS",
        help="Address to listen on. With 0.0.0.0, every computer in the network can use the app: it has no password.",
    ),
    option(
        "--port",
        type=click.IntRange(1, 65535),
        metavar="N",
        help="Port to listen on. [default: 7860, or a free one if it is in use]",
    ),
    option("--no-browser", is_flag=True, default=False, help="Do not open the browser."),
)
@click.version_option(package_name="mgst")
@debug_option
def app(weights: str | Path | None, device: str, host: str, port: int | None, no_browser: bool) -> None:
    """Starts the app: a page in the browser that scores videos and shows blends.

    Drop a video or a picture into the page. The first tab shows the page that mgst-predict writes. The second tab
    shows what self-blending does to a face, as mgst-data preview-blend does. The address is printed; Ctrl-C ends the
    app.
    \f

    Args:
        weights: File or folder of the weights, or ``hf://user/name``; None for those that come with mgst.
        device: "auto", "cpu" or "cuda".
        host: Address to listen on.
        port: Port to listen on; None for 7860, or a free one if it is in use.
        no_browser: Whether not to open the browser.

    Raises:
        ImportError: if Gradio is not installed.
    """  # noqa: D301 - click shows only the text above the form feed
    if find_spec("gradio") is None:
        raise ImportError('the app needs Gradio: pip install "mgst[app]"')
    # Imported here because torch and Gradio take seconds to import, and --help must be fast.
    with heavy_imports():
        from .serve import serve

    serve(weights, device=device, host=host, port=port, browser=not no_browser)


def main() -> None:
    """Entry point of the console script ``mgst-app``."""
    run_script(app)
