"""Writes and reads the part of the tar format that shards use, as bytes in memory.

The project has its own code for this for two reasons. The position of every sample in the file is known: a reader
accesses it directly, and a writer can remove a video that fails. Iterating over the members takes microseconds,
which is much less than decoding an image.
"""

from __future__ import annotations

import struct
import tarfile
from collections.abc import Iterator

from mgst_data.core import ShardError

_BLOCK = 512
END = bytes(2 * _BLOCK)
# Fields of a header: name, size in octal digits, type of the member, magic.
_HEADER = struct.Struct("100s 24x 11s 21x c 100x 5s 250x")


def pack(name: str, data: bytes | memoryview) -> bytes:
    """Packs one member: header, data, padding.

    Owner, mode and time are constant, so equal input gives bit-identical output.

    Args:
        name: Name of the member.
        data: Content of the member.
    """
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return b"".join((info.tobuf(tarfile.GNU_FORMAT), data, bytes(-len(data) % _BLOCK)))


def unpack(data: memoryview) -> Iterator[tuple[str, memoryview]]:
    """Yields the name and the data of every member, without copying.

    Args:
        data: Packed members, one after another.

    Raises:
        ShardError: if the data does not have the format that ``pack`` writes.
    """
    at, long_name = 0, b""
    while at < len(data):
        try:
            name, size, kind, magic = _HEADER.unpack_from(data, at)
            length = int(size, 8)
        except (struct.error, ValueError) as error:
            raise ShardError("damaged tar header") from error
        if magic != b"ustar":
            raise ShardError("no tar header at the expected position")
        if length < 0:  # would go back, and never end
            raise ShardError("damaged tar header")
        at += _BLOCK
        body = data[at : at + length]
        if len(body) < length:
            raise ShardError("truncated tar member")
        at += length + -length % _BLOCK
        # GNU tar stores a name of more than 100 characters as the data of a preceding member.
        if kind == b"L":
            long_name = bytes(body)
            continue
        try:
            yield (long_name or name).rstrip(b"\0").decode(), body
        except UnicodeDecodeError as error:
            raise ShardError("damaged tar header") from error
        long_name = b""
