"""Optional packages: a missing one is named together with the extra that installs it."""

from __future__ import annotations

from importlib.util import find_spec


def need(package: str, extra: str) -> None:
    """Checks that an optional package is installed.

    Args:
        package: Name that it is imported by.
        extra: Extra of mgst that installs it.

    Raises:
        ImportError: if it is not installed.
    """
    found = find_spec(package)
    # A folder of this name in the current folder is found, too, but has no file to import.
    if found is None or found.origin is None:
        raise ImportError(f"this needs {package}: pip install 'mgst[{extra}]'")
