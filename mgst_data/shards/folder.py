"""A folder of shards: what was asked for, what is planned, what is complete."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mgst_data.core import ConfigMismatchError, ShardError, UsageError, VideoRecord
from mgst_data.shards.lock import LOCK, FolderLock
from mgst_data.shards.plan import VIDEOS_PER_SHARD, ShardTask, plan_shards
from mgst_data.shards.report import ShardReport, Totals, latest, summarise
from mgst_data.shards.schema import SCHEMA
from mgst_data.shards.storage import PART, is_url, join, output_errors, read_bytes, write_atomic

STATE = "dataset.json"
RETRY_ALL = "all"


@dataclass(frozen=True, slots=True)
class ShardFolder:
    """The state of a folder of shards, as its ``dataset.json`` has it.

    Attributes:
        location: Path or URL.
        config: The merged configuration that the shards are made with.
        plan: Keys of the videos of every shard, in the order the shards were planned.
    """

    location: str
    config: Mapping[str, Any]
    plan: Mapping[str, tuple[str, ...]]

    @staticmethod
    def read(location: str | Path) -> ShardFolder:
        """Reads the state of a folder given by path or fsspec URL.

        Raises:
            UsageError: if there is none.
            ShardError: if it is malformed.
        """
        path = join(str(location), STATE)
        try:
            raw = json.loads(read_bytes(path))
            if raw["schema"] != SCHEMA:
                raise ShardError(f"schema {raw['schema']}, but this version reads {SCHEMA}", where=path)
            plan = {shard["name"]: tuple(shard["videos"]) for shard in raw["shards"]}
            return ShardFolder(str(location), raw["config"], plan)
        except FileNotFoundError as error:
            hint = f"a folder of shards holds a {STATE}"
            raise UsageError("no shards here", where=location, hint=hint) from error
        except (KeyError, TypeError, ValueError) as error:
            raise ShardError(f"malformed: {error!r}", where=path) from error

    def reports(self) -> Iterator[ShardReport]:
        """Reports of the complete shards, in the order of the plan; raises ShardError for a malformed one."""
        for name in self.plan:
            path = join(self.location, f"{name}.json")
            try:
                report = ShardReport.from_json(read_bytes(path), where=path)
            except FileNotFoundError:
                continue
            if is_url(self.location) or all(self._is_whole(file.name, file.bytes) for file in report.files):
                yield report

    def missing(self, records: Sequence[VideoRecord]) -> list[ShardTask]:
        """The planned shards that are not complete.

        Raises:
            UsageError: if the source no longer has one of their videos.
        """
        by_key = {record.key: record for record in records}
        complete = {report.name for report in self.reports()}
        todo = {name: keys for name, keys in self.plan.items() if name not in complete}
        return [ShardTask(name, tuple(self._find(keys, by_key))) for name, keys in todo.items()]

    def finish(self) -> Totals:
        """Adds up what is complete; once everything is, writes the totals into the folder's state."""
        reports = list(self.reports())
        totals = summarise(reports)
        if len(reports) == len(self.plan):
            self._write(totals=totals.as_dict())
        return totals

    def _find(self, keys: Iterable[str], records: Mapping[str, VideoRecord]) -> list[VideoRecord]:
        gone = [key for key in keys if key not in records]
        if gone:
            what = f"planned videos are no longer in the source: {', '.join(gone[:5])}{', ...' if gone[5:] else ''}"
            raise UsageError(what, where=self.location, hint="bring them back or extract to a new folder")
        return [records[key] for key in keys]

    def _is_whole(self, name: str, size: int) -> bool:
        path = Path(self.location, name)
        return path.is_file() and path.stat().st_size == size

    def _write(self, **more: Any) -> None:
        shards = [{"name": name, "videos": keys} for name, keys in self.plan.items()]
        state = {"schema": SCHEMA, "config": self.config, "shards": shards, **more}
        write_atomic(Path(self.location, STATE), (json.dumps(state, indent=1) + "\n").encode())


