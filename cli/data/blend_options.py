"""Options of a self-blend by their dotted names: ``mask.ratios=[1.0]``, ``drift=0``, ``gate.single=1``."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args, get_origin, get_type_hints

from mgst_data.augment import GATE_MODES, PRESETS, REGIONS, BlendMask, Recolour, SelfBlend, SourceWarp
from mgst_data.core import UsageError
from mgst_data.core.errors import check_name

from ..common.config import parse_value

_PARTS = {"mask": BlendMask, "warp": SourceWarp, "recolour": Recolour}
_WORDS = {float: "a number", int: "a whole number"}
Options = dict[str, Any]


class Weights(dict[str, Any]):
    """The schema of a table of chances: what is named makes the whole table, everything else has none."""


def blend_options(preset: str, overrides: Iterable[str]) -> Options:
    """Keyword arguments of :class:`mgst_data.augment.SelfBlend`: those of a preset, with some changed.

    Args:
        preset: Its name.
        overrides: ``"name=value"``, the name dotted where it is in a table, the value as in TOML. Of the chances that
            share a table (``gate``, ``mask.regions``), those that are named replace those of the preset.

    Raises:
        UsageError: for a name that there is not, with the one that may be meant, or a value that does not fit.
    """
    check_name(preset, PRESETS, "preset", "--preset")
    options = copy.deepcopy(PRESETS[preset])
    known = _schema()
    named: set[str] = set()
    for text in overrides:
        name, equals, value = text.partition("=")
        where = f"--set {text}"
        if not equals:
            raise UsageError("is not name=value", where=where, hint="such as --set mask.ratios=[1.0]")
        given: Any = parse_value(value)
        for part in reversed(name.strip().split(".")):
            given = {part: given}
        _merge(options, given, known, "", named, where)
    return options


def build_blend(options: Mapping[str, Any]) -> SelfBlend:
    """The blend; raises UsageError where a value makes no sense."""
    for name, weights in (("gate", options.get("gate")), ("mask.regions", options.get("mask", {}).get("regions"))):
        if weights is not None and (not weights or min(weights.values()) < 0 or not any(weights.values())):
            raise UsageError(f"{name}: chances are at least 0, and one of them more", where="--set")
    try:
        return SelfBlend(**options)
    except ValueError as error:
        raise UsageError(str(error), where="--set") from error


def _schema() -> Options:
    """What each option is: a type, or the options of a table; without donors, as one segment is blended at a time."""
    tables: Options = {name: _hints(kind) for name, kind in _PARTS.items()}
    tables["mask"]["regions"] = Weights.fromkeys(REGIONS, float)
    hints = {name: hint for name, hint in _hints(SelfBlend).items() if name != "donor"}
    return {**hints, **tables, "gate": Weights.fromkeys(GATE_MODES, float)}


def _hints(kind: Any) -> Options:
    return {name: hint for name, hint in get_type_hints(kind.__init__).items() if name != "return"}


def _merge(options: Options, given: Mapping[str, Any], known: Options, table: str, named: set[str], where: str) -> None:
    """Puts values in their places; ``named`` are the tables of chances that hold no more of the preset's."""
    for key, value in given.items():
        check_name(key, known, f"option {table}" if table else "option", where)
        name, hint = table + key, known[key]
        if not isinstance(hint, dict):
            options[key] = _convert(value, hint, name, where)
            continue
        if not isinstance(value, Mapping):
            first = next(iter(hint))
            raise UsageError(
                f"{name} is {value!r}, not a table", where=where, hint=f"set one of it: {name}.{first}=..."
            )
        if isinstance(hint, Weights) and name not in named:
            named.add(name)
            options[key] = {}
        _merge(options.setdefault(key, {}), value, hint, f"{name}.", named, where)


def _convert(value: Any, hint: Any, name: str, where: str) -> Any:
    if get_origin(hint) in (tuple, Sequence):
        kinds = [kind for kind in get_args(hint) if kind is not ...]
        exact = get_origin(hint) is tuple and ... not in get_args(hint)
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
