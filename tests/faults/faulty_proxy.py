"""A proxy in front of a server, which lets single requests fail as networks and busy stores do."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Fault of a request, by name:
#   500, 503     the store answers with this status, and has done nothing
#   dropped      the connection ends before the request reaches the store
#   lost         the store does what was asked, and the connection ends before its answer arrives
#   short        the answer of the store ends in the middle
#   slow         the answer takes long
FAULTS = ("500", "503", "dropped", "lost", "short", "slow")
# Delay of a slow answer, seconds.
SLOW = 0.3
# Headers of one connection, which a proxy does not pass on.
_OF_CONNECTION = ("connection", "keep-alive", "transfer-encoding", "content-length")


class FaultyProxy:
    """Passes requests on to a server; some of them fail.

    Attributes:
        address: URL of the proxy.
        fault: Receives method, path and number of a request; returns a name of ``FAULTS``, or "" for none.
        seen: Method and path of all requests.
        failed: Number of requests that have failed, by fault.
    """

    def __init__(self, port: int, server: ThreadingHTTPServer) -> None:
        self.port, self.address = port, f"http://127.0.0.1:{server.server_address[1]}"
        self.fault: Callable[[str, str, int], str] = lambda *_: ""
        self.seen: list[tuple[str, str]] = []
        self.failed: dict[str, int] = {}
        self._lock = threading.Lock()

    def choose(self, method: str, path: str) -> str:
        """Counts a request, and returns its fault."""
        with self._lock:
            self.seen.append((method, path))
            fault = self.fault(method, path, len(self.seen))
            if fault:
                self.failed[fault] = self.failed.get(fault, 0) + 1
            return fault


@contextmanager
def faulty_proxy(port: int) -> Iterator[FaultyProxy]:
    """Runs a proxy until the block ends.

    Args:
        port: Port of the server on the loopback address.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.proxy = FaultyProxy(port, server)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.proxy  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Prints nothing."""

    def _pass_on(self) -> None:
        proxy: FaultyProxy = self.server.proxy  # type: ignore[attr-defined]
        fault = proxy.choose(self.command, self.path)
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        sent = self._body()
        if fault == "dropped":
            self._hang_up()
            return
        if fault in ("500", "503"):
            code = {"500": "InternalError", "503": "SlowDown"}[fault]
            self._answer(int(fault), {}, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("expect",)}
        headers = {name: value for name, value in headers.items() if name.lower() not in _OF_CONNECTION}
        with closing(http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)) as upstream:
            upstream.request(self.command, self.path, sent, {**headers, "Content-Length": str(len(sent))})
            with upstream.getresponse() as response:
                body = response.read()
        if fault == "lost":
            self._hang_up()
            return
        if fault == "slow":
            time.sleep(SLOW)
        kept = {name: value for name, value in response.getheaders() if name.lower() not in _OF_CONNECTION}
        length = response.getheader("Content-Length") if self.command == "HEAD" else str(len(body))
        self._answer(response.status, {**kept, "Content-Length": length or "0"}, body, short=fault == "short")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815 - names of http.server

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def _answer(self, status: int, headers: dict[str, str], body: bytes, *, short: bool = False) -> None:
        with suppress(OSError):
            self.send_response_only(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[: len(body) // 2] if short else body)
        if short:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
