"""Registry of named components. Components of mgst use a decorator, those of other packages use entry points."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from mgst_data.core.errors import UsageError

T = TypeVar("T")


class Registry(Generic[T]):
    """Named objects of one kind.

    Args:
        group: Entry-point group that other packages register under, for example ``mgst_data.layouts``.
    """

    def __init__(self, group: str) -> None:
        self.group = group
        self._own: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Returns a decorator that adds an object under a name.

        Raises:
            ValueError: if the name is already registered.
        """

        def add(item: T) -> T:
            if name in self._own:
                raise ValueError(f"{self.group}: {name!r} is already registered")
            self._own[name] = item
            return item

        return add

    def names(self) -> tuple[str, ...]:
        """Returns all names: first those of mgst in the order of registration, then those of installed packages."""
        theirs = sorted(e.name for e in entry_points(group=self.group) if e.name not in self._own)
        return (*self._own, *theirs)

    def get(self, name: str) -> T:
        """Returns the object that is registered under a name.

        Raises:
            UsageError: if the name is unknown. The message lists the known names.
        """
        if name in self._own:
            return self._own[name]
        for entry in entry_points(group=self.group):
            if entry.name == name:
                loaded: T = entry.load()
                return loaded
        known = self.names()
        close = difflib.get_close_matches(name, known, n=1)
        listed = f"known: {', '.join(known)}"
        hint = f"did you mean {close[0]!r}? {listed}" if close else ""
        what = f"unknown {self.group.rsplit('.', 1)[-1].rstrip('s')} {name!r}"
        raise UsageError(what if close else f"{what}; {listed}", hint=hint)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self.names()
