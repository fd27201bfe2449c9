"""Hashes the content of a video, to recognise the same file under another name."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mgst_data.core.locations import PICTURE_SUFFIXES, is_url
from mgst_data.video.files import cannot_open, is_folder

_BYTES = 16


def content_hash(path: str) -> str:
    """Returns a hash of all bytes of a video, picture or archive; of a folder, of its pictures in order of their names.

    All bytes are read, because extraction has just read them too: from the memory of the system, hashing is much faster
    than decoding. A hash of only some parts of a file could be equal for two videos of a still scene. A video that was
    encoded again or cut has another hash.

    Args:
        path: What the reader of videos opens.

    Returns:
        32 hexadecimal digits. "" for a URL, which would have to be downloaded a second time, and for a name that is not
        a file or folder, as readers of other packages may use.

    Raises:
        VideoError: if a file cannot be read.
    """
    if is_url(path) or not Path(path).exists():
        return ""
    try:
        if not is_folder(path):
            return _of_file(Path(path)).hex()
        pictures = sorted(file for file in Path(path).iterdir() if file.name.lower().endswith(PICTURE_SUFFIXES))
        return hashlib.blake2b(b"".join(map(_of_file, pictures)), digest_size=_BYTES).hexdigest()
    except OSError as error:
        failure = cannot_open(path, error)
        raise failure from error


def _of_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=_BYTES)).digest()
