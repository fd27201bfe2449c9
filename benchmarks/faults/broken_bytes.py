"""Mutations of the bytes of a file, and of the values of a JSON document. Draws come from the generator handed in."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

Bytes = Callable[[bytes, random.Random], bytes]
# Numbers that have broken parsers before: limits of integer types, and values without a finite meaning.
NUMBERS = (0, -1, 1, 2**15, 65535, 2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**63 - 1, 2**63, 10**18, 10**400, 1e308, 0.5)
VALUES: tuple[Any, ...] = (
    *NUMBERS, float("nan"), float("inf"), None, True, "", "x", "\0", "\ud800", "../../outside", "/etc/passwd",
    "x" * 70000, [], {}, [[]], {"a": {}}, [None], "1", "-1", "NaN", "real",
)  # fmt: skip
_INTEGERS = (0, 1, 127, 128, 255, 32767, 65535, 2**31 - 1, 2**32 - 1)


def flip_bits(data: bytes, draw: random.Random) -> bytes:
    """Flips one to forty bits."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 3, 10, 40))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def flip_header(data: bytes, draw: random.Random) -> bytes:
    """Flips bits of the first 512 bytes."""
    return flip_bits(data[:512], draw) + data[512:]


def truncate(data: bytes, draw: random.Random) -> bytes:
    """Cuts the end off."""
    return data[: draw.randrange(len(data))]


def splice(data: bytes, draw: random.Random) -> bytes:
    """Joins the beginning of the file with another part of it."""
    return data[: draw.randrange(len(data))] + data[draw.randrange(len(data)) :]


def repeat(data: bytes, draw: random.Random) -> bytes:
    """Repeats a part."""
    first, last = sorted(draw.randrange(len(data)) for _ in range(2))
    return data[:last] + data[first:last] * draw.choice((1, 3)) + data[last:]


def reorder(data: bytes, draw: random.Random) -> bytes:
    """Exchanges two parts."""
    a, b, c = sorted(draw.randrange(len(data)) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def overwrite(data: bytes, draw: random.Random) -> bytes:
    """Overwrites a part with zeros, ones or noise."""
    size = min(len(data), draw.choice((4, 64, 1024)))
    at = draw.randrange(len(data) - size + 1)
    body = draw.choice((bytes(size), b"\xff" * size, draw.randbytes(size)))
    return data[:at] + body + data[at + size :]


def put_integer(data: bytes, draw: random.Random) -> bytes:
    """Writes an extreme integer over two or four bytes of the first kilobyte."""
    width = min(len(data), draw.choice((2, 4)))
    at = draw.randrange(max(1, min(len(data), 1024) - width))
    value = draw.choice(_INTEGERS) % 256**width
    return data[:at] + value.to_bytes(width, draw.choice(("big", "little"))) + data[at + width :]


def insert(data: bytes, draw: random.Random) -> bytes:
    """Inserts noise."""
    at = draw.randrange(len(data))
    return data[:at] + draw.randbytes(draw.choice((1, 7, 512))) + data[at:]


def append(data: bytes, draw: random.Random) -> bytes:
    """Appends noise or zeros."""
    return data + draw.choice((bytes(4096), draw.randbytes(300)))


BYTES: Mapping[str, Bytes] = {
    "bit flips": flip_bits,
    "bit flips in the header": flip_header,
    "truncation": truncate,
    "splice": splice,
    "repeated part": repeat,
    "exchanged parts": reorder,
    "overwritten part": overwrite,
    "extreme integer": put_integer,
    "inserted noise": insert,
    "appended bytes": append,
}


def mutate(data: bytes, draw: random.Random) -> tuple[str, bytes]:
    """Mutates bytes in one way.

    Args:
        data: Content of a file, at least one byte.
        draw: Generator.

    Returns:
        Name of the mutation, and the content.
    """
    name = draw.choice(tuple(BYTES))
    return name, BYTES[name](data, draw)


def mutate_json(document: Any, draw: random.Random) -> tuple[str, bytes]:
    """Mutates a JSON document: one value, a key, deep nesting, or its bytes.

    Args:
        document: Values of the document.
        draw: Generator.

    Returns:
        Name of the mutation, and the content of the file.
    """
    way = draw.randrange(10)
    if way == 0:
        depth = draw.choice((100, 3000, 100_000))
        return "deep nesting", draw.choice((b"[", b'{"a":')) * depth
    if way <= 2:
        return mutate(json.dumps(document).encode(), draw)
    copy = json.loads(json.dumps(document))
    holders = [holder for holder in _holders(copy) if holder]
    holder = draw.choice(holders)
    key: Any = draw.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    name = "wrong value"
    if way == 3:
        name = "missing key"
        del holder[key]
    elif way == 4:
        name = "repeated part"
        if isinstance(holder, dict):
            holder[f"{key}x"] = holder.pop(key)
        else:
            holder.append(holder[key])
    else:
        holder[key] = draw.choice(VALUES)
    return name, json.dumps(copy).encode()


def _holders(value: Any) -> list[Any]:
    """Returns all objects and lists of a document."""
    if not isinstance(value, dict | list):
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [value, *(holder for one in inner for holder in _holders(one))]
