"""Configurations: a TOML file, then options, then ``--set``. Each overrides the one before."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from functools import partial
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from mgst_data.core import UsageError
from mgst_data.core.errors import check_name

Sections = dict[str, dict[str, Any]]
# Names of the top level of a file, by the command that reads them: extraction, training, evaluation. A file may have
# the parts of several commands.
PARTS = (
    ("source", "extract"),
    ("network", "data", "augment", "loss", "train", "sources"),
    ("name", "description", "groups"),
)
_WORDS = {bool: "true or false", int: "an integer", float: "a number", str: "text"}


def build_tables(
    kinds: Mapping[str, type],
    path: Path | None,
    flags: Mapping[str, Any],
    overrides: Iterable[str],
    *,
    renamed: Mapping[str, str] | None = None,
    others: Collection[str] = (),
) -> dict[str, Any]:
    """Merges a file, options of the command line and overrides into one object per table.

    Args:
        kinds: Dataclass of every table, by name of the table.
        path: TOML file with these tables; None for no file.
        flags: Values of command-line options, by name of a field of any table. None and () mean not given.
        overrides: Texts ``"table.name=value"``. The value is TOML; text needs no quotes.
        renamed: Current name of each renamed option, by its old name ``"table.name"``. An old name is an error.
        others: Names of tables of the same command that are read elsewhere.

    Returns:
        One instance of the dataclass per table, by name of the table.

    Raises:
        UsageError: if a name is unknown (with a similar known name), or a value has the wrong type or range.
    """
    sections: Sections = {name: {} for name in kinds}
    merge = partial(_merge, kinds, sections, renamed=renamed or {})
    if path is not None:
        part = read_part(path, kinds)
        merge({name: values for name, values in part.items() if name not in others}, where=str(path))
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
    """Returns the content of a TOML file.

    Raises:
        UsageError: if the file cannot be read or is not valid TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError((error.strerror or "cannot be read").lower(), where=path, hint="check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"not valid TOML: {error}", where=path, hint="correct the file") from error
    except RecursionError as error:
        raise UsageError("not valid TOML: nested too deeply", where=path, hint="correct the file") from error


def read_part(path: Path, names: Collection[str]) -> dict[str, Any]:
    """Returns the content of a TOML file without the parts of other commands, see ``PARTS``.

    Args:
        path: TOML file.
        names: Names of the top level that the command reads; one is enough.

    Raises:
        UsageError: if the file cannot be read, is not valid TOML, or has only parts of other commands.
    """
    content = read_toml(path)
    foreign = {name for part in PARTS if not {*part} & {*names} for name in part}
    mine = {name: values for name, values in content.items() if name not in foreign}
    if content and not mine:
        there, needed = ", ".join(content), ", ".join(names)
        raise UsageError(f"has only {there}, which another command reads; needed: {needed}", where=path)
    return mine


def _override(text: str, kinds: Mapping[str, type]) -> Sections:
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot):
        # The hint shows the option of this name in its table, or else any option.
        known = [f"{table}.{field.name}" for table, kind in kinds.items() for field in fields(kind)]
        meant = [option for option in known if option.partition(".")[2] == name.strip()] or known[:1]
        hint = f"example: --set {meant[0]}={value or 'VALUE'}"
        raise UsageError("not of the form TABLE.NAME=VALUE", where=f"--set {text}", hint=hint)
    return {section: {key: parse_value(value)}}


def parse_value(text: str) -> Any:
    """Parses a TOML value. Any other text is returned as a string, so that it needs no quotes."""
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
                f"{name} must be a table, got {values!r}", where=where, hint=f"write [{name}] above its values"
            )
        hints = get_type_hints(kinds[name])
        for key, value in values.items():
            if f"{name}.{key}" in renamed:
                raise UsageError(f"option {name}.{key} was renamed to {renamed[f'{name}.{key}']}", where=where)
            check_name(key, hints, f"option {name}.", where)
            sections[name][key] = _convert(value, hints[key], f"{name}.{key}", where)


def _convert(value: Any, hint: Any, name: str, where: str) -> Any:
    if hint == tuple[str, ...]:
        values = value.split(",") if isinstance(value, str) else value
        if isinstance(values, list) and all(isinstance(item, str) for item in values):
            return tuple(values)
        raise UsageError(f"{name} must be a list of names, got {value!r}", where=where)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise UsageError(f"{name} must be one of {', '.join(get_args(hint))}, got {value!r}", where=where)
        return value
    if hint == tuple[float, float]:
        pair = value.split(",") if isinstance(value, str) else value
        try:
            low, high = map(float, pair)
        except (OverflowError, TypeError, ValueError) as error:
            raise UsageError(f"{name} must be two numbers such as 0.05,0.2, got {value!r}", where=where) from error
        return low, high
    kind = hint
    if isinstance(hint, UnionType):
        if value == "none":
            return None
        kind = next(one for one in get_args(hint) if one is not type(None))
    if kind is float and type(value) is int:
        try:
            return float(value)
        except OverflowError as error:
            raise UsageError(f"{name} must be a number below 1e308", where=where) from error
    if type(value) is not kind:
        raise UsageError(f"{name} must be {_WORDS[kind]}, got {value!r}", where=where)
    return value


def preset_file(name: str, folder: str = "train") -> Path:
    """Returns the file of a configuration that is installed with this package.

    Args:
        name: Name of the file without ".toml"; with its folder, such as "papers/sbi", if that is another one.
        folder: Folder inside ``configs``: "train", "eval" or "extract".

    Raises:
        UsageError: if there is no such file.
    """
    inside, _, stem = name.rpartition("/")
    path = Path(str(files("mgst_configs") / (inside or folder) / f"{stem}.toml"))
    if not path.is_file():
        known = ", ".join(sorted(other.stem for other in path.parent.glob("*.toml")))
        raise UsageError(f"unknown configuration {name!r}; known: {known}", where=path.parent)
    return path
