"""The rows of the table: named trainings, read from a TOML file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mgst_cli.common.tables import preset_file, read_toml
from mgst_cli.train.build import build_experiment

from mgst_data.core import UsageError
from mgst_data.core.errors import check_name
from mgst_model.train import Experiment

from .names import CLIPS, STILLS

ROWS = Path(__file__).with_name("rows.toml")
FEEDS = ("ours", "published")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A named training. The file ``rows.toml`` describes the values.

    Attributes:
        name: Name in tables and of folders.
        note: One sentence about it.
        base: Name of the row that it changes, or "".
        preset: Name of a file of ``configs/train``.
        sources: Weight of each folder of shards.
        options: Changed options, as for ``mgst-train --set``.
        pairs: Real-fake pairs of the whole training; None for what the preset gives.
        people: Number of people; None for all.
        curve: Whether the row is a point of the learning curve.
        compare: Name of the row that its AUC is compared with; without it, the base.
        begin: Rows whose weights the training starts from.
        feed: "ours", or "published" for :class:`generalise.published.PublishedTask`.
    """

    name: str
    note: str = ""
    base: str = ""
    preset: str = ""
    sources: Mapping[str, float] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    pairs: int | None = None
    people: int | None = None
    curve: bool = False
    compare: str = ""
    begin: tuple[str, ...] = ()
    feed: str = "ours"

    def experiment(self, seed: int, *, videos: int, init_from: tuple[str, ...] = ()) -> Experiment:
        """Returns the options of the training.

        Args:
            seed: Seed of the training.
            videos: Number of training videos, to reach the number of pairs.
            init_from: Weights of the rows in ``begin``.

        Raises:
            UsageError: if an option is unknown or out of range.
        """
        settings = [f"{name}={_toml(value)}" for name, value in self.options.items()]
        epochs = build_experiment(preset_file(self.preset), {}, settings).train.epochs
        if self.pairs is not None:
            # An epoch shows every video at least once, so few pairs need fewer epochs.
            draws = max(1, self.pairs // (epochs * videos))
            epochs = max(1, round(self.pairs / (draws * videos)))
            settings += [f"train.epochs={epochs}", f"data.draws_per_video={draws}"]
        # The fakes of a validation are blends, which are too easy to choose weights by: one look at the end.
        settings += [f"train.seed={seed}", f"train.validate_every={epochs}", "data.val_draws_per_video=1"]
        if init_from:
            settings.append(f"train.init_from={','.join(init_from)}")
        return build_experiment(preset_file(self.preset), {}, settings)


def read_rows(path: Path = ROWS) -> dict[str, Row]:
    """Reads the rows of a file, with the values of their bases.

    Raises:
        UsageError: if a row is malformed, or names an unknown row or source.
    """
    made: dict[str, Row] = {}
    for name, given in read_toml(path).items():
        where = f"{path}, [{name}]"
        if not isinstance(given, Mapping) or not _NAME.fullmatch(name):
            raise UsageError("not a row", where=where, hint="a row is a table; its name has a-z, 0-9 and -")
        for key in given:
            check_name(key, [each.name for each in fields(Row) if each.name != "name"], "value of a row", where)
        for other in (*(given[key] for key in ("base", "compare") if key in given), *given.get("begin", ())):
            check_name(other, made, "earlier row", where)
        base = made.get(given.get("base", ""))
        kept = () if base is None else ("preset", "sources", "pairs", "people", "begin")
        values = {key: getattr(base, key) for key in kept} | dict(given)
        values["options"] = {**(base.options if base else {}), **given.get("options", {})}
        values["compare"] = given.get("compare", given.get("base", ""))
        row = Row(name=name, **{**values, "begin": tuple(values.get("begin", ()))})
        check_name(row.feed, FEEDS, "feed", where)
        for source in row.sources:
            check_name(source, (CLIPS, STILLS), "source", where)
        if not (row.preset and row.sources):
            raise UsageError("has no preset or no sources", where=where, hint="give both, or a base that has them")
        made[name] = row
    return made


def chosen_rows(rows: Mapping[str, Row], names: list[str] | None, where: object) -> list[Row]:
    """Returns rows by name, in the order of the file; None for all.

    Args:
        rows: All rows.
        names: Names of the wanted rows.
        where: File of the rows, for the error.

    Raises:
        UsageError: if a name is unknown.
    """
    for name in names or ():
        check_name(name, rows, "row", where)
    return [row for name, row in rows.items() if names is None or name in names]


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
