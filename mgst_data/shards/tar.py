"""The part of the tar format that shards use, over bytes in memory.

Written by hand for two reasons: a sample's place in the file is known (so a reader goes straight to it, and a
video that fails half-way is taken back), and walking the members costs microseconds, not the time of a picture.
"""

from __future__ import annotations

import struct
import tarfile
from collections.abc import Iterator

from mgst_data.core import ShardError

_BLOCK = 512
END = bytes(2 * _BLOCK)
# Of a header: name, size in octal digits, kind of member, magic.
_HEADER = struct.Struct("100s 24x 11s 21x c 100x 5s 250x")


def pack(name: str, data: bytes | memoryview) -> bytes:
    """One member: header, data, padding. Owner, mode and time are constant: equal input, equal bytes."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return b"".join((info.tobuf(tarfile.GNU_FORMAT), data, bytes(-len(data) % _BLOCK)))


def unpack(data: memoryview) -> Iterator[tuple[str, memoryview]]:
    """Name and data of every member of a run of packed members; nothing is copied.

    Raises:
        ShardError: if this is not what ``pack`` writes.
    """
    at, long_name = 0, b""
    while at < len(data):
        try:
            name, size, kind, magic = _HEADER.unpack_from(data, at)
            length = int(size, 8)
        except (struct.error, ValueError) as error:
            raise ShardError("damaged tar header") from error
        if magic != b"ustar":
            raise ShardError("no tar member where one should begin")
        at += _BLOCK
        body = data[at : at + length]
        if len(body) < length:
            raise ShardError("a tar member is cut short")
        at += length + -length % _BLOCK
        # Names over 100 characters come as the data of a member before (GNU tar).
        if kind == b"L":
            long_name = bytes(body)
            continue
        try:
            yield (long_name or name).rstrip(b"\0").decode(), body
        except UnicodeDecodeError as error:
            raise ShardError("damaged tar header") from error
        long_name = b""
