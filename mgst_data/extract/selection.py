"""Selects some of the chunks of a video after all of them are known."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from mgst_data.core.sampling import evenly_spaced
from mgst_data.shards.schema import FaceChunk


@dataclass(frozen=True, slots=True)
class _Spooled:
    """A chunk whose images are in a temporary file, one after another, from ``offset`` on."""

    chunk: FaceChunk
    offset: int
    sizes: tuple[int, ...]


# Chooses among the tracks of a video, given as the sum of box areas over their frames, by number.
ChooseTracks = Callable[[Mapping[int, float]], Collection[int]]


def select_chunks(
    chunks: Iterable[FaceChunk], *, count: int = 0, choose: ChooseTracks | None = None
) -> Iterator[FaceChunk]:
    """Yields the selected chunks in their original order. Until then, images are kept in a temporary file.

    Args:
        chunks: All chunks of one video.
        count: Number of chunks to keep, evenly spaced; 0 keeps all. If there are enough chunks of the full length, the
            shorter ones are ignored.
        choose: Function that chooses the tracks to keep, when all chunks are known; None keeps all.
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
        if choose is not None and spooled:
            chosen = choose(area)
            spooled = [item for item in spooled if item.chunk.track in chosen]
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
