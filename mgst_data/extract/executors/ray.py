"""Runs tasks on a Ray cluster, or with Ray on this machine."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from mgst_data.core import MgstError
from mgst_data.extract.executors.executor import EXECUTORS, Event, Work
from mgst_data.shards import ShardTask


@EXECUTORS.register("ray")
class RayExecutor:
    """Runs tasks with Ray: on the cluster that the environment variable RAY_ADDRESS names, else on this machine.

    The videos and the output folder must have the same paths on every machine.

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
            MgstError: if Ray loses a task.
        """
        ray = self.ray
        started = not ray.is_initialized()
        if started:
            ray.init(num_cpus=self.workers, log_to_driver=False, logging_level="error")
        run = ray.remote(num_cpus=1, max_retries=0, num_returns="streaming")(_run)
        job = ray.put(work)
        waiting = deque(tasks)
        running: dict[Any, ShardTask] = {}
        limit = self.workers or int(ray.cluster_resources()["CPU"])
        try:
            while waiting or running:
                while waiting and len(running) < limit:
                    task = waiting.popleft()
                    running[run.remote(job, task, {})] = task
                for stream in ray.wait([*running], fetch_local=False)[0]:
                    try:
                        yield ray.get(next(stream))
                    except StopIteration:
                        del running[stream]
                    except ray.exceptions.RayTaskError as error:
                        raise error.cause from error
                    except ray.exceptions.RayError as error:
                        hint = "finished videos are kept; run the same command again"
                        raise MgstError(f"Ray lost a task: {error}", where=running[stream].name, hint=hint) from error
        finally:
            for stream in running:
                ray.cancel(stream, force=True)
            if started:
                ray.shutdown()


def _run(work: Work, task: ShardTask, lost: Mapping[str, str]) -> Iterator[Event]:
    yield from work(task, lost)
