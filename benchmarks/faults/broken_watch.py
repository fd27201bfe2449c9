"""Watches a process: what it writes and where, whether it unpickles or starts programs, and its memory."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "shutil.rmtree")
_STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.startfile", "socket.connect")
# Devices that are no files, and folders of temporary files of libraries: names that begin with mgst.
_HARMLESS = re.compile(r"/dev/|/proc/self/|/tmp/(mgst-|pymp-|torch)|\d+$")


class Watch:
    """Collects what a process must not do. An audit hook of Python sees it; it cannot be removed again.

    Args:
        log: File for the findings, of forked processes too; None keeps them in memory.
    """

    def __init__(self, log: Path | None = None) -> None:
        self.found: list[str] = []
        self.allowed: tuple[str, ...] = ()
        # Modules whose objects processes send to each other.
        self.own: tuple[str, ...] = ("\n",)
        self.active = False
        self._log = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY) if log else -1
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event == "pickle.find_class":
            if not str(arguments[0]).startswith(self.own):
                self._add(f"unpickled {arguments[0]}.{arguments[1]}")
        elif event in _STARTS:
            self._add(f"{event} {arguments[0]!r}")
        elif event in _CHANGES or (event == "open" and (arguments[2] or 0) & _WRITES):
            self._check(arguments[0])

    def _check(self, name: Any) -> None:
        if isinstance(name, int):  # a file that is open already
            return
        path = os.path.realpath(os.fsdecode(name))
        if not path.startswith(self.allowed) and not _HARMLESS.match(path):
            self._add(f"wrote {path}")

    def _add(self, what: str) -> None:
        self.found.append(what)
        if self._log >= 0:
            os.write(self._log, f"{what}\n".encode())


def forget_peak() -> None:
    """Sets the peak of the memory of this process to its memory now."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Returns the peak of the memory of this process (RSS), bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0
