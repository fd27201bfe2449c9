"""Errors and warnings as one line: what, where, what to do."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, NoReturn, TextIO

import click

from .options import Command

INTERRUPTED = 130
_python_shows = warnings.showwarning


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
    warnings.showwarning = show_warning
    signal.signal(signal.SIGTERM, _interrupt)
    command(prog_name=command.name)


def answer_at_once(line: str) -> None:
    """Writes a line to stderr inside a signal handler, where Python's own files must not be entered twice."""
    with suppress(OSError):
        os.write(2, f"{line}\n".encode())


@contextmanager
def interrupted_at_once(release: Callable[[], None]) -> Iterator[None]:
    """Within, the first Ctrl-C is answered at once and raises KeyboardInterrupt; a second one ends the process.

    Args:
        release: Called first, in the signal handler: lets go of what the way out would have to wait for.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> NoReturn:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        answer_at_once("stopping; press Ctrl-C again to end at once")
        release()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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
        warnings.showwarning = _python_shows
    return value


debug_option = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    callback=_debug,
    help="Show where an error comes from, and the warnings of other libraries.",
)


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,  # noqa: ARG001 - as Python calls it
    lineno: int,  # noqa: ARG001
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    """Shows a warning of this toolkit as one line. Those of other libraries speak to developers, and are hidden."""
    module = sys.modules.get("mgst_data.core.errors")
    if module and issubclass(category, module.MgstWarning):
        click.echo(f"warning: {message}", err=True)


def show_unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:  # noqa: ARG001
    """Takes the place of Python's traceback for what nobody foresaw."""
    if issubclass(kind, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return
    where = "the same command with --debug shows where, which is worth a report"
    click.echo(f"error: {kind.__name__}: {error} ({where})", err=True)
