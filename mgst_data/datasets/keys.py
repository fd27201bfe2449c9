"""Keys of videos: safe as file names, unique, and the same whatever else lies in the data set."""

from __future__ import annotations

import hashlib
import re

MAX_KEY = 120
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_HASHED = re.compile(r"-[0-9a-f]{12}$")


def video_key(relative: str, suffix: str = "") -> str:
    """Makes the key of a video from its path relative to the data set's root.

    ``"Celeb-real/id0_0000.mp4"`` becomes ``"Celeb-real__id0_0000"``. Where the path cannot be read back from the
    key (other characters, a double underscore, another suffix, too long), a hash of the path is appended. A key
    depends on its own path only, so neither the order of a scan nor a file added later changes it, and two paths
    never share one: keys without a hash can be read back, and none of them looks like one with a hash.

    Args:
        relative: Path with ``/`` between its parts; bytes that are no UTF-8 as surrogates, as ``os`` gives them.
        suffix: The suffix usual in this data set, which the key leaves out.

    Returns:
        Letters, digits, ``_`` and ``-``; at most 120 of them.
    """
    key = _UNSAFE.sub("_", relative.removesuffix(suffix).replace("/", "__"))
    readable = key.replace("__", "/") + suffix == relative
    if key and readable and len(key) <= MAX_KEY and not _HASHED.search(key):
        return key
    digest = hashlib.blake2b(relative.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    return f"{key[: MAX_KEY - len(digest) - 1]}-{digest}"