@contextmanager
def open_folder(
    out: str | Path,
    config: Mapping[str, Any],
    records: Sequence[VideoRecord],
    *,
    videos_per_shard: int = VIDEOS_PER_SHARD,
    retry: str = "",
) -> Iterator[ShardFolder]:
    """Opens a folder to write shards into, a new one or one to go on with, and holds its lock meanwhile.

    Videos that the plan does not know yet are appended as new shards; existing shards are never dealt anew.

    Args:
        out: The folder; made if it does not exist.
        config: What determines the content of the shards, as JSON values.
        records: The videos of the source, with distinct keys.
        videos_per_shard: Of new shards.
        retry: Reason code of skipped videos to plan again (as new shards), or "all".

    Raises:
        ConfigMismatchError: if the folder was written with another configuration.
        UsageError: if it is a folder of something else, in use, or no video was skipped for the reason given.
        OutputError: if it cannot be written.
    """
    if is_url(str(out)):
        raise UsageError("shards are written to local folders only", where=out, hint="copy them there afterwards")
    out = Path(out)
    with FolderLock(out):
        yield _opened(out, json.loads(json.dumps(config)), records, videos_per_shard, retry)


def _opened(
    out: Path, config: dict[str, Any], records: Sequence[VideoRecord], videos_per_shard: int, retry: str
) -> ShardFolder:
    state = out / STATE
    if state.exists():
        folder = ShardFolder.read(out)
        _compare(folder, config)
        _remove_parts(folder)
    else:
        if any(path.name not in (LOCK, STATE + PART) for path in out.iterdir()):
            raise UsageError("not empty, and no folder of shards", where=out, hint="choose another output folder")
        folder = ShardFolder(str(out), config, {})
    planned = {key for keys in folder.plan.values() for key in keys}
    chosen = [record for record in records if record.key not in planned]
    if retry:
        chosen += folder._find(_to_retry(folder, retry), {record.key: record for record in records})
    tasks = plan_shards(chosen, videos_per_shard=videos_per_shard, taken=folder.plan)
    if tasks or not state.exists():
        plan = {**folder.plan, **{task.name: tuple(record.key for record in task.records) for task in tasks}}
        folder = replace(folder, plan=plan)
        folder._write()
    return folder


def _to_retry(folder: ShardFolder, reason: str) -> list[str]:
    reports = list(folder.reports())
    known = {why for report in reports for why in report.skips}
    if reason not in (RETRY_ALL, *known):
        hint = f"reasons here: {', '.join(sorted(known)) or 'none'}"
        raise UsageError(f"no video was skipped for {reason!r}", where=folder.location, hint=hint)
    complete = {report.name for report in reports}
    pending = {key for name, keys in folder.plan.items() if name not in complete for key in keys}
    skipped = {key: video.reason for key, video in latest(reports).items() if video.skipped}
    return [key for key, why in skipped.items() if reason in (RETRY_ALL, why) and key not in pending]


def _compare(folder: ShardFolder, config: Mapping[str, Any]) -> None:
    was, asked = _flat(folder.config), _flat(config)
    changes = [
        f"{key}: {was.get(key, 'unset')} -> {asked.get(key, 'unset')}"
        for key in sorted({*was, *asked})
        if was.get(key, "unset") != asked.get(key, "unset")
    ]
    if changes:
        hint = "ask for the same again, or choose another output folder"
        raise ConfigMismatchError(
            f"written with another config: {'; '.join(changes)}", where=folder.location, hint=hint
        )


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in config.items():
        nested = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": json.dumps(value)}
    return flat


def _remove_parts(folder: ShardFolder) -> None:
    names = [STATE, *(f"{name}.{kind}" for name in folder.plan for kind in ("tar", "json"))]
    for name in names:
        path = Path(folder.location, name + PART)
        with output_errors(path):
            path.unlink(missing_ok=True)
