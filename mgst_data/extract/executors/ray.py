"""Runs tasks on a Ray cluster, or with Ray on this machine."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
import warnings
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Generic, NamedTuple

from mgst_data.core import MgstError, UsageError
from mgst_data.core.errors import MgstWarning, first_line
from mgst_data.extract.executors.accidents import Accidents, Running, Waiting
from mgst_data.extract.executors.executor import EXECUTORS, Event, Loss, Opening, Outcome, T, Task, Work
from mgst_data.extract.executors.limits import check_limits
from mgst_data.extract.executors.process import ProcessExecutor
from mgst_data.shards import VideoReport

# Number of machines that a task may lose. Machines that are rented for as long as nobody else wants them come and go.
_MACHINES = 20
# Tasks that are given to Ray, relative to those that it has room for, and their smallest number. The waiting tasks are
# the demand for which an autoscaler starts machines; it does so in steps that at most double the cluster.
_DEMAND, _FEWEST = 2, 16
# Seconds between two looks at the machines of the cluster.
_LOOK = 5.0
_ADDRESS = "RAY_ADDRESS"


@EXECUTORS.register("ray")
class RayExecutor:
    """Runs tasks with Ray: on the cluster that the environment variable RAY_ADDRESS names, else on this machine.

    mgst must be installed on every machine, in the same version. The videos and the output folder must have the same
    paths there, or be URLs. A task whose machine is lost goes on elsewhere. If a video crashes a second worker, it is
    skipped.

    A task needs one CPU. Ray places it on a machine where that, its memory and its share of a GPU are free.

    Args:
        workers: Number of parallel tasks. None uses all machines of the cluster, also those that join later; more tasks
            wait in the queue of Ray than there is room for, so that an autoscaler starts machines.
        worker_memory: Memory of a task, bytes; None places tasks without regard to memory. Ray does not limit the
            memory of a task: when the memory of a machine is exhausted, it ends tasks there.
        gpus_per_worker: Share of a GPU of a task, (0, 1]; 0 for none.
        video_timeout: Seconds for each video, as for :class:`ProcessExecutor`; None for no limit. With a limit, the
            videos of a task are processed in a child process of the worker.

    Raises:
        ImportError: if Ray is not installed.
        UsageError: if an option is out of range.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        worker_memory: int | None = None,
        gpus_per_worker: float = 0.0,
        video_timeout: float | None = None,
    ) -> None:
        # Ray writes messages about lost machines and workers to stdout, where commands print their results.
        os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "(?s).*")
        try:
            import ray
        except ImportError as error:
            raise ImportError("the executor 'ray' needs Ray: pip install 'mgst[ray]'") from error
        if workers is not None and workers < 1:
            raise UsageError(f"workers must be at least 1, got {workers}", hint="use --workers 1 or more")
        if not 0 <= gpus_per_worker <= 1:
            what = f"gpus_per_worker must be in [0, 1], got {gpus_per_worker:g}"
            raise UsageError(what, hint="a task uses one GPU; with 0.25, four tasks share it")
        check_limits(video_timeout, worker_memory)
        self.ray: Any = ray
        self.workers, self.video_timeout = workers, video_timeout
        self.needs: dict[str, float] = {"CPU": 1}
        if gpus_per_worker:
            self.needs["GPU"] = gpus_per_worker
        if worker_memory:
            self.needs["memory"] = worker_memory

    def map(self, work: Work[T], tasks: Sequence[T]) -> Generator[Event, None, None]:
        """Runs the tasks, as :class:`mgst_data.extract.executors.Executor` describes.

        Args:
            work: Function that processes one task.
            tasks: Tasks to process.

        Raises:
            MgstError: if the cluster cannot be reached, mgst is missing on a machine, workers repeatedly end before
                they begin a video, or machines are lost again and again.
            UsageError: if no machine can run a task.
        """
        with _connected(self.ray, self.workers) as alone:
            flight = _Flight(self.ray, work, self.needs, self.video_timeout)
            room = _Room(self.ray, self.needs, alone=alone)
            waiting, reported = Waiting(tasks), set[str]()
            try:
                while waiting or flight.running:
                    limit = room.limit(self.workers)
                    while waiting and len(flight.running) < limit:
                        flight.begin(waiting.next())
                    for stream in flight.ready():
                        event = flight.next(stream)
                        if isinstance(event, _Again):
                            waiting.put_back(event.task)
                            continue
                        if event is None or isinstance(event, Opening):
                            continue
                        if isinstance(event, VideoReport | Outcome):
                            if event.key in reported:
                                continue
                            reported.add(event.key)
                        yield event
            finally:
                flight.cancel()


