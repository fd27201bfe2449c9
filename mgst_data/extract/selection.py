"""Picks some of a video's chunks, which can be told only when all are known."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from mgst_data.core.records import main_track
from mgst_data.core.sampling import evenly_spaced
from mgst_data.shards.schema import FaceChunk


@dataclass(frozen=True, slots=True)
class _Spooled:
    """A chunk whose pictures lie in a file, one after another, from ``offset`` on."""

    chunk: FaceChunk
    offset: int
    sizes: tuple[int, ...]


def select_chunks(chunks: Iterable[FaceChunk], *, count: int = 0, main_only: bool = False) -> Iterator[FaceChunk]:
    """Yields the chosen chunks in the order they came in; pictures wait in a temporary file, not in memory.

    Args:
        chunks: All chunks of one video.
        count: How many to keep, evenly spaced; 0 keeps all. Where there are enough chunks of full length, only those
            are counted.
        main_only: Keep the main face only: the one with the largest sum of areas over its frames.
    """
    with tempfile.TemporaryFile(prefix="mgst-") as file:
        spooled = []
        area: dict[int, float] = defaultdict(float)
        offset = 0
        for chunk in chunks:
            pictures = [bytes(data) for data in (*chunk.images, *chunk.masks)]
            file.write(b"".join(pictures))
            blank = replace(chunk, images=(b"",) * len(chunk.images), masks=(b"",) * len(chunk.masks))
            spooled.append(_Spooled(blank, offset, tuple(map(len, pictures))))
            offset += sum(spooled[-1].sizes)
            area[chunk.track] += chunk.face_area
        if main_only and spooled:
            main = main_track(area)
            spooled = [item for item in spooled if item.chunk.track == main]
        for item in _evenly(spooled, count) if count else spooled:
            file.seek(item.offset)
            data = tuple(file.read(size) for size in item.sizes)
            images = len(item.chunk.images)
            yield replace(item.chunk, images=data[:images], masks=data[images:])


def _evenly(items: list[_Spooled], count: int) -> list[_Spooled]:
    longest = max((len(item.chunk) for item in items), default=0)
    full = [item for item in items if len(item.chunk) == longest]
    pool = full if len(full) >= count else items
    if len(pool) <= count:
        return pool
    return [pool[i] for i in evenly_spaced(len(pool), count)]
