"""Runs tasks on a Ray cluster, or with Ray on this machine."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from mgst_data.core import MgstError
from mgst_data.extract.executors.accidents import Accidents, Running
from mgst_data.extract.executors.executor import EXECUTORS, Event, Loss, Opening, Work
from mgst_data.shards import ShardTask, VideoReport

# Number of machines that a task may lose. Machines that are rented for as long as nobody else wants them come and go.
_MACHINES = 20


@EXECUTORS.register("ray")
class RayExecutor:
    """Runs tasks with Ray: on the cluster that the environment variable RAY_ADDRESS names, else on this machine.

    mgst must be installed on every machine. The videos and the output folder must have the same paths there, or be
    URLs. A task whose machine is lost goes on elsewhere. If a video ends a second worker, it is skipped.

    Args:
        workers: Number of parallel tasks; None uses one per CPU of the Ray cluster.

    Raises:
        ImportError: if Ray is not installed.
    """

    def __init__(self, *, workers: int | None = None) -> None:
        try:
            import ray
        except ImportError as error:
            raise ImportError("the executor 'ray' needs Ray: pip install 'mgst[ray]'") from error
        self.ray: Any = ray
        self.workers = workers

    def map(self, work: Work, tasks: Sequence[ShardTask]) -> Generator[Event, None, None]:
        """Runs the tasks, as :class:`mgst_data.extract.executors.Executor` describes.

        Args:
            work: Function that processes one task.
            tasks: Tasks to process.

        Raises:
            MgstError: if workers repeatedly end before they begin a video, or machines are lost again and again.
        """
        ray = self.ray
        started = not ray.is_initialized()
        if started:
            ray.init(num_cpus=self.workers, log_to_driver=False, logging_level="error")
        run = ray.remote(num_cpus=1, max_retries=0, num_returns="streaming")(_run)
        job = ray.put(work)
        waiting = deque(tasks)
        running: dict[Any, Running] = {}
        limit = self.workers or int(ray.cluster_resources()["CPU"])
        accidents, losses = Accidents(), Counter[str]()
        reported: set[str] = set()
        try:
            while waiting or running:
                while waiting and len(running) < limit:
                    task = waiting.popleft()
                    running[run.remote(job, task, accidents.lost)] = Running(task)
                for stream in ray.wait([*running], fetch_local=False)[0]:
                    try:
                        event: Event = ray.get(next(stream))
                    except StopIteration:
                        del running[stream]
                        continue
                    except ray.exceptions.RayTaskError as error:
                        raise error.cause from error
                    except ray.exceptions.RayError as error:
                        ended = running.pop(stream)
                        if isinstance(error, ray.exceptions.WorkerCrashedError | ray.exceptions.OutOfMemoryError):
                            accidents.add(ended, *_ending(ray, error))
                        else:
                            losses[ended.task.name] += 1
                            _check_losses(ended.task, losses, error)
                        waiting.appendleft(ended.task)
                        continue
                    running[stream].see(event)
                    if isinstance(event, Opening) or (isinstance(event, VideoReport) and event.key in reported):
                        continue
                    if isinstance(event, VideoReport):
                        reported.add(event.key)
                    yield event
        finally:
            for stream in running:
                ray.cancel(stream, force=True)
            if started:
                ray.shutdown()


def _run(work: Work, task: ShardTask, lost: Mapping[str, Loss]) -> Iterator[Event]:
    # Not "yield from": Ray sends values into the generator, which iterators within the work cannot receive.
    for event in work(task, lost):  # noqa: UP028
        yield event


def _ending(ray: Any, error: Exception) -> tuple[str, str]:
    """Returns how a worker has ended, and what to do if it has not even begun."""
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return "needed too much memory", "use fewer --workers; finished videos are kept"
    return "died", "see the logs of Ray for the reason; finished videos are kept"


def _check_losses(task: ShardTask, losses: Mapping[str, int], error: Exception) -> None:
    """Ends the run if the machines of a task are lost again and again.

    Raises:
        MgstError: if so.
    """
    if losses[task.name] > _MACHINES:
        hint = "finished videos are kept; run the same command again"
        what = f"Ray lost the machine of this task {losses[task.name]} times: {error}"
        raise MgstError(what, where=task.name, hint=hint) from error
