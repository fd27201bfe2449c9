"""Keys of videos: valid file names, unique, and independent of other files in the data set."""

from __future__ import annotations

import hashlib
import re

MAX_KEY = 120
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_HASHED = re.compile(r"-[0-9a-f]{12}$")


def video_key(relative: str, suffix: str = "") -> str:
    """Returns the key of a video, computed from its path relative to the root of the data set.

    ``"Celeb-real/id0_0000.mp4"`` becomes ``"Celeb-real__id0_0000"``. If the path cannot be recovered from the key
    (other characters, a double underscore, another suffix, too long), a hash of the path is appended. A key depends
    only on its path. Therefore the order of a scan and files added later do not change it. Two paths never have the
    same key: the path can be recovered from keys without a hash, and no key without a hash has the form of a key with a
    hash.

    Args:
        relative: Path with ``/`` between its parts; bytes that are not UTF-8 are surrogates, as returned by ``os``.
        suffix: Usual suffix of the data set, which is left out of the key.

    Returns:
        Key of at most 120 letters, digits, ``_`` and ``-``.
    """
    key = _UNSAFE.sub("_", relative.removesuffix(suffix).replace("/", "__"))
    readable = key.replace("__", "/") + suffix == relative
    if key and readable and len(key) <= MAX_KEY and not _HASHED.search(key):
        return key
    digest = hashlib.blake2b(relative.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    return f"{key[: MAX_KEY - len(digest) - 1]}-{digest}"
