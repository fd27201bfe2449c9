"""Sources: folders of shards that are read together, with their names and weights."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mgst_data.core import UsageError
from mgst_data.core.errors import printable
from mgst_data.core.locations import is_url


@dataclass(frozen=True, slots=True)
class Source:
    """A folder of shards as one of several sources.

    Attributes:
        name: Name in tables and logs.
        location: Path or fsspec URL of the folder.
        weight: How often the source is drawn, relative to the weights of the other sources. Above 0.

    Raises:
        UsageError: if the name is empty or the weight is not a positive number.
    """

    name: str
    location: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.name:
            raise UsageError("the name of a source is empty", where=self.location, hint="give it a name")
        if not (math.isfinite(self.weight) and self.weight > 0):
            what = f"the weight of the source {printable(self.name)} must be above 0, got {self.weight}"
            raise UsageError(what, where=self.location, hint="omit the source, or raise its weight")


Places = str | Path | Source | Sequence[str | Path | Source]


def sources_of(places: Places) -> tuple[Source, ...]:
    """Returns one or more folders as sources. A path gets the weight 1 and the name of its folder.

    Where two folders have the same name, the names of their parent folders are put before it.

    Args:
        places: A folder by path or URL, a source, or a list of these.

    Raises:
        UsageError: if there is no folder, if a folder is given twice, or if two sources have the same name.
    """
    given = [places] if isinstance(places, str | Path | Source) else list(places)
    if not given:
        raise UsageError("no folder of shards", hint="give at least one folder that mgst-data extract has written")
    locations = [place.location if isinstance(place, Source) else _spelled(place) for place in given]
    where = [location if is_url(location) else str(Path(location).resolve()) for location in locations]
    for place, count in Counter(where).items():
        if count > 1:
            raise UsageError("given more than once", where=place, hint="give each folder of shards once")
    # The resolved path has the name of a folder that is given as "." or "..".
    names = [place.name if isinstance(place, Source) else "" for place in given]
    paths = [list(PurePosixPath(place.partition("://")[2] or place).parts) for place in where]
    depth = 1
    free = [i for i, name in enumerate(names) if not name]
    while free:
        for i in free:
            names[i] = "/".join(paths[i][-depth:])
        counts, longest = Counter(names), max(len(paths[i]) for i in free)
        free = [i for i in free if counts[names[i]] > 1 and depth < longest]
        depth += 1
    for name, count in Counter(names).items():
        if count > 1:
            raise UsageError(f"{count} sources have the name {printable(name)!r}", hint="give them different names")
    return tuple(
        place if isinstance(place, Source) else Source(name, location)
        for place, name, location in zip(given, names, locations, strict=True)
    )


def _spelled(place: str | Path) -> str:
    # Different spellings of a path must compare equal. A URL stays unchanged.
    return str(place) if is_url(str(place)) else str(Path(place))
