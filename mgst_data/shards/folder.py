"""A folder of shards: its configuration, its plan, and which shards are complete."""

from __future__ import annotations

import json
import os
import shutil
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from stat import S_ISREG
from typing import Any

from mgst_data.core import ConfigMismatchError, OutputError, RecordTable, ShardError, UsageError, VideoRecord
from mgst_data.core.documents import parse_json
from mgst_data.core.record_table import repeated_texts
from mgst_data.shards.lock import LOCK, is_held
from mgst_data.shards.plan import VIDEOS_PER_SHARD, Part, Plan, ShardTask, ShardTasks, deal
from mgst_data.shards.progress import PROGRESS, part_of, progress_of, read_progress
from mgst_data.shards.remote_lock import RemoteLock, is_valid, lock_folder, read_lock, remove_if_empty
from mgst_data.shards.report import ShardReport, Survey, Totals, VideoReport, check_file_name, survey
from mgst_data.shards.schema import SCHEMA
from mgst_data.shards.storage import COPIES, PART, output_errors
from mgst_data.shards.store import ShardStore

STATE = "dataset.json"
RETRY_ALL = "all"
# Options that were added later. The value is the one that folders without the option were extracted with.
_CAME_LATER: Mapping[str, Any] = {"extract": {"damaged": "keep"}}
# Seconds that a part waits for another part that reads or writes the files of the whole folder.
_PATIENCE = 60.0
# Suffixes of the files that a stopped writer can leave behind.
_HALF_DONE = (f"tar{PART}", f"json{PART}", PROGRESS, f"{PROGRESS}{PART}")


