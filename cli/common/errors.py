"""Errors and warnings as one line on stderr: where, what happened, what to do next."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, TextIO

import click

from .options import Command

INTERRUPTED = 130
_INTERRUPTION = "interrupted; run the same command again"
# Seconds until an interruption is repeated that has had no effect.
_AGAIN = 0.5
_python_shows = warnings.showwarning


class _OneLine(click.Command):
    """Ends expected errors and Ctrl-C with one line on stderr and an exit code. ``-h`` shows the help.

    Args:
        *args: Arguments of the click command.
        **settings: Further arguments of the click command.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        context = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
        super().__init__(*args, **settings | {"context_settings": context})

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command. With ``--debug``, errors are raised again, with their traceback."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo(_INTERRUPTION, err=True)
            ctx.exit(INTERRUPTED)
        except _expected() as error:
            if ctx.meta.get("debug"):
                raise
            click.echo(f"error: {error}", err=True)
            ctx.exit(getattr(error, "exit_code", 1))


class Commands(_OneLine, click.Group):
    """A group of commands that end errors with one line and an exit code."""


class LoneCommand(_OneLine, Command):
    """A command without sub-commands that ends errors with one line and an exit code."""


def run_script(command: click.Command) -> None:
    """Runs a command as a console script. SIGTERM has the same effect as Ctrl-C."""
    sys.excepthook = show_unexpected
    warnings.showwarning = show_warning
    signal.signal(signal.SIGTERM, _interrupt)  # schedulers send it before they kill a process
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else the caller wants it to be ignored
        signal.signal(signal.SIGINT, _interrupt)
    try:
        try:
            # In its standalone mode, click answers "Aborted!" to an interruption before or after a command.
            code = command.main(prog_name=command.name, standalone_mode=False)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo(_INTERRUPTION, err=True)
        code = INTERRUPTED
    sys.exit(code if isinstance(code, int) else 0)


def answer_at_once(line: str) -> None:
    """Writes a line to stderr inside a signal handler, where Python's file objects are not reentrant."""
    with suppress(OSError):
        os.write(2, f"{line}\n".encode())


@contextmanager
def interrupted_at_once(release: Callable[[], None]) -> Iterator[None]:
    """Handles Ctrl-C and SIGTERM inside the block: the first one raises KeyboardInterrupt.

    The first Ctrl-C also prints a line immediately, and a second one ends the process.

    Args:
        release: Called in the signal handler before the exception is raised. Frees whatever would delay the exit, such
            as a child process.

    Raises:
        KeyboardInterrupt: At the first Ctrl-C or SIGTERM.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            answer_at_once("stopping; press Ctrl-C again to quit immediately")
        release()
        _interrupt(number, frame)

    # A program that calls this as a function may handle SIGTERM itself.
    numbers = [signal.SIGINT, *([signal.SIGTERM] if signal.getsignal(signal.SIGTERM) is _interrupt else [])]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_: int, frame: FrameType | None) -> None:
    """Interrupts the command; later or again where an exception has no effect.

    Some libraries suppress an interruption while they are imported. Python suppresses it in a method ``__del__``.

    Raises:
        KeyboardInterrupt: unless a ``__del__`` is running.
    """
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            _interrupt_later()
            return
        if "importlib._bootstrap" in frame.f_code.co_filename:
            _interrupt_later()
            break
        frame = frame.f_back
    raise KeyboardInterrupt


def _interrupt_later() -> None:
    signal.signal(signal.SIGALRM, _repeat)
    signal.setitimer(signal.ITIMER_REAL, _AGAIN)


def _repeat(number: int, frame: FrameType | None) -> None:
    """Interrupts the command again, unless it is just ending because of the first interruption.

    Raises:
        KeyboardInterrupt: if the first interruption was suppressed.
    """
    error = sys.exception()
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            _interrupt_later()
            return
        error = error.__context__
    _interrupt(number, frame)


def _expected() -> tuple[type[Exception], ...]:
    # An error class that was never imported cannot have been raised. Importing it here would take seconds.
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
    help="Show the traceback of an error, and warnings of other libraries.",
)


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,  # noqa: ARG001 - Python passes it
    lineno: int,  # noqa: ARG001
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    """Shows a warning of this toolkit as one line. Warnings of other libraries are for developers and are hidden.

    Args:
        message: Text of the warning.
        category: Class of the warning; only subclasses of MgstWarning are shown.
        filename: Source file; not shown.
        lineno: Line in the source file; not shown.
        file: Stream that Python would write to; ignored.
        line: Source code of the line; not shown.
    """
    module = sys.modules.get("mgst_data.core.errors")
    if module and issubclass(category, module.MgstWarning):
        click.echo(f"warning: {message}", err=True)


def show_unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:  # noqa: ARG001
    """Shows an unexpected exception as one line instead of a traceback.

    Args:
        kind: Class of the exception.
        error: The exception.
        trace: Its traceback; shown only with ``--debug``.
    """
    if issubclass(kind, KeyboardInterrupt):
        click.echo(_INTERRUPTION, err=True)
        return
    hint = "unexpected error; run the command again with --debug and report the traceback"
    click.echo(f"error: {kind.__name__}: {error} ({hint})", err=True)
