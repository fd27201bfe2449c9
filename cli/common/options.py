"""Options under headings, and those that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import cloup
from cloup import Command
from cloup import option_group as options

__all__ = ["Command", "json_option", "option", "options"]


def option(*names: str, **settings: Any) -> Callable[..., Any]:
    """One option for :func:`options`. It is None, or empty, where it is not given: defaults belong to the library."""
    # A default of None counts as a value: with one, click takes a required option for given.
    return cloup.option(*names, **(settings if settings.get("required") else {"default": None, **settings}))


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
