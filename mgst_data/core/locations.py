"""Locations of files: local paths, URLs for fsspec, and the cache."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HEIC_SUFFIXES = (".heic", ".heif")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", *HEIC_SUFFIXES)
# Packages of stores have errors of their own beside OSError: module and base class.
_OF_PACKAGES = (
    ("aiohttp", "ClientError"),
    ("azure.core.exceptions", "AzureError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("httpx", "HTTPError"),
)


def is_url(location: str) -> bool:
    """Returns whether a location is a URL for fsspec ("s3://bucket/shards", "https://...") and not a local path."""
    return "://" in location


def join(location: str, name: str) -> str:
    """Returns the location of a file in a folder.

    Args:
        location: Folder, as a path or URL. "" is the folder that relative names refer to.
        name: Name of the file.
    """
    return f"{location.rstrip('/')}/{name}" if location else name


def is_picture(location: str) -> bool:
    """Returns whether the suffix is that of a picture. Query and fragment of a URL are ignored."""
    name = location.partition("?")[0].partition("#")[0] if is_url(location) else location
    return name.lower().endswith(PICTURE_SUFFIXES)


def cache_folder() -> Path:
    """Returns the folder for files that can be made again: MGST_CACHE, else ``mgst`` in XDG_CACHE_HOME or ~/.cache."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "mgst")
    return Path(os.environ.get("MGST_CACHE") or usual)


def package_errors() -> tuple[type[BaseException], ...]:
    """Returns the errors of the packages of stores that are no OSError. One that is not imported has raised nothing."""
    modules = ((sys.modules.get(module), name) for module, name in _OF_PACKAGES)
    return tuple(getattr(module, name) for module, name in modules if module is not None)
