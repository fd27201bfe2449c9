"""Errors that reach a user: one line that says what, where and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MgstError(Exception):
    """The base of every error this toolkit raises on purpose.

    Args:
        what: What is wrong, without a full stop ("no video stream").
        where: The file, folder or option it was found in.
        hint: What to do about it.
        reason: A short snake_case code that reports are counted by.
    """

    exit_code = 1
    default_reason = "error"

    def __init__(self, what: str, *, where: object = "", hint: str = "", reason: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = printable(where)
        self.hint = hint
        self.reason = reason or self.default_reason

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        return f"{line} ({self.hint})" if self.hint else line

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders; keyword-only arguments are lost by the default protocol.
        return _rebuild, (type(self), self.what, self.where, self.hint, self.reason)


class UsageError(MgstError):
    """The command or call was asked for something that cannot be done as asked. Exit code 2."""

    exit_code = 2
    default_reason = "usage"


class LayoutError(UsageError):
    """A data set does not lie on disk as its layout says."""

    default_reason = "layout"


class LeakageError(UsageError):
    """One identity appears in more than one split."""

    default_reason = "leakage"


class ConfigMismatchError(UsageError):
    """A folder was written with another configuration than the one asked for."""

    default_reason = "config_mismatch"


class VideoError(MgstError):
    """A video that cannot be read; ``reason`` says why."""

    default_reason = "decode_error"


class NoFaceError(MgstError):
    """A video in which no usable face track was found."""

    default_reason = "no_face"


class ShardError(MgstError):
    """A shard or report that does not follow the schema."""

    default_reason = "bad_shard"


class OutputError(MgstError):
    """The output cannot be written: permissions, a full disk."""

    default_reason = "output"


class MgstWarning(UserWarning):
    """Something a user should know or can act on. The commands show these, and hide warnings of other libraries."""


def printable(value: object) -> str:
    """Renders any path or text as valid, single-line UTF-8; bytes that are no text appear in hexadecimal."""
    text = str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    # Python smuggles bytes that are no UTF-8 through file names as U+DC80 to U+DCFF.
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def _rebuild(kind: type[MgstError], what: str, where: str, hint: str, reason: str) -> MgstError:
    return kind(what, where=where, hint=hint, reason=reason)


def first_line(error: BaseException) -> str:
    """What an error says, without what follows in further lines; its kind if it says nothing."""
    return str(error).partition("\n")[0] or type(error).__name__


def check_name(name: str, known: Iterable[str], what: str, where: object) -> None:
    """Sees that there is such a name.

    Args:
        name: As given.
        known: Those that there are.
        what: What it should be the name of; it ends in a dot where the name is the last part of a longer one.
        where: The file or option it was found in.

    Raises:
        UsageError: if there is none, with the one that may be meant.
    """
    if name in known:
        return
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names) or 'none'}"
    raise UsageError(f"there is no {what}{'' if what.endswith('.') else ' '}{name}", where=where, hint=hint)
