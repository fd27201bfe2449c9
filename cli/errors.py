"""Errors as one line: what, where, what to do."""

from __future__ import annotations

import signal
import sys
from types import TracebackType
from typing import Any, NoReturn

import click

from .options import Command

INTERRUPTED = 130


class _OneLine(click.Command):
    """Ends with one line and an exit code, whatever happens."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs it; with ``--debug``, errors are not touched."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)
        except _expected() as error:
            if ctx.meta.get("debug"):
                raise
            click.echo(f"error: {error}", err=True)
            ctx.exit(getattr(error, "exit_code", 1))


class Commands(_OneLine, click.Group):
    """A group whose commands end with one line and an exit code, whatever happens."""


class LoneCommand(_OneLine, Command):
    """The same for a command that stands alone."""


def run_script(command: click.Command) -> None:
    """Runs a command as a console script of its name; SIGTERM ends it as Ctrl-C does."""
    sys.excepthook = show_unexpected
    signal.signal(signal.SIGTERM, _interrupt)
    command(prog_name=command.name)


def _interrupt(*_: object) -> NoReturn:
    # What a scheduler asks for politely.
    raise KeyboardInterrupt


def _expected() -> tuple[type[Exception], ...]:
    # Only what has been imported can have been raised, and importing it takes seconds.
    module = sys.modules.get("mgst_data.core.errors")
    return (ImportError, module.MgstError) if module else (ImportError,)


def _debug(ctx: click.Context, _: click.Parameter, value: bool) -> bool:
    if value:
        ctx.meta["debug"] = True
        sys.excepthook = sys.__excepthook__
    return value


debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, callback=_debug, help="Show where an error comes from."
)


def show_unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:  # noqa: ARG001
    """Takes the place of Python's traceback for what nobody foresaw."""
    if issubclass(kind, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return
    where = "the same command with --debug shows where, which is worth a report"
    click.echo(f"error: {kind.__name__}: {error} ({where})", err=True)
