"""One registry for everything that can be plugged in: a decorator for ours, entry points for theirs."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from mgst_data.core.errors import UsageError

T = TypeVar("T")


class Registry(Generic[T]):
    """Named things of one kind.

    Args:
        group: The entry-point group outsiders register under, e.g. ``mgst_data.layouts``.
    """

    def __init__(self, group: str) -> None:
        self.group = group
        self._own: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that adds an object under ``name``; raises ValueError if the name is taken."""

        def add(item: T) -> T:
            if name in self._own:
                raise ValueError(f"{self.group}: {name!r} is registered already")
            self._own[name] = item
            return item

        return add

    def names(self) -> tuple[str, ...]:
        """All names, ours in the order of registration, then those of installed packages."""
        theirs = sorted(e.name for e in entry_points(group=self.group) if e.name not in self._own)
        return (*self._own, *theirs)

    def get(self, name: str) -> T:
        """The object registered under ``name``; raises UsageError that lists the known names."""
        if name in self._own:
            return self._own[name]
        for entry in entry_points(group=self.group):
            if entry.name == name:
                loaded: T = entry.load()
                return loaded
        known = self.names()
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}? known: " if close else "known: "
        raise UsageError(f"unknown {self.group.rsplit('.', 1)[-1].rstrip('s')} {name!r}", hint=hint + ", ".join(known))

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self.names()