@dataclass(frozen=True, slots=True)
class ShardFolder:
    """The state of a folder of shards, as stored in its ``dataset.json``.

    Attributes:
        location: Path or URL of the folder.
        config: Merged configuration that the shards are made with.
        plan: Keys of the videos by name of the shard, in the order in which the shards were planned.
        part: The part of the plan that is written; None for all of it.
        locks: Locks behind a URL that a run holds, which it may lose.
    """

    location: str
    config: Mapping[str, Any]
    plan: Plan
    part: Part | None = None
    locks: tuple[RemoteLock, ...] = field(default=(), compare=False, repr=False)

    @property
    def store(self) -> ShardStore:
        """Where its files are."""
        return ShardStore.at(self.location)

    @property
    def mine(self) -> tuple[str, ...]:
        """Names of the planned shards of the part; of all shards without a part."""
        return tuple(self.plan) if self.part is None else self.part.shards(self.plan)

    @staticmethod
    def read(location: str | Path) -> ShardFolder:
        """Reads the state of a folder.

        Args:
            location: Path or fsspec URL of the folder.

        Raises:
            UsageError: if the folder has no ``dataset.json``.
            ShardError: if ``dataset.json`` is malformed or has another schema version.
        """
        store = ShardStore.at(location)
        path = store.url(STATE)
        try:
            raw = parse_json(store.read(STATE), object_hook=_packed)
            if raw["schema"] != SCHEMA:
                hint = "use the version of mgst that wrote it, or extract to a new folder"
                raise ShardError(f"has schema {raw['schema']}, but this version reads {SCHEMA}", where=path, hint=hint)
            plan = Plan.packed(
                shard if isinstance(shard, tuple) else (shard["name"], shard["videos"]) for shard in raw["shards"]
            )
            for name in plan:
                check_file_name(name)
            return ShardFolder(str(location), dict(raw["config"]), plan)
        except FileNotFoundError as error:
            hint = f"give a folder that mgst-data extract has written; it contains {STATE}"
            raise UsageError("no shards here", where=location, hint=hint) from error
        except (KeyError, TypeError, ValueError) as error:
            hint = "copy it again, or extract to a new folder"
            raise ShardError(f"malformed: {error!r}", where=path, hint=hint) from error

    def reports(self) -> Iterator[ShardReport]:
        """Yields the reports of the complete shards, in the order of the plan; ShardError for a malformed report."""
        return self._complete(self.plan)

    def kept(self) -> Iterator[VideoReport]:
        """Yields the reports of the finished videos of incomplete shards (of the part), left by an interrupted run.

        For a folder behind a URL, these are the videos of runs on this machine.
        """
        return (video for lines in self._open_shards().values() for line in lines for video in line.videos)

    def survey(self) -> Survey:
        """Sums up the complete shards, in one pass over their reports; ShardError for a malformed report."""
        return survey(self.reports(), frozenset(repeated_texts(self.plan.videos)))

    def missing(
        self, records: Sequence[VideoRecord], *, complete: Collection[str] | None = None
    ) -> Sequence[ShardTask]:
        """Returns the planned shards (of the part) that are not complete.

        Args:
            records: Records of the data set. They include all videos of the incomplete shards.
            complete: Names of the complete shards, if they are known.

        Raises:
            UsageError: if a video of an incomplete shard is not among the records.
        """
        known = frozenset((report.name for report in self.reports()) if complete is None else complete)
        todo = [name for name in self.mine if name not in known]
        table = RecordTable.of(records)
        positions = self._find(table, lambda: (key for name in todo for key in self.plan[name]))
        return ShardTasks(todo, [len(self.plan[name]) for name in todo], table.take(positions))

    def unplanned(self, records: Sequence[VideoRecord]) -> RecordTable:
        """Returns the records of the videos that are in no planned shard, in order."""
        table = RecordTable.of(records)
        planned = bytearray(len(table))
        for position in table.find(self.plan.videos()) if len(self.plan) else ():
            if position >= 0:
                planned[position] = True
        return table.take(position for position, there in enumerate(planned) if not there) if any(planned) else table

    def finish(self) -> Totals:
        """Sums up the complete shards. If all shards are complete, writes the totals to ``dataset.json``."""
        with self.files_of_all():
            return self.sum_up().totals

    def sum_up(self) -> Survey:
        """Does what ``finish`` does, within a block of ``files_of_all``, and returns more about the complete shards."""
        found = self.survey()
        if len(found.complete) == len(self.plan):
            self._write(totals=found.totals.as_dict())
        return found

    @contextmanager
    def files_of_all(self) -> Iterator[None]:
        """Keeps other parts from reading and writing the files of the whole folder until the block ends."""
        with ExitStack() as stack:
            if self.part is not None:
                lock_folder(self.store, stack, wait=_PATIENCE)
            yield

    def _open_shards(self) -> dict[str, list[ShardReport]]:
        """Returns, for every incomplete shard with finished videos, one report per finished video."""
        out, mine, found = self.store.workspace, set(self.mine), dict[str, list[ShardReport]]()
        for path in sorted(out.glob(f"*.{PROGRESS}")):
            lines = read_progress(out, path.stem, self.plan.get(path.stem, ()) if path.stem in mine else ())
            if lines:
                found[path.stem] = lines
        for report in self._complete(found):
            del found[report.name]
        return found

    def _complete(self, names: Iterable[str]) -> Iterator[ShardReport]:
        """Yields the reports of those of the named shards that are complete."""
        store, root = self.store, str(self.store.workspace)
        for name, data in store.read_all([f"{name}.json" for name in names]):
            report = ShardReport.from_json(data, where=store.url(name))
            # Behind a URL, a report is written after its shard has arrived completely.
            if store.remote or all(_is_whole(f"{root}/{file.name}", file.bytes) for file in report.files):
                yield report

    def _find(self, table: RecordTable, keys: Callable[[], Iterable[str]]) -> array[int]:
        """Returns the positions of records by their keys.

        Raises:
            UsageError: if a record is not there.
        """
        positions = table.find(keys())
        if -1 in positions:
            gone = [key for key, position in zip(keys(), positions, strict=True) if position < 0]
            what = f"planned videos are not among those given: {', '.join(gone[:5])}{', ...' if gone[5:] else ''}"
            hint = "give the same data set and choose the same videos, or choose another output folder"
            raise UsageError(what, where=self.location, hint=hint)
        return positions

    def _write(self, **more: Any) -> None:
        for lock in self.locks:
            lock.check()
        self.store.write(STATE, _state(self.config, self.plan, more))


