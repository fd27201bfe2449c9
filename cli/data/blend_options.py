"""Changes options of a self-blending preset by dotted name: ``mask.ratios=[1.0]``, ``frame_mask.single=1``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args, get_origin, get_type_hints

from mgst_data.augment import PRESETS, SelfBlend
from mgst_data.core import UsageError
from mgst_data.core.errors import check_name

from ..common.tables import parse_value

_WORDS = {float: "a number", int: "an integer"}
Options = dict[str, Any]


def blend_options(preset: str, overrides: Iterable[str]) -> SelfBlend:
    """Returns the blend of a preset with some options changed.

    Args:
        preset: Name of the preset.
        overrides: Texts ``"name=value"``. The name of an option in a table is dotted; the value is TOML. In a table of
            probabilities (``frame_mask``, ``mask.regions``), the named ones replace all probabilities of the preset.

    Raises:
        UsageError: if a name is unknown (with a similar known name), or a value has the wrong type or range.
    """
    check_name(preset, PRESETS, "preset", "--preset")
    changes: Options = {}
    for text in overrides:
        name, equals, value = text.partition("=")
        where = f"--set {text}"
        if not equals:
            raise UsageError("not of the form NAME=VALUE", where=where, hint="example: --set mask.ratios=[1.0]")
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
    """Adds values to the changes, each converted to the type of its field in the dataclass ``kind``.

    Raises:
        UsageError: if a name is unknown, or a value has the wrong type.
    """
    hints = get_type_hints(kind)
    # The preview blends one segment at a time, so there is no other face of a batch as donor.
    known = [option.name for option in fields(kind) if option.name != "donor"]
    for key, value in given.items():
        check_name(key, known, f"option {table}" if table else "option", where)
        name, hint = table + key, hints[key]
        chances = get_origin(hint) is Mapping
        if (chances or is_dataclass(hint)) and not isinstance(value, Mapping):
            raise UsageError(
                f"{name} must be a table, got {value!r}", where=where, hint=f"write --set {name}.NAME=VALUE"
            )
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
            raise UsageError(f"{name} must be a list of {count}numbers, got {value!r}", where=where)
        wanted = kinds if exact else kinds * len(value)
        return tuple(_convert(item, kind, name, where) for item, kind in zip(value, wanted, strict=True))
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint or not math.isfinite(value):
        raise UsageError(f"{name} must be {_WORDS[hint]}, got {value!r}", where=where)
    return value