class _Again(NamedTuple):
    """A task whose worker has ended."""

    task: Task


class _Flight:
    """The tasks that Ray has: those that run, and those that wait for room.

    Args:
        ray: The library.
        work: Function that processes one task.
        needs: What a task needs, by resource.
        seconds: Limit for each video; None for no limit.
    """

    def __init__(self, ray: Any, work: Work[Any], needs: Mapping[str, float], seconds: float | None) -> None:
        self._ray, self._job, self._seconds = ray, ray.put(work), seconds
        options: dict[str, Any] = {"num_cpus": needs["CPU"], "num_gpus": needs.get("GPU", 0)}
        if "memory" in needs:
            options["memory"] = needs["memory"]
        self._run = ray.remote(max_retries=0, num_returns="streaming", **options)(_run)
        self._accidents, self._losses = Accidents(), Counter[str]()
        self.running: dict[Any, Running] = {}

    def begin(self, task: Task) -> None:
        """Gives a task to Ray."""
        stream = self._run.remote(version("mgst"), self._job, task, self._accidents.lost, self._seconds)
        self.running[stream] = Running(task)

    def ready(self) -> list[Any]:
        """Waits for the next events, at most until the next look at the machines. Returns the streams that have one."""
        streams = [*self.running]
        first, _ = self._ray.wait(streams, timeout=_LOOK, fetch_local=False)
        if not first:
            return []
        found, _ = self._ray.wait(streams, num_returns=len(streams), timeout=0, fetch_local=False)
        return list(found or first)

    def next(self, stream: Any) -> Event | _Again | None:
        """Returns the next event of a task; or that it must be begun again; None if it has ended.

        An exception of the work is raised again.

        Raises:
            MgstError: if workers repeatedly end before they begin a video, machines are lost again and again, or
                packages are missing there.
        """
        errors = self._ray.exceptions
        try:
            event: Event = self._ray.get(next(stream))
        except StopIteration:
            del self.running[stream]
            return None
        except errors.RayTaskError as error:
            cause = _cause(error)
            raise cause from error
        except errors.RayError as error:
            ended = self.running.pop(stream)
            if isinstance(error, errors.WorkerCrashedError | errors.OutOfMemoryError):
                self._accidents.add(ended, *_ending(self._ray, error))
            else:
                self._losses[ended.task.name] += 1
                _check_losses(ended.task, self._losses, error)
            return _Again(ended.task)
        self.running[stream].see(event)
        return event

    def cancel(self) -> None:
        """Ends all tasks at once."""
        for stream in self.running:
            self._ray.cancel(stream, force=True)


class _Room:
    """How many tasks the cluster can run at the same time, while machines join and leave.

    Args:
        ray: The library.
        needs: What a task needs, by resource.
        alone: Whether no machine can join.
    """

    def __init__(self, ray: Any, needs: Mapping[str, float], *, alone: bool) -> None:
        self._ray, self._needs, self._alone = ray, needs, alone
        self._seen, self._until, self._warned = 0, 0.0, False

    def limit(self, workers: int | None) -> int:
        """Returns the number of tasks that Ray gets.

        Args:
            workers: Number that the user has set; None for one that follows the cluster.

        Raises:
            UsageError: if no machine can run a task, and none can join.
        """
        if time.monotonic() >= self._until:
            self._seen, self._until = self._count(), time.monotonic() + _LOOK
            self._check()
        return workers or max(_FEWEST, _DEMAND * self._seen)

    def _count(self) -> int:
        machines = (node["Resources"] for node in self._ray.nodes() if node["Alive"])
        # A share such as 0.2 fits five times, in spite of its rounding.
        return sum(
            min(int(machine.get(name, 0) / need + 1e-6) for name, need in self._needs.items()) for machine in machines
        )

    def _check(self) -> None:
        if self._seen:
            self._warned = False
            return
        names = {"CPU": "{:g} CPU", "GPU": "{:g} GPU", "memory": "{:,.0f} bytes of memory"}
        asked = ", ".join(names[name].format(need) for name, need in self._needs.items())
        if self._alone:
            what = f"this machine is too small for a task, which needs {asked}"
            raise UsageError(what, hint=f"ask for less, or set {_ADDRESS} to the address of a cluster")
        if not self._warned:
            what = f"no machine of the Ray cluster is large enough for a task, which needs {asked}; waiting for one"
            warnings.warn(what, MgstWarning, stacklevel=5)
            self._warned = True


