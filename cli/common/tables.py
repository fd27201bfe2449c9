"""Configurations: a TOML file, then flags, then ``--set``; each overrides what comes before."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from mgst_data.core import UsageError
from mgst_data.core.errors import check_name

Sections = dict[str, dict[str, Any]]
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def build_tables(
    kinds: Mapping[str, type],
    path: Path | None,
    flags: Mapping[str, Any],
    overrides: Iterable[str],
    *,
    renamed: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Merges a file, flags and overrides into one object per table.

    Args:
        kinds: The dataclass of every table.
        path: A TOML file with these tables.
        flags: Values by name, of any table.
        overrides: ``"table.name=value"``, the value as in TOML; text needs no quotes.
        renamed: By ``"table.name"`` of an option's earlier name, its name of now: the earlier one is an error.

    Raises:
        UsageError: for a name that there is not, with the one that may be meant, or a value that does not fit.
    """
    sections: Sections = {name: {} for name in kinds}
    merge = partial(_merge, kinds, sections, renamed=renamed or {})
    if path is not None:
        merge(read_toml(path), where=str(path))
    for name, kind in kinds.items():
        own = {field.name for field in fields(kind)}
        sections[name] |= {flag: value for flag, value in flags.items() if flag in own and value not in (None, ())}
    for text in overrides:
        merge(_override(text, kinds), where=f"--set {text}")
    built = {}
    for name, kind in kinds.items():
        try:
            built[name] = kind(**sections[name])
        except ValueError as error:
            raise UsageError(str(error), where=f"table {name}") from error
    return built


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file says; raises UsageError if it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError((error.strerror or "cannot be read").lower(), where=path, hint="check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"is no valid TOML: {error}", where=path) from error


def _override(text: str, kinds: Mapping[str, type]) -> Sections:
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot):
        # The table may be left out by mistake: an option of that name, or else any, shows how it is written.
        known = [f"{table}.{field.name}" for table, kind in kinds.items() for field in fields(kind)]
        meant = [option for option in known if option.partition(".")[2] == name.strip()] or known[:1]
        hint = f"such as --set {meant[0]}={value or 'VALUE'}"
        raise UsageError("is not TABLE.NAME=VALUE", where=f"--set {text}", hint=hint)
    return {section: {key: parse_value(value)}}


def parse_value(text: str) -> Any:
    """A value as TOML has it; anything else is text, which needs no quotes here."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _merge(
    kinds: Mapping[str, type], sections: Sections, given: Mapping[str, Any], *, renamed: Mapping[str, str], where: str
) -> None:
    for name, values in given.items():
        check_name(name, kinds, "table", where)
        if not isinstance(values, Mapping):
            raise UsageError(
                f"{name!r} is {values!r}, not a table", where=where, hint=f"write [{name}] above its values"
            )
        hints = get_type_hints(kinds[name])
        for key, value in values.items():
            if f"{name}.{key}" in renamed:
                raise UsageError(f"{name}.{key} is called {renamed[f'{name}.{key}']} now", where=where)
            check_name(key, hints, f"option {name}.", where)
            sections[name][key] = _convert(value, hints[key], f"{name}.{key}", where)


def _convert(value: Any, hint: Any, name: str, where: str) -> Any:
    if hint == tuple[str, ...]:
        values = value.split(",") if isinstance(value, str) else value
        if isinstance(values, list) and all(isinstance(item, str) for item in values):
            return tuple(values)
        raise UsageError(f"{name} is {value!r}, not a list of names", where=where)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise UsageError(f"{name} is {value!r}, not one of {', '.join(get_args(hint))}", where=where)
        return value
    kind = int if hint == (int | None) else hint
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise UsageError(f"{name} is {value!r}, not {_WORDS[kind]}", where=where)
    return value


def preset_file(name: str, folder: str = "train") -> Path:
    """A configuration that comes along.

    Raises:
        UsageError: if there is none of that name.
    """
    path = Path(str(files("mgst_configs") / folder / f"{name}.toml"))
    if not path.is_file():
        raise UsageError(f"there is no configuration {name!r}", where=path.parent)
    return path