def _is_whole(path: str, size: int) -> bool:
    try:
        status = os.stat(path)  # noqa: PTH116 - once for every shard: a Path costs more
    except OSError:
        return False
    return S_ISREG(status.st_mode) and status.st_size == size


def _packed(value: dict[str, Any]) -> Any:
    """Packs the videos of a shard while JSON is parsed, so that millions of keys are never in memory as objects."""
    return (value["name"], Plan.text(value["videos"])) if value.keys() >= {"name", "videos"} else value


def _state(config: Mapping[str, Any], plan: Plan, more: Mapping[str, Any]) -> bytearray:
    """Returns the content of ``dataset.json``: JSON with an indentation of 1. Its shards are written one by one."""
    state = bytearray(json.dumps({"schema": SCHEMA, "config": config}, indent=1)[:-2].encode())
    state += b',\n "shards": ['
    for number, (name, videos) in enumerate(plan.items()):
        listed = json.dumps(videos, separators=(",\n    ", ": "))[1:-1]
        state += f'{"," if number else ""}\n  {{\n   "name": {json.dumps(name)},\n   "videos": '.encode()
        state += (f"[\n    {listed}\n   ]" if videos else "[]").encode() + b"\n  }"
    state += b"\n ]" if len(plan) else b"]"
    state += ("," + json.dumps(more, indent=1)[1:] if more else "\n}").encode() + b"\n"
    return state


@contextmanager
def open_folder(
    out: str | Path,
    config: Mapping[str, Any],
    records: Sequence[VideoRecord],
    *,
    videos_per_shard: int = VIDEOS_PER_SHARD,
    retry: str = "",
    part: Part | None = None,
) -> Iterator[ShardFolder]:
    """Opens a new or an existing folder to write shards into, and holds its lock until the block ends.

    Videos that are not in the plan are appended as new shards. The plan of existing shards does not change. When the
    block ends, partial files are deleted, except the finished videos of incomplete shards.

    Runs with different parts of the same number of parts may write into one folder at the same time. All of them need
    the same records.

    Args:
        out: Output folder. It is created if it does not exist.
        config: Options that determine the content of the shards, as JSON values.
        records: Videos of the source, with distinct keys.
        videos_per_shard: Number of videos of each new shard.
        retry: Reason code of skipped videos to plan again (as new shards), or "all".
        part: Part of the plan to write; None for all of it.

    Yields:
        The folder with the plan for all records.

    Raises:
        ConfigMismatchError: if the folder was written with another configuration.
        UsageError: if ``out`` is not empty and not a folder of shards, or if no video was skipped for the reason
            ``retry``. For a part: if ``retry`` is given, or the plan has other videos than the records.
        OutputError: if another run writes into the folder, or if it cannot be written.
        ShardError: if ``out`` is a URL that cannot be read.
    """
    if part is not None and retry:
        raise UsageError(
            "a part cannot plan videos again", where=out, hint="retry skipped videos in a run without part"
        )
    store = ShardStore.at(out)
    with ExitStack() as stack:
        if store.remote:
            stack.callback(remove_if_empty, store.workspace)
        folder = ShardFolder(store.location, json.loads(json.dumps(config)), Plan(), part)
        locks = lock_folder(store, stack) if part is None else ()
        with folder.files_of_all():
            _check_parts(store, part)
            if part is not None:
                locks = lock_folder(store, stack, name=f".part-{part.number}-of-{part.of}{LOCK}")
            folder = _opened(replace(folder, locks=locks), records, videos_per_shard, retry)
        try:
            yield folder
        finally:
            _remove_stale(folder)


def _check_parts(store: ShardStore, part: Part | None) -> None:
    """Checks that no run writes shards that this run may write too: parts of another number of parts.

    Raises:
        OutputError: if one does.
    """
    for name in store.names():
        if not (name.startswith(".part-") and name.endswith(LOCK)):
            continue
        number, _, of = name.removeprefix(".part-").removesuffix(LOCK).partition("-of-")
        if (part is None or of != str(part.of)) and _is_held(store, name):
            what = f"in use by another run, which makes part {number}/{of}"
            raise OutputError(what, where=store.location, hint="wait for its end, or stop it", reason="locked")


