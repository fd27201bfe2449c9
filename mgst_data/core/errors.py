"""Errors that reach a user: one line that says what happened, where, and what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

# A user with a password in a URL, and the values of options that give access.
_SECRET = re.compile(
    r"(://)[^/@:\s]+:[^/@\s]+(@)"
    r"|([?&][^=&#\s]*(?:signature|sig|token|secret|password|credential|key)[^=&#\s]*=)[^&#\s]+",
    re.IGNORECASE,
)


class MgstError(Exception):
    """Base class of every error that mgst raises on purpose.

    Args:
        what: What is wrong, without a full stop, for example "no video stream".
        where: File, folder or option that the fault is in.
        hint: What to do about it.
        reason: Short snake_case code. Reports count videos by it.
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
        # Exceptions are sent between processes, and the default protocol loses keyword-only arguments.
        return _rebuild, (type(self), self.what, self.where, self.hint, self.reason)


class UsageError(MgstError):
    """The user asked for something that cannot be done as asked. Exit code 2."""

    exit_code = 2
    default_reason = "usage"


class LayoutError(UsageError):
    """The files of a data set do not match its directory layout."""

    default_reason = "layout"


class LeakageError(UsageError):
    """One identity appears in more than one split."""

    default_reason = "leakage"


class ConfigMismatchError(UsageError):
    """A folder was written with another configuration than the one asked for."""

    default_reason = "config_mismatch"


class VideoError(MgstError):
    """A video cannot be read; ``reason`` says why."""

    default_reason = "decode_error"


class NoFaceError(MgstError):
    """A video has no usable face track."""

    default_reason = "no_face"


class ShardError(MgstError):
    """A shard or report does not follow the schema."""

    default_reason = "bad_shard"


class OutputError(MgstError):
    """The output cannot be written, for example because of permissions or a full disk."""

    default_reason = "output"


class MgstWarning(UserWarning):
    """Something that a user should know or can act on. The commands show it, and hide warnings of other libraries."""


def printable(value: object) -> str:
    """Returns any path or text as valid UTF-8 on one line. Bytes that are not text appear in hexadecimal.

    Passwords, keys and signatures in URLs are replaced by ``***``.
    """
    text = str(value)
    if "://" in text:
        text = _SECRET.sub(lambda found: (found[1] or found[3]) + "***" + (found[2] or ""), text)
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    # Python represents bytes of file names that are not UTF-8 as U+DC80 to U+DCFF.
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def _rebuild(kind: type[MgstError], what: str, where: str, hint: str, reason: str) -> MgstError:
    return kind(what, where=where, hint=hint, reason=reason)


def first_line(error: BaseException) -> str:
    """Returns the first line of an error message, or the name of the exception class if there is no message."""
    return str(error).partition("\n")[0] or type(error).__name__


def check_name(name: str, known: Iterable[str], what: str, where: object) -> None:
    """Checks that a name is one of the known names.

    Args:
        name: Name that the user gave.
        known: Known names.
        what: What kind of thing the name stands for, for example "preset". If it ends in a dot ("option train."), its
            last word is put before the name in the message.
        where: File or option that the name was found in.

    Raises:
        UsageError: if the name is unknown. The message names a similar known name, or all known names.
    """
    if name in known:
        return
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else ""
    listed = "" if close else f"; known: {', '.join(names) or 'none'}"
    thing, prefix = what.rsplit(" ", 1) if what.endswith(".") else (what, "")
    raise UsageError(f"unknown {thing} {prefix + name!r}{listed}", where=where, hint=hint)
