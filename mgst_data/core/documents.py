"""Reads JSON that was not written by this process."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """Returns the values of a JSON document.

    Args:
        text: Document, as text or UTF-8.

    Raises:
        ValueError: if it is not valid JSON, or too deeply nested (Python raises RecursionError for that, which is no
            ValueError).
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
