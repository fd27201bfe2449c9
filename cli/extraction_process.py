"""Extraction in a process of its own, beside the one that has the network.

Threads of one interpreter wait for each other wherever Python is at work, and a command imports one library after
another. This module imports nothing heavy, so that a command can begin with it.
"""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .face_runs import FaceRun, Rest, Shown

# A process that begins afresh: no lock of a thread is inherited, and no CUDA context. To start it waits for nothing.
_CONTEXT = multiprocessing.get_context("spawn")


class RunProcess:
    """A :class:`mgst_cli.face_runs.RunSource` whose videos are extracted in another process, one after another.

    The process imports and loads what it needs as soon as this is made. Use it as a context: at its end the process is
    ended.
    """

    def __init__(self) -> None:
        self._mine, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_extract, args=(theirs,), daemon=True)
        resource_tracker.ensure_running()  # its own start would let Ctrl-C through again
        with _deaf_to_interrupts():
            self._process.start()
        theirs.close()
        self._asked = 0

    def begin(self, shown: Shown, paths: Sequence[str], *, threads: int) -> None:
        """Begins to extract, and stays one run ahead.

        Args:
            shown: What the network is to be shown.
            paths: Of all videos, in the order in which they will be asked for.
            threads: That face models may use.
        """
        with suppress(OSError):  # a process that has ended is found so where runs are asked for
            self._mine.send((shown, tuple(paths), threads))

    def __enter__(self) -> RunProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Ends the process, whatever it is at; may be called again."""
        self._mine.close()
        self._process.terminate()
        self._process.join()

    def __call__(self, path: str) -> Generator[FaceRun | Rest]:
        """The runs of the next video, which is this one; what is left of the one before is passed over.

        Raises:
            MgstError: as the extraction does, or if its process has ended.
        """
        from mgst_data.core import MgstError

        from .face_runs import Rest

        mine, self._asked = self._asked, self._asked + 1
        item: FaceRun | Rest | _Failure
        while True:
            try:
                number, item = self._mine.recv()
            except (EOFError, OSError) as error:
                self._process.join()
                code = self._process.exitcode or 0
                hint = "is there enough memory?" if code < 0 else ""
                raise MgstError(
                    f"the process that extracts faces ended with code {code}", where=path, hint=hint
                ) from error
            if number < mine:
                continue
            if isinstance(item, _Failure):
                item.error.add_note(item.trace)
                raise item.error
            yield item
            if isinstance(item, Rest):
                return


@dataclass(frozen=True, slots=True)
class _Failure:
    """An error on its way to the parent, with what pickling takes from it: where it happened."""

    error: Exception
    trace: str


def _extract(pipe: Connection) -> None:
    import torch

    from mgst_data.extract import ExtractConfig
    from mgst_data.extract.extractor import Extractor

    from .face_runs import RunReader

    with suppress(EOFError, OSError):  # the parent has gone
        try:
            extractor = Extractor(ExtractConfig())
        except Exception as error:  # noqa: BLE001 - not swallowed: it is raised in the parent
            pipe.send((0, _Failure(error, traceback.format_exc())))
            return
        shown, paths, threads = pipe.recv()
        torch.set_num_threads(threads)
        source = RunReader(shown, extractor)
        for number, path in enumerate(paths):
            for item in _with_failure(source(path)):
                pipe.send((number, item))


def _with_failure(items: Iterator[FaceRun | Rest]) -> Iterator[FaceRun | Rest | _Failure]:
    """The same, and what was raised while they were made."""
    try:
        yield from items
    except Exception as error:  # noqa: BLE001 - as above
        yield _Failure(error, traceback.format_exc())


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Within it, processes start that Ctrl-C does not reach: whoever started them ends them."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