def _is_held(store: ShardStore, name: str) -> bool:
    if store.remote:
        return is_valid(read_lock(store, name) or {})
    return is_held(store.workspace / name)


def _opened(asked: ShardFolder, records: Sequence[VideoRecord], videos_per_shard: int, retry: str) -> ShardFolder:
    store, folder = asked.store, asked
    there = store.names()
    if STATE in there:
        folder = replace(ShardFolder.read(store.location), part=asked.part, locks=asked.locks)
        _compare(folder, asked.config)
    elif any(name != STATE + PART and not name.endswith(LOCK) for name in there):
        raise UsageError(
            "not empty, and not a folder of shards", where=store.location, hint="choose another output folder"
        )
    table = RecordTable.of(records)
    chosen = folder.unplanned(table)
    if retry:
        again = _to_retry(folder, retry)
        chosen = RecordTable((*chosen, *table.take(folder._find(table, lambda: again))))
    if chosen and STATE in there and asked.part is not None:
        what = f"{len(chosen):,} videos are not in the plan that the first part made, for example {chosen[0].key}"
        hint = "give every part the same data set, or add videos in a run without part"
        raise UsageError(what, where=store.location, hint=hint)
    if chosen or STATE not in there:
        dealt = deal(chosen, videos_per_shard=videos_per_shard, taken=folder.plan)
        plan = folder.plan.and_also((name, chosen.take(positions).keys()) for name, positions in dealt)
        folder = replace(folder, plan=plan)
        folder._write()
    return folder


def _to_retry(folder: ShardFolder, reason: str) -> list[str]:
    known, complete, skipped = set[str](), set[str](), dict[str, str]()
    for report in folder.reports():
        complete.add(report.name)
        known.update(report.skips)
        for video in report.videos:
            skipped.pop(video.key, "")
            if video.skipped:
                skipped[video.key] = video.reason
    if reason not in (RETRY_ALL, *known):
        listed = ", ".join(sorted(known))
        hint = f"reasons here: {listed}" if known else "no video was skipped here; omit --retry-skipped"
        raise UsageError(f"no video was skipped for the reason {reason!r}", where=folder.location, hint=hint)
    pending = {key for name, keys in folder.plan.items() if name not in complete for key in keys if key in skipped}
    return [key for key, why in skipped.items() if reason in (RETRY_ALL, why) and key not in pending]


def _compare(folder: ShardFolder, config: Mapping[str, Any]) -> None:
    asked = _flat(config)
    was = {key: value for key, value in _flat(_CAME_LATER).items() if key in asked} | _flat(folder.config)
    changes = [
        f"{key}: {was.get(key, 'unset')} -> {asked.get(key, 'unset')}"
        for key in sorted({*was, *asked})
        if was.get(key, "unset") != asked.get(key, "unset")
    ]
    if changes:
        hint = "use the same options, or choose another output folder"
        raise ConfigMismatchError(
            f"written with another config: {'; '.join(changes)}", where=folder.location, hint=hint
        )


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in config.items():
        nested = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": json.dumps(value)}
    return flat


def _remove_stale(folder: ShardFolder) -> None:
    """Deletes the partial files of interrupted runs and of workers that were stopped or killed."""
    out = folder.store.workspace
    kept = {path for name in folder._open_shards() for path in (part_of(out, name), progress_of(out, name))}
    mine = set(folder.mine)
    for path in out.iterdir():
        name, _, kind = path.name.partition(".")
        unfinished_plan = folder.part is None and path.name == STATE + PART
        half_done = unfinished_plan or (name in mine and kind in _HALF_DONE)
        if name in mine and kind == COPIES:
            shutil.rmtree(path, ignore_errors=True)
        elif half_done and path not in kept:
            with output_errors(path):
                path.unlink(missing_ok=True)
