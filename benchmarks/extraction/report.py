"""Figures with targets, and measurements in a separate process."""

from __future__ import annotations

import math
import multiprocessing
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import torch

T = TypeVar("T")

SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Attributes:
        name: Label of the figure.
        value: Measured value; NaN if there was nothing to measure.
        unit: Unit of the value and of the target.
        at_least: Lower bound of the target; None without one.
        at_most: Upper bound of the target; None without one.
    """

    name: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def target(self) -> str:
        """The target as text; "" without a target."""
        bounds = (("≥", self.at_least), ("≤", self.at_most))
        return " ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None without a target."""
        if not self.target:
            return None
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return low <= self.value <= high

    def as_dict(self) -> dict[str, Any]:
        """Returns the figure as plain values, for JSON."""
        return {name: getattr(self, name) for name in ("name", "value", "unit", "target", "reached")}


@dataclass(frozen=True, slots=True)
class Section:
    """The result of a section: figures for the table, and the measurements that they are computed from."""

    figures: tuple[Figure, ...]
    details: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Returns the section as plain values, for JSON."""
        return {"targets": [plain(figure.as_dict()) for figure in self.figures], **plain(self.details)}


def show(title: str, sections: Mapping[str, Section]) -> None:
    """Prints all figures with their targets."""
    # Lazy import: a worker whose memory is measured imports this file too.
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for heading in ("section", "figure", "value", "target", "reached"):
        table.add_column(heading, justify="right" if heading in ("value", "target") else "left")
    words = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}
    for name, section in sections.items():
        for figure in section.figures:
            value = f"{figure.value:,.3f}".rstrip("0").rstrip(".")
            table.add_row(name, figure.name, f"{value} {figure.unit}", figure.target, words[figure.reached])
        table.add_section()
    Console().print(table)


def plain(value: Any) -> Any:
    """Rounds floats and replaces NaN, which JSON does not have, by None, in nested containers too."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def one_thread() -> None:
    """Limits torch and OpenCV in this process to one thread."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def alone(work: Callable[..., T], *arguments: object, pinned: bool = True) -> T:
    """Calls ``work`` in a new process with one thread; ``pinned`` binds it to one core if the system supports it."""
    with ProcessPoolExecutor(1, mp_context=SPAWN, initializer=_prepare, initargs=(pinned,)) as pool:
        return pool.submit(work, *arguments).result()


def in_parallel(work: Callable[..., T], *columns: list[Any]) -> list[T]:
    """Maps ``work`` over all cores, with one process of one thread per core. The results are in order."""
    with ProcessPoolExecutor(cores(), mp_context=SPAWN, initializer=_prepare, initargs=(False,)) as pool:
        return list(pool.map(work, *columns))


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resident_bytes(field: str) -> int:
    """Returns the memory of this process, bytes.

    ``VmRSS`` is the current resident memory, ``RssFile`` its part in mapped files, ``VmHWM`` its peak. ``ru_maxrss`` is
    not used, because a child process inherits the value of its parent.

    Raises:
        OSError: if the field does not exist.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def _prepare(pinned: bool) -> None:
    if pinned and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    one_thread()
