"""Options of a self-blend by their dotted names: ``mask.ratios=[1.0]``, ``drift=0``, ``gate.single=1``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args, get_origin, get_type_hints

from mgst_data.augment import PRESETS, SelfBlend
from mgst_data.core import UsageError
from mgst_data.core.errors import check_name

from ..common.tables import parse_value

_WORDS = {float: "a number", int: "a whole number"}
Options = dict[str, Any]


def blend_options(preset: str, overrides: Iterable[str]) -> SelfBlend:
    """The blend of a preset, with some of its options changed.

    Args:
        preset: Its name.
        overrides: ``"name=value"``, the name dotted where it is in a table, the value as in TOML. Of the chances that
            share a table (``gate``, ``mask.regions``), those that are named replace those of the preset.

    Raises:
        UsageError: for a name that there is not, with the one that may be meant, or a value that does not fit.
    """
    check_name(preset, PRESETS, "preset", "--preset")
    changes: Options = {}
    for text in overrides:
        name, equals, value = text.partition("=")
        where = f"--set {text}"
        if not equals:
            raise UsageError("is not name=value", where=where, hint="such as --set mask.ratios=[1.0]")
        given: Any = parse_value(value)
        for part in reversed(name.strip().split(".")):
            given = {part: given}
        _merge(changes, given, SelfBlend, "", where)
    try:
        blend: SelfBlend = _changed(PRESETS[preset], changes)
    except ValueError as error:
        raise UsageError(str(error), where="--set") from error
    return blend


def _merge(changes: Options, given: Mapping[str, Any], kind: Any, table: str, where: str) -> None:
    """Adds values to those that were given before, each converted to the type that a dataclass has for it."""
    hints = get_type_hints(kind)
    # One segment is blended at a time: nobody is there to be its donor.
    known = [option.name for option in fields(kind) if option.name != "donor"]
    for key, value in given.items():
        check_name(key, known, f"option {table}" if table else "option", where)
        name, hint = table + key, hints[key]
        chances = get_origin(hint) is Mapping
        if (chances or is_dataclass(hint)) and not isinstance(value, Mapping):
            raise UsageError(f"{name} is {value!r}, not a table", where=where, hint=f"set {name}.NAME=... of it")
        if chances:
            converted = {item: _convert(chance, float, f"{name}.{item}", where) for item, chance in value.items()}
            changes[key] = changes.get(key, {}) | converted
        elif is_dataclass(hint):
            _merge(changes.setdefault(key, {}), value, hint, f"{name}.", where)
        else:
            changes[key] = _convert(value, hint, name, where)


def _changed(options: Any, changes: Options) -> Any:
    parts = {name: getattr(options, name) for name in changes}
    return replace(options, **{n: _changed(p, changes[n]) if is_dataclass(p) else changes[n] for n, p in parts.items()})


def _convert(value: Any, hint: Any, name: str, where: str) -> Any:
    if get_origin(hint) is tuple:
        kinds = [kind for kind in get_args(hint) if kind is not ...]
        exact = ... not in get_args(hint)
        if not isinstance(value, list) or (exact and len(value) != len(kinds)):
            count = f"{len(kinds)} " if exact else ""
            raise UsageError(f"{name} is {value!r}, not a list of {count}numbers", where=where)
        wanted = kinds if exact else kinds * len(value)
        return tuple(_convert(item, kind, name, where) for item, kind in zip(value, wanted, strict=True))
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint or not math.isfinite(value):
        raise UsageError(f"{name} is {value!r}, not {_WORDS[hint]}", where=where)
    return value
