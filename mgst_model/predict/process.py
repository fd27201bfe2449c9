"""Extracts faces in a separate process, in parallel with the process of the network.

Threads of one Python interpreter block each other, and a command imports libraries one after another. This module
imports nothing heavy, so that a command can start the process first.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Generator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from mgst_data.processes import Failure, end_with_parent, failures_sent, heavy_imports, start_quietly

if TYPE_CHECKING:
    from mgst_model.evaluate.crops import InputSpec
    from mgst_model.predict.faces import FaceRun, Source, VideoSummary

# "spawn" starts a new interpreter: it inherits no locks of threads and no CUDA context, and starting does not block.
_CONTEXT = multiprocessing.get_context("spawn")


class RunProcess:
    """A :class:`mgst_model.predict.faces.RunSource` that extracts videos in another process, one after another.

    The process imports and loads its modules as soon as this object is created. Use it as a context manager, which
    stops the process at the end.
    """

    def __init__(self) -> None:
        self._mine, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_extract, args=(theirs,), daemon=True)
        with start_quietly():
            self._process.start()
        theirs.close()
        self._paths: tuple[str, ...] = ()
        # Position after the last video that was requested, and number of videos whose runs are complete.
        self._asked = self._ended = 0

    def begin(self, spec: InputSpec, paths: Sequence[str], *, threads: int) -> None:
        """Starts the extraction, which stays one run ahead of the caller.

        Args:
            spec: Input that the network needs.
            paths: Paths of all videos, in the order in which they will be requested; some may be left out.
            threads: Number of threads that face models may use.
        """
        self._paths = tuple(paths)
        with suppress(OSError):  # a process that has ended is reported when runs are requested
            self._mine.send((spec, self._paths, threads))

    def __enter__(self) -> RunProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def kill(self) -> None:
        """Stops the process without waiting, for signal handlers. A caller that waits for runs gets an error."""
        self._process.terminate()

    def end(self) -> None:
        """Stops the process at once. It can be called again."""
        self._mine.close()
        self._process.terminate()
        self._process.join()

    def __call__(self, source: Source) -> Generator[FaceRun | VideoSummary]:
        """Yields the runs of a video, and skips what is left of those before it.

        Raises:
            VideoError: if the video cannot be read; or, with the reason "worker_died", if the process has ended.
            NoFaceError: if no face was found.
            ValueError: if :meth:`begin` did not name the video, or named it before one that was requested already.
        """
        from mgst_model.predict.faces import VideoSummary, name_of

        mine = self._paths.index(name_of(source), self._asked)
        self._asked = mine + 1
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
            hint = "memory may be exhausted: close other programs, or score a shorter video" if code < 0 else ""
            raise VideoError(what, where=path, hint=hint, reason="worker_died") from error
        return item


def _extract(pipe: Connection) -> None:
    end_with_parent()
    with heavy_imports():
        import torch

        from mgst_model.predict.faces import RunReader, face_extractor

    with suppress(EOFError, OSError), failures_sent(pipe):  # an error of the pipe: the parent process has ended
        extractor = face_extractor()
        spec, paths, threads = pipe.recv()
        torch.set_num_threads(threads)
        source = RunReader(spec, extractor)
        for path in paths:
            with failures_sent(pipe):
                for item in source(path):
                    pipe.send(item)
