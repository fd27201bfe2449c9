"""Makes the executor that a user asks for by name."""

from __future__ import annotations

import inspect
from typing import Any

from mgst_data.core import UsageError
from mgst_data.core.devices import choose_device
from mgst_data.extract.executors.executor import EXECUTORS, Executor


def choose_executor(
    name: str,
    *,
    device: str = "auto",
    workers: int | None = None,
    gpus_per_worker: float | None = None,
    video_timeout: float | None = None,
    worker_memory: int | None = None,
) -> tuple[Executor, str]:
    """Makes an executor. Executors of other packages need not have all options.

    Args:
        name: Name of a registered executor.
        device: "cpu", "cuda", or "auto" for CUDA if it is available here; for executors on other machines, "auto" is
            CUDA if a share of a GPU is given.
        workers: Number of parallel workers; None uses the default of the executor.
        gpus_per_worker: Share of a GPU of a worker, (0, 1], for executors on other machines; None for a whole one with
            the device "cuda", else none.
        video_timeout: Seconds for each video; None for no limit.
        worker_memory: Memory of each worker, bytes; None for no limit.

    Returns:
        The executor, and the device of its workers: "cpu" or "cuda".

    Raises:
        UsageError: if there is no such executor or device, or the executor does not have an option.
        ImportError: if the executor is not installed.
    """
    make = EXECUTORS.get(name)
    known = inspect.signature(make).parameters
    chosen, gpus = _device(device, gpus_per_worker, reserved="gpus_per_worker" in known)
    limits: dict[str, Any] = {"video_timeout": video_timeout, "worker_memory": worker_memory, "gpus_per_worker": gpus}
    options = {option: value for option, value in limits.items() if value is not None}
    for option in options.keys() - known.keys():
        what = f"the executor {name!r} has no option {option!r}"
        raise UsageError(what, where=f"--{option.replace('_', '-')}", hint="omit it, or use another --executor")
    return make(workers=workers, **options), chosen


def _device(name: str, gpus: float | None, *, reserved: bool) -> tuple[str, float | None]:
    """Chooses the device, and the share of a GPU of a worker; None for executors that do not reserve GPUs.

    Raises:
        UsageError: if there is no such device, or a share of a GPU for the device "cpu".
    """
    if not reserved:
        return choose_device(name), gpus
    if name == "cpu" and gpus:
        raise UsageError("no GPU is used", where="--gpus-per-worker", hint="omit it, or use --device cuda")
    # The workers run on other machines, whose devices are unknown here.
    if gpus is None:
        gpus = 1.0 if name == "cuda" else 0.0
    return "cuda" if gpus else "cpu", gpus
