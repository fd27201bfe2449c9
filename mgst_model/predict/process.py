"""Extraction in a process of its own, beside the one that has the network.

Threads of one interpreter wait for each other wherever Python is at work, and a command imports one library after
another. This module imports nothing heavy, so that a command can begin with it.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Generator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from mgst_data.processes import Failure, failures_sent, heavy_imports, start_quietly

if TYPE_CHECKING:
    from mgst_model.predict.faces import FaceRun, InputSpec, Source, VideoSummary

# A process that begins afresh: no lock of a thread is inherited, and no CUDA context. To start it waits for nothing.
_CONTEXT = multiprocessing.get_context("spawn")


class RunProcess:
    """A :class:`mgst_model.predict.faces.RunSource` whose videos are extracted in another process, one after another.

    The process imports and loads what it needs as soon as this is made. Use it as a context: at its end the process is
    ended.
    """

    def __init__(self) -> None:
        self._mine, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_extract, args=(theirs,), daemon=True)
        with start_quietly():
            self._process.start()
        theirs.close()
        # Videos that were asked for, and that have come to their end.
        self._asked = self._ended = 0

    def begin(self, spec: InputSpec, paths: Sequence[str], *, threads: int) -> None:
        """Begins to extract, and stays one run ahead.

        Args:
            spec: What the network takes.
            paths: Of all videos, in the order in which they will be asked for.
            threads: That face models may use.
        """
        with suppress(OSError):  # a process that has ended is found so where runs are asked for
            self._mine.send((spec, tuple(paths), threads))

    def __enter__(self) -> RunProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def kill(self) -> None:
        """Ends the process without waiting for it: whoever waits for runs is told. For signal handlers."""
        self._process.terminate()

    def end(self) -> None:
        """Ends the process, whatever it is at; may be called again."""
        self._mine.close()
        self._process.terminate()
        self._process.join()

    def __call__(self, source: Source) -> Generator[FaceRun | VideoSummary]:
        """The runs of the next video, which is this one; what is left of the one before is passed over.

        Raises:
            VideoError: as the extraction does, or with the reason "worker_died" if its process has ended.
            NoFaceError: as the extraction does.
        """
        from mgst_model.predict.faces import VideoSummary, name_of

        mine, self._asked = self._asked, self._asked + 1
        while self._ended <= mine:
            wanted = self._ended == mine
            item = self._receive(name_of(source))
            self._ended += isinstance(item, VideoSummary | Failure)
            if not wanted:
                continue
            if isinstance(item, Failure):
                item.raise_again()
            else:
                yield item

    def _receive(self, path: str) -> FaceRun | VideoSummary | Failure:
        from mgst_data.core import VideoError

        try:
            item: FaceRun | VideoSummary | Failure = self._mine.recv()
        except (EOFError, OSError) as error:
            self._process.join()
            code = self._process.exitcode or 0
            what = f"the process that extracts faces ended with code {code}"
            hint = "the memory may have run out: close other programs, or score a shorter video" if code < 0 else ""
            raise VideoError(what, where=path, hint=hint, reason="worker_died") from error
        return item


def _extract(pipe: Connection) -> None:
    with heavy_imports():
        import torch

        from mgst_model.predict.faces import RunReader, face_extractor

    with suppress(EOFError, OSError), failures_sent(pipe):  # an error of the pipe: the parent has gone
        extractor = face_extractor()
        spec, paths, threads = pipe.recv()
        torch.set_num_threads(threads)
        source = RunReader(spec, extractor)
        for path in paths:
            with failures_sent(pipe):
                for item in source(path):
                    pipe.send(item)
