"""The folder of a training: its options, its curves, and a state from which it continues bit-identically."""

from __future__ import annotations

import csv
import io
import json
import pickle
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mgst_data.core import ConfigMismatchError, UsageError
from mgst_data.core.documents import parse_json
from mgst_data.core.errors import first_line
from mgst_data.shards.lock import LOCK, FolderLock
from mgst_data.shards.storage import output_errors, write_atomic
from mgst_model.networks.checkpoint import SETTINGS
from mgst_model.networks.renamed import present_names
from mgst_model.train.experiment import Experiment

STATE = "state.pt"
STEPS, VALIDATIONS, SOURCES = "steps.csv", "validation.csv", "sources.csv"
_ELSEWHERE, _DELETE = "choose another output folder (--out)", "delete it to train again"
# Options without effect on the result. They may differ when a training continues.
_FREE = ("data.workers",)
# Exceptions of torch's unpickler for files that are damaged or of another kind.
_DAMAGE = (
    pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError, AssertionError,
    struct.error,
)  # fmt: skip


class TrainFolder:
    """Files of one training, and a lock against a second training in the same folder until :meth:`close`.

    Args:
        path: The folder. It is created if needed.
        asked: Options of the training, as plain values. A tuple equals a list of the same values.

    Raises:
        ConfigMismatchError: if the folder has a training with other options.
        UsageError: if the folder has other files.
        OutputError: if the folder cannot be written, or another training writes to it (reason "locked").
    """

    def __init__(self, path: str | Path, asked: Mapping[str, Any]) -> None:
        self.path = Path(path)
        settings = self.path / SETTINGS
        with output_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            strange = not settings.is_file() and any(file.name != LOCK for file in self.path.iterdir())
        if strange:
            raise UsageError("not a folder of a training, and not empty", where=path, hint=_ELSEWHERE)
        self._lock = FolderLock(self.path)
        try:
            if settings.is_file():
                _compare(_read_settings(settings), json.loads(json.dumps(asked)), self.path)
            else:
                write_atomic(settings, (json.dumps(asked, indent=1) + "\n").encode())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Releases the lock. It can be called again."""
        self._lock.release()

    def save(self, state: Mapping[str, Any]) -> None:
        """Writes a state atomically."""
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        write_atomic(self.path / STATE, buffer.getvalue())

    def rewind(self, step: int, validated: int) -> None:
        """Removes the rows of the tables that the training will write again.

        Args:
            step: Last step that stays.
            validated: Step of the last validation that stays. A state that was saved at the end of an epoch can be
                older than the validation of this epoch.
        """
        for name, last in ((STEPS, step), (VALIDATIONS, validated)):
            path = self.path / name
            if path.exists():
                with path.open(newline="") as file:
                    reader = csv.DictReader(file)
                    kept = [row for row in reader if int(row["step"]) <= last]
                write_table(path, kept, list(reader.fieldnames or ()))

    def log(self, name: str, row: Mapping[str, Any]) -> None:
        """Appends a row to a table, with a header if the table is new.

        Rows may differ in their columns: a step with single frames has no patch loss. A column that is new is added to
        the whole table; a value that a row does not have is empty.

        Args:
            name: File name of the table.
            row: Values by column.

        Raises:
            OutputError: if the table cannot be written.
        """
        path = self.path / name
        with output_errors(path):
            there: list[str] = []
            if path.exists():
                with path.open(newline="") as file:
                    there = list(csv.DictReader(file).fieldnames or ())
            columns = list(dict.fromkeys((*there, *row)))
            if columns != there:
                rows = []
                if there:
                    with path.open(newline="") as file:
                        rows = list(csv.DictReader(file))
                write_table(path, rows, columns)
            with path.open("a", newline="") as file:
                csv.DictWriter(file, fieldnames=columns).writerow(row)


def write_table(path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    """Writes a CSV table atomically.

    Args:
        path: File to write.
        rows: Values by column; a missing value is empty.
        columns: Names of the columns; by default those of the first row.

    Raises:
        OutputError: if the file cannot be written.
    """
    rows = list(rows)
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, fieldnames=columns or list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, table.getvalue().encode())


def load_state(folder: str | Path) -> dict[str, Any] | None:
    """Reads the last saved state of a training. Only tensors and plain values are unpickled.

    Args:
        folder: Folder of the training.

    Returns:
        The state; None if no state has been saved yet.

    Raises:
        UsageError: if the file is damaged, or is not a state.
    """
    path = Path(folder, STATE)
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        raise UsageError(f"damaged: {first_line(error)}", where=path, hint=_DELETE) from error
    if not isinstance(state, dict) or "step" not in state:
        raise UsageError("not a state of a training", where=path, hint=_DELETE)
    return state


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        settings = parse_json(path.read_bytes())
    except ValueError as error:
        raise UsageError(f"not valid JSON: {error}", where=path, hint=_ELSEWHERE) from error
    if not isinstance(settings, dict):
        raise UsageError("not a config of a training", where=path, hint=_ELSEWHERE)
    return settings


def _compare(was: Mapping[str, Any], asked: Mapping[str, Any], where: Path) -> None:
    was, asked = present_names(was), present_names(asked)
    # An option that is newer than the training had its default then.
    for name, defaults in json.loads(json.dumps(Experiment().as_dict())).items():
        if isinstance(was.get(name), Mapping) and isinstance(asked.get(name), Mapping):
            was[name] = {option: value for option, value in defaults.items() if option in asked[name]} | was[name]
    changes = [f"{name}: {old} -> {new}" for name, old, new in _differences(was, asked) if name not in _FREE]
    if changes:
        hint = "use the earlier options to continue the training, or choose another output folder (--out)"
        raise ConfigMismatchError(f"trained with another config: {'; '.join(changes)}", where=where, hint=hint)


def _differences(was: Any, asked: Any, prefix: str = "") -> Iterable[tuple[str, Any, Any]]:
    if isinstance(was, Mapping) and isinstance(asked, Mapping):
        for key in sorted({*was, *asked}):
            yield from _differences(was.get(key, "unset"), asked.get(key, "unset"), f"{prefix}.{key}".lstrip("."))
    elif was != asked:
        yield prefix, was, asked
