"""A small hub on this machine: it answers the calls of huggingface_hub for one repository, and takes uploads."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

REPO = "lab/detector"


class Hub:
    """The files of each revision of the repository ``lab/detector``, and the calls that were made."""

    def __init__(self) -> None:
        self.revisions: dict[str, dict[str, bytes]] = {}
        self.calls: list[str] = []
        self.made: list[dict] = []
        self.address = ""

    @property
    def commits(self) -> dict[str, str]:
        """The commit of each revision: a hash of its files."""
        return {
            name: hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
            for name, files in self.revisions.items()
        }

    def files_of(self, revision: str) -> dict[str, bytes] | None:
        by_commit = {commit: self.revisions[name] for name, commit in self.commits.items()}
        return self.revisions.get(revision, by_commit.get(revision))


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: object = b"", **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.calls.append(f"{self.command} {path}")
        if path == "/":
            return self.answer(200)
        if f"/{REPO}" not in path:
            return self.answer(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        kind, rest = path.split(f"{REPO}", 1)[0], path.split(f"{REPO}", 1)[1].strip("/").split("/")
        revision = rest[1] if len(rest) > 1 else "main"
        files = self.hub.files_of(revision)
        if files is None:
            return self.answer(404, {"error": "Invalid rev id"}, X_Error_Code="RevisionNotFound")
        commit = self.hub.commits.get(revision, revision)
        if kind.startswith("/api/models") and rest[0] == "tree":
            entries = [
                {"type": "file", "oid": _oid(data), "size": len(data), "path": name} for name, data in files.items()
            ]
            return self.answer(200, entries)
        if kind.startswith("/api/models"):
            return self.answer(200, {"id": REPO, "sha": commit, "siblings": [{"rfilename": name} for name in files]})
        name = "/".join(rest[2:])
        if name not in files:
            return self.answer(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound")
        return self.answer(200, files[name], ETag=f'"{_oid(files[name])}"', X_Repo_Commit=commit)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.calls.append(f"POST {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if path == "/api/repos/create":
            self.hub.made.append(json.loads(body))
            return self.answer(200, {"url": f"{self.hub.address}/{REPO}", "name": REPO, "id": "1"})
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if "/preupload/" in path:
            files = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                for one in json.loads(body)["files"]
            ]
            return self.answer(200, {"files": files})
        if "/commit/" in path:
            lines = [json.loads(line) for line in body.splitlines()]
            files = {
                line["value"]["path"]: base64.b64decode(line["value"]["content"])
                for line in lines
                if line["key"] == "file"
            }
            revision = path.rsplit("/", 1)[1]
            self.hub.revisions[revision] = self.hub.revisions.get(revision, {}) | files
            commit = self.hub.commits[revision]
            return self.answer(200, {"commitUrl": f"{self.hub.address}/{REPO}/commit/{commit}", "commitOid": commit})
        return self.answer(404, {"error": "no such call"})


def _oid(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@contextmanager
def serve(hub: Hub) -> Iterator[str]:
    """Serves a hub on a free port. Returns its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub.address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
