"""Runs tasks in several processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from mgst_data.core import UsageError
from mgst_data.extract.executors.accidents import DIED, OUT_OF_MEMORY, TIMEOUT, Accidents, Running, Waiting
from mgst_data.extract.executors.executor import EXECUTORS, Event, Loss, Opening, Outcome, T, Task, Work
from mgst_data.extract.executors.limits import alarmed, check_limits, resident
from mgst_data.processes import Failure, available_cores, end_with_parent, failures_sent, start_quietly
from mgst_data.shards import VideoReport

# Workers are forked from a server process that has only imported the package. So they start fast, share the memory of
# the libraries, and inherit no CUDA context and no lock that a thread of this process holds.
_CONTEXT = multiprocessing.get_context("forkserver")
_IMPORTED = "mgst_data.extract"
# Longest wait, seconds. A signal just before a wait does not end the wait; with this limit it is handled soon after.
_ALERT = 1.0
# Seconds between two measurements of the memory of the workers.
_MEASURE = 0.1


@EXECUTORS.register("process")
class ProcessExecutor:
    """Runs tasks in child processes.

    A worker that crashes or is killed is replaced, and its task continues with the same video. If a video ends a second
    worker, it is skipped. So a crash of the decoder, or a video that needs too much memory, does not stop the run.

    Args:
        workers: Number of processes; None uses one per core.
        video_timeout: Seconds for each video; None for no limit. A video that takes longer is skipped with the reason
            "timeout", and its worker is replaced.
        worker_memory: Memory of each worker, bytes; None for no limit. A worker that uses more is replaced. A video
            that needs more in a second worker, too, is skipped with the reason "out_of_memory".

    Raises:
        UsageError: if ``workers`` is less than 1, or a limit is not positive.
    """

    def __init__(
        self, *, workers: int | None = None, video_timeout: float | None = None, worker_memory: int | None = None
    ) -> None:
        if workers is not None and workers < 1:
            raise UsageError(f"workers must be at least 1, got {workers}", hint="use --workers 1 or more")
        check_limits(video_timeout, worker_memory)
        self.workers = workers or available_cores()
        self.video_timeout, self.worker_memory = video_timeout, worker_memory

    def map(self, work: Work[T], tasks: Sequence[T]) -> Generator[Event, None, None]:
        """Runs the tasks, as :class:`mgst_data.extract.executors.Executor` describes.

        Args:
            work: Function that processes one task.
            tasks: Tasks to process.

        Raises:
            MgstError: if the workers repeatedly end while they start.
        """
        _CONTEXT.set_forkserver_preload([_IMPORTED])
        waiting = Waiting(tasks)
        crew: dict[Connection, _Worker] = {}
        accidents = Accidents()
        reported: set[str] = set()
        try:
            while waiting or crew:
                while waiting and len(crew) < self.workers:
                    worker = _Worker(work, self.video_timeout, self.worker_memory)
                    crew[worker.pipe] = worker
                    worker.begin(waiting.next(), accidents.lost)
                ready = wait([*crew], _MEASURE if self.worker_memory else _ALERT)
                for worker in crew.values():
                    worker.check_memory()
                for worker in [worker for pipe, worker in crew.items() if pipe in ready]:
                    event = worker.receive()
                    if isinstance(event, Opening):
                        continue
                    if isinstance(event, VideoReport | Outcome):
                        if event.key not in reported:
                            reported.add(event.key)
                            yield event
                        continue
                    if event is None:
                        how, hint, reason = worker.ending()
                        accidents.add(worker.running, how, hint, reason=reason)
                        waiting.put_back(worker.running.task)
                    else:
                        yield event
                    if event is None or not waiting:
                        crew.pop(worker.pipe).stop()
                    else:
                        worker.begin(waiting.next(), accidents.lost)
        finally:
            for worker in crew.values():
                worker.stop()


class _Worker:
    """A child process and its current task."""

    def __init__(self, work: Work[Any], seconds: float | None, memory: int | None) -> None:
        self.pipe, theirs = _CONTEXT.Pipe()
        # The server process has the environment of its own start; credentials may have come later.
        arguments = theirs, work, seconds, dict(os.environ)
        self.process = _CONTEXT.Process(target=_serve, args=arguments, daemon=True)
        self._seconds, self._memory, self._full = seconds, memory, False
        with start_quietly():
            self.process.start()
        theirs.close()

    def begin(self, task: Task, lost: Mapping[str, Loss]) -> None:
        """Sends a task to the process."""
        self.running = Running(task)
        with suppress(OSError):  # receive() detects a worker that has already ended
            self.pipe.send((task, lost))

    def receive(self) -> Event | None:
        """Returns the next event of the task; None if the process has ended. Raises an exception of the work again."""
        try:
            event: Event | Failure = self.pipe.recv()
        except (EOFError, OSError):
            return None
        if isinstance(event, Failure):
            event.raise_again()
        self.running.see(event)
        return event

    def check_memory(self) -> None:
        """Ends the process if it uses more memory than it may."""
        if self._memory is not None and resident(self.process.pid or 0) > self._memory:
            self._full = True
            self.process.kill()

    def ending(self) -> tuple[str, str, str]:
        """Returns how the process has ended, what to do if it has not even begun, and the reason code of its video."""
        self.process.join()
        code = self.process.exitcode or 0
        if self._full:
            hint = "use a larger --worker-memory; finished videos are kept"
            return f"needed more memory than {(self._memory or 0) / 1e6:,.0f} MB", hint, OUT_OF_MEMORY
        if code == -signal.SIGALRM and self._seconds is not None:
            hint = "use a longer --video-timeout; finished videos are kept"
            return f"took longer than {self._seconds:g} seconds", hint, TIMEOUT
        if code < 0:  # most likely, there was too little memory
            hint = "use fewer --workers if the memory runs out; finished videos are kept"
            return f"was killed by {signal.Signals(-code).name}", hint, DIED
        # A Python error, whose traceback is already printed.
        hint = 'in a script, call extract() only below: if __name__ == "__main__":'
        return f"ended with exit code {code}", hint, DIED

    def stop(self) -> None:
        """Ends the process at once if it still runs."""
        self.pipe.close()
        self.process.terminate()
        self.process.join()


def _serve(pipe: Connection, work: Work[Any], seconds: float | None, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    end_with_parent()
    with suppress(EOFError, OSError):  # the parent process has ended
        while True:
            task, lost = pipe.recv()
            with failures_sent(pipe):
                for event in alarmed(work(task, lost), seconds):
                    pipe.send(event)