@contextmanager
def _connected(ray: Any, workers: int | None) -> Iterator[bool]:
    """Connects to the cluster, or starts Ray on this machine. Yields whether no other machine can join.

    A connection that exists already is used, and stays.

    Raises:
        MgstError: if the cluster cannot be reached.
        UsageError: if its address is that of Ray Client.
    """
    if ray.is_initialized():
        yield False
        return
    address = os.environ.get(_ADDRESS, "")
    if address.startswith("ray://"):
        hint = f"run the command on a machine of the cluster, with {_ADDRESS}=auto"
        raise UsageError("Ray Client cannot run tasks that report their progress", where=address, hint=hint)
    alone = address in ("", "local")
    own = {"address": "local", "num_cpus": workers} if alone else {}
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if main else None
    try:
        ray.init(log_to_driver=False, logging_level="error", **own)
    except (ConnectionError, RuntimeError, ValueError) as error:  # not there; another version; not an address
        what = f"the Ray cluster cannot be reached: {first_line(error)}"
        raise MgstError(what, where=address, hint=f"check {_ADDRESS}, and that Ray runs there") from error
    finally:
        if main:  # Ray replaces the handler by one that ends the process without a message
            signal.signal(signal.SIGTERM, before)
    try:
        yield alone
    finally:
        ray.shutdown()


def _run(asked: str, work: Work[T], task: T, lost: Mapping[str, Loss], seconds: float | None) -> Iterator[Event]:
    if (there := version("mgst")) != asked:
        what = f"the machine {os.uname().nodename} has version {there} of mgst, and the command has {asked}"
        raise MgstError(what, hint="install the same version on all machines of the cluster")
    if seconds is None:
        events = work(task, lost)
    else:  # Ray does not tell how a worker has ended, so the limit holds for a child process of it
        events = ProcessExecutor(workers=1, video_timeout=seconds).map(_Told(work, lost), [task])
    # Not "yield from": Ray sends values into the generator, which iterators within the work cannot receive.
    for event in events:  # noqa: UP028
        yield event


@dataclass(frozen=True)
class _Told(Generic[T]):
    """A work that knows which videos have ended workers of Ray before.

    Attributes:
        work: Function that processes one task.
        lost: These videos.
    """

    work: Work[T]
    lost: Mapping[str, Loss]

    def __call__(self, task: T, lost: Mapping[str, Loss]) -> Iterator[Event]:
        return self.work(task, {**self.lost, **lost})


def _cause(error: Any) -> Exception:
    """Returns the exception of the work, or one that names the package that is missing on a machine."""
    missing = re.search(r"No module named '([^'.]+)", str(error))
    if missing and not isinstance(error.cause, MgstError):
        machine = re.search(r"ip=([^,)]+)", str(error))
        what = f"the Python package {missing[1]} is missing on the machine {machine[1] if machine else 'of a task'}"
        return MgstError(what, hint="install mgst on all machines of the cluster: pip install 'mgst[ray]'")
    cause: Exception = error.cause
    return cause


def _ending(ray: Any, error: Exception) -> tuple[str, str]:
    """Returns how a worker has ended, and what to do if it has not even begun."""
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return "needed too much memory", "use a larger --worker-memory; finished videos are kept"
    return "died", "see the logs of Ray for the reason; finished videos are kept"


def _check_losses(task: Task, losses: Mapping[str, int], error: Exception) -> None:
    """Ends the run if the machines of a task are lost again and again.

    Raises:
        MgstError: if so.
    """
    if losses[task.name] > _MACHINES:
        hint = "finished videos are kept; run the same command again"
        what = f"Ray lost the machine of this task {losses[task.name]} times: {error}"
        raise MgstError(what, where=task.name, hint=hint) from error
