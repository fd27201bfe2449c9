"""Links from a page to files."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote


def link(path: Path, folder: Path) -> str:
    """Returns a relative link to a file, for a page in a folder. Every file name is allowed.

    Args:
        path: The file.
        folder: Folder of the page.
    """
    return quote(os.fsencode(os.path.relpath(path, folder)).replace(os.sep.encode(), b"/"), safe="/")
