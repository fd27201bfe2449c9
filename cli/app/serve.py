"""Serves the page of the app: the socket, the folder of its files, and the rules for browsers."""

from __future__ import annotations

import errno
import os
import socket
import threading
import webbrowser
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mgst_data.core import UsageError
from mgst_model.predict.report import REPORT

from ..common.errors import interrupted_at_once
from ..common.show import line
from .page import build_page, look
from .scoring import RESULTS, Scorer

PORT = 7860
# Seconds that open connections get to end.
_PATIENCE = 1
# Browsers refuse what these rules do not allow. The page and what it shows come from this server only.
_RULES = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'self'"
)
# Gradio and the client of the Hugging Face Hub send nothing about the use of the app.
_SETTINGS = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}


def serve(weights: str | Path | None, *, device: str, host: str, port: int | None, browser: bool) -> None:
    """Serves the app until Ctrl-C or SIGTERM. All uploads and results are deleted at the end.

    Args:
        weights: File or folder of the weights, or ``hf://user/name``; None for those that come with mgst.
        device: "cpu", "cuda", or "auto" for CUDA if it is available.
        host: Address to listen on.
        port: Port to listen on; None for 7860, or a free one if it is in use.
        browser: Whether to open the browser.

    Raises:
        UsageError: if the weights are not valid, or the address cannot be listened on.
        ImportError: if Gradio is not installed.
        KeyboardInterrupt: at Ctrl-C.
    """
    # A second Ctrl-C does not wait for the frames that are being read.
    with interrupted_at_once(lambda: None), ExitStack() as stack:
        listener = stack.enter_context(listen(host, port))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="mgst-app-", ignore_cleanup_errors=True)))
        os.environ.update(_SETTINGS | {"GRADIO_TEMP_DIR": str(folder / "uploads")})
        scorer = stack.enter_context(Scorer(weights, device=device, folder=folder / RESULTS))
        server = _server(build_app(scorer, local=is_loopback(host)), scorer, address(host, listener), browser=browser)
        server.run(sockets=[listener])


def listen(host: str, port: int | None) -> socket.socket:
    """Opens the socket that the app listens on.

    Args:
        host: Address to listen on.
        port: Port; None for 7860, or a free one if it is in use.

    Raises:
        UsageError: if the port is in use or not permitted, or the address is not one of this computer.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, PORT if port is None else port), family=family)
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        if in_use and port is None:
            return socket.create_server((host, 0), family=family)
        if in_use:
            hint = "choose another port, or leave out --port for a free one"
            raise UsageError("this port is in use", where=f"--port {port}", hint=hint) from error
        if error.errno == errno.EACCES:
            what, hint = "this port needs the rights of an administrator", "choose a port above 1023"
            raise UsageError(what, where=f"--port {port}", hint=hint) from error
        what, hint = "this is not an address of this computer", "leave out --host, or use 0.0.0.0 for all addresses"
        raise UsageError(what, where=f"--host {host}", hint=hint) from error


def is_loopback(host: str) -> bool:
    """Returns whether only this computer can reach an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


def address(host: str, listener: socket.socket) -> str:
    """Returns the address for a browser.

    Args:
        host: Address that is listened on.
        listener: The socket, which knows the port.
    """
    name = socket.gethostname() if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not listened on
    return f"http://{f'[{name}]' if ':' in name else name}:{listener.getsockname()[1]}/"


def build_app(scorer: Scorer, *, local: bool) -> Any:
    """Returns the web application: the page, and the files of results under ``/results``.

    Args:
        scorer: Scores videos; it has the folder of the results.
        local: Whether only this computer can reach the app. Requests for other host names are then refused, so that
            no other web page can reach it under a name of its own.

    Raises:
        ImportError: if Gradio is not installed.
    """
    from fastapi import FastAPI
    from gradio import mount_gradio_app
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.staticfiles import StaticFiles

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(_Headers)
    if local:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]", "::1"])
    app.mount(f"/{RESULTS}", StaticFiles(directory=scorer.folder))
    return mount_gradio_app(
        app,
        build_page(scorer, local=local),
        path="/",
        **look(),
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        enable_monitoring=False,
    )


class _Headers:
    """Adds the rules for browsers to every answer. Links to results other than pages download them.

    Args:
        app: The application that answers.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers a request.

        Args:
            scope: What is asked for.
            receive: Gives the body of the request.
            send: Takes the answer.
        """
        added = [(b"content-security-policy", _RULES.encode()), (b"referrer-policy", b"no-referrer")]
        path = scope.get("path", "")
        if path.startswith(f"/{RESULTS}/") and not path.endswith(f"-scores/{REPORT}"):
            added.append((b"content-disposition", b"attachment"))

        async def send_more(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive, send_more)


def _server(app: Any, scorer: Scorer, url: str, *, browser: bool) -> Any:
    """Returns the server. When it listens, it prints the address; at Ctrl-C it stops a running scoring."""
    import uvicorn

    class Server(uvicorn.Server):  # type: ignore[misc]
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            line(f"{url}  (Ctrl-C ends the app)")
            if browser:
                threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

        def handle_exit(self, sig: int, frame: Any) -> None:
            scorer.close()
            super().handle_exit(sig, frame)

    config = uvicorn.Config(app, log_level="critical", lifespan="on", timeout_graceful_shutdown=_PATIENCE)
    return Server(config)
