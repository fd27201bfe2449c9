"""Places of files: local paths, and URLs for fsspec."""

from __future__ import annotations


def is_url(location: str) -> bool:
    """Whether this is for fsspec ("s3://bucket/shards", "https://..."), not a local path."""
    return "://" in location


def join(location: str, name: str) -> str:
    """The file ``name`` in a folder given by path or URL; "" is the folder that names are relative to."""
    return f"{location.rstrip('/')}/{name}" if location else name
