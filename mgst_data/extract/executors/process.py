"""Tasks dealt to processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait

from mgst_data.core import MgstError, UsageError
from mgst_data.extract.executors.executor import EXECUTORS, Event, Work
from mgst_data.processes import Failure, available_cores, failures_sent, start_quietly
from mgst_data.shards import ShardTask, VideoReport

# Workers are forked from a process that has done nothing but import: they start at once, share the memory of the
# libraries, and inherit no CUDA context and no lock that a thread of this process holds.
_CONTEXT = multiprocessing.get_context("forkserver")
_IMPORTED = "mgst_data.extract"
# Seconds. A signal that comes just before the wait does not end it, so that the wait ends by itself to see to it.
_ALERT = 1.0
# Workers that a video may end before it is given up.
_PATIENCE = 2


@EXECUTORS.register("process")
class ProcessExecutor:
    """Works in child processes.

    A worker that is killed or crashes is replaced, and its task goes on with the video that it was on; a video whose
    worker dies a second time is left out. So a crash in a decoder, or a video too large for the memory, costs a
    video and not the run.

    Args:
        workers: Number of processes; None for one per core.

    Raises:
        UsageError: for less than one worker.
    """

    def __init__(self, *, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise UsageError(f"{workers} workers do no work", hint="give --workers 1 or more")
        self.workers = workers or available_cores()

    def map(self, work: Work, tasks: Sequence[ShardTask]) -> Generator[Event, None, None]:
        """See :class:`mgst_data.extract.executors.Executor`.

        Raises:
            MgstError: if no worker survives its start.
        """
        _CONTEXT.set_forkserver_preload([_IMPORTED])
        waiting = deque(tasks)
        crew: dict[Connection, _Worker] = {}
        accidents = _Accidents()
        reported: set[str] = set()
        try:
            while waiting or crew:
                while waiting and len(crew) < self.workers:
                    worker = _Worker(work)
                    crew[worker.pipe] = worker
                    worker.begin(waiting.popleft(), accidents.lost)
                ready = wait([*crew], _ALERT)
                for worker in [worker for pipe, worker in crew.items() if pipe in ready]:
                    event = worker.receive()
                    if isinstance(event, VideoReport):
                        if event.key not in reported:
                            reported.add(event.key)
                            yield event
                        continue
                    if event is None:
                        accidents.add(worker)
                        waiting.appendleft(worker.task)
                    else:
                        yield event
                    if event is None or not waiting:
                        crew.pop(worker.pipe).stop()
                    else:
                        worker.begin(waiting.popleft(), accidents.lost)
        finally:
            for worker in crew.values():
                worker.stop()


class _Worker:
    """A child process, the task it is on, and how many videos of it are reported: finished before, or by now."""

    def __init__(self, work: Work) -> None:
        self.pipe, theirs = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(target=_serve, args=(theirs, work), daemon=True)
        with start_quietly():
            self.process.start()
        theirs.close()

    def begin(self, task: ShardTask, lost: Mapping[str, str]) -> None:
        """Hands over a task."""
        self.task, self._done = task, 0
        with suppress(OSError):  # a worker that is dead already is found so by receive()
            self.pipe.send((task, lost))

    def receive(self) -> Event | None:
        """The next event of the task; None if the process has ended. Raises what the work has raised."""
        try:
            event: Event | Failure = self.pipe.recv()
        except (EOFError, OSError):
            return None
        if isinstance(event, Failure):
            event.raise_again()
        self._done += isinstance(event, VideoReport)
        return event

    @property
    def video(self) -> str:
        """Key of the video it is on."""
        records = self.task.records
        return records[min(self._done, len(records) - 1)].key

    def stop(self) -> None:
        """Ends the process at once, if it has not ended."""
        self.pipe.close()
        self.process.terminate()
        self.process.join()


class _Accidents:
    """Counts the workers that each video has ended, and says which videos are lost."""

    def __init__(self) -> None:
        self.lost: dict[str, str] = {}
        self._count: Counter[str] = Counter()

    def add(self, worker: _Worker) -> None:
        """Notes that a worker has ended; raises MgstError if it did so before it came to its first video."""
        worker.process.join()
        code = worker.process.exitcode or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        self._count[worker.video] += 1
        if self._count[worker.video] == _PATIENCE:
            self.lost[worker.video] = f"its worker {how}, {_PATIENCE} times"
        elif self._count[worker.video] > _PATIENCE:
            # The video was not touched this time: the workers die of something else.
            # Killed, it was most likely the memory; else an error of Python's, whose trace has been printed.
            main = 'a script calls extract() below: if __name__ == "__main__":'
            hint = "use fewer --workers if the memory runs out; finished videos are kept" if code < 0 else main
            raise MgstError(f"a worker {how} as it started, again and again", where=worker.task.name, hint=hint)


def _serve(pipe: Connection, work: Work) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, OSError):  # the parent has gone
        while True:
            task, lost = pipe.recv()
            with failures_sent(pipe):
                for event in work(task, lost):
                    pipe.send(event)


def _end_with_parent() -> None:
    """Ends this process when that of the run is killed: what it went on writing would get in the way of the next."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
