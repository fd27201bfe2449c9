"""Options under headings, and those that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class Option(click.Option):
    """An option that is shown under a heading."""

    def __init__(self, *names: Any, heading: str = "Options", **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.heading = heading


class Command(click.Command):
    """A command that shows its options under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes one list per heading, in the order of declaration; those without one come last."""
        lists: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):  # arguments are in the usage line
                lists.setdefault(getattr(parameter, "heading", "Options"), []).append(record)
        for heading, rows in sorted(lists.items(), key=lambda item: item[0] == "Options"):
            with formatter.section(heading):
                formatter.write_dl(rows)


def options(heading: str, *declared: tuple[tuple[str, ...], dict[str, Any]]) -> Callable[[F], F]:
    """Decorates a command with options under a heading, in the order given."""

    def decorate(command: F) -> F:
        for names, settings in reversed(declared):
            command = click.option(*names, cls=Option, heading=heading, **settings)(command)
        return command

    return decorate


def option(*names: str, **settings: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """One option for :func:`options`. It is None, or empty, where it is not given: defaults belong to the library."""
    # A default of None counts as a value: with one, click takes a required option for given.
    return names, settings if settings.get("required") else {"default": None, **settings}


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
