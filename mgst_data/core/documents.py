"""Reads JSON that was not written by this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def parse_json(text: str | bytes, *, object_hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Returns the values of a JSON document.

    Args:
        text: Document, as text or UTF-8.
        object_hook: Function that replaces every object while the document is parsed.

    Raises:
        ValueError: if it is not valid JSON, or too deeply nested (Python raises RecursionError for that, which is no
            ValueError).
    """
    try:
        return json.loads(text, object_hook=object_hook)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
