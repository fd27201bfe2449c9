"""A folder of shards: what was asked for, what is planned, what is complete."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mgst_data.core import ConfigMismatchError, ShardError, UsageError, VideoRecord
from mgst_data.core.locations import is_url, join
from mgst_data.shards.lock import LOCK, FolderLock
from mgst_data.shards.plan import VIDEOS_PER_SHARD, ShardTask, plan_shards
from mgst_data.shards.progress import PROGRESS, part_of, progress_of, read_progress
from mgst_data.shards.report import ShardReport, Totals, VideoReport, latest, summarise
from mgst_data.shards.schema import SCHEMA
from mgst_data.shards.storage import PART, output_errors, read_bytes, write_atomic

STATE = "dataset.json"
RETRY_ALL = "all"
# Options of the configuration that came later, each with the value that folders without it were made with.
_CAME_LATER: Mapping[str, Any] = {"extract": {"damaged": "keep"}}
# What may be left of a shard, by what follows its name, when its writer is stopped.
_HALF_DONE = (f"tar{PART}", f"json{PART}", PROGRESS, f"{PROGRESS}{PART}")


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
                hint = "use the version of mgst that wrote it, or extract to a new folder"
                raise ShardError(f"schema {raw['schema']}, but this version reads {SCHEMA}", where=path, hint=hint)
            plan = {shard["name"]: tuple(shard["videos"]) for shard in raw["shards"]}
            return ShardFolder(str(location), raw["config"], plan)
        except FileNotFoundError as error:
            hint = f"give the folder that mgst-data extract has written: it holds a {STATE}"
            raise UsageError("no shards here", where=location, hint=hint) from error
        except (KeyError, TypeError, ValueError) as error:
            hint = "copy it again, or extract to a new folder"
            raise ShardError(f"malformed: {error!r}", where=path, hint=hint) from error

    def reports(self) -> Iterator[ShardReport]:
        """Reports of the complete shards, in the order of the plan; raises ShardError for a malformed one."""
        return (report for name in self.plan if (report := self._report(name)))

    def kept(self) -> Iterator[VideoReport]:
        """Finished videos of shards that are not complete, in a local folder: a run was interrupted there."""
        return (video for lines in self._open_shards().values() for line in lines for video in line.videos)

    def missing(self, records: Sequence[VideoRecord]) -> list[ShardTask]:
        """The planned shards that are not complete.

        Raises:
            UsageError: if one of their videos is not among the records.
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

    def _open_shards(self) -> dict[str, list[ShardReport]]:
        """Reports of the finished videos, one by one, of every shard that has some and is not complete."""
        out, found = Path(self.location), {}
        for path in sorted(out.glob(f"*.{PROGRESS}")):
            lines = read_progress(out, path.stem, self.plan.get(path.stem, ()))
            if lines and self._report(path.stem) is None:
                found[path.stem] = lines
        return found

    def _report(self, name: str) -> ShardReport | None:
        """That of a shard, if it is complete."""
        path = join(self.location, f"{name}.json")
        try:
            report = ShardReport.from_json(read_bytes(path), where=path)
        except FileNotFoundError:
            return None
        whole = is_url(self.location) or all(self._is_whole(file.name, file.bytes) for file in report.files)
        return report if whole else None

    def _find(self, keys: Iterable[str], records: Mapping[str, VideoRecord]) -> list[VideoRecord]:
        gone = [key for key in keys if key not in records]
        if gone:
            what = f"planned videos are not among those given: {', '.join(gone[:5])}{', ...' if gone[5:] else ''}"
            hint = "give the same data set and choose the same videos of it, or choose another output folder"
            raise UsageError(what, where=self.location, hint=hint)
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

    Videos that the plan does not know yet are appended as new shards; existing shards are never dealt anew. At the end,
    nothing that is half done is left but the finished videos of open shards.

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
        hint = "give a local folder, and copy it there afterwards"
        raise UsageError("shards are written to local folders only", where=out, hint=hint)
    out = Path(out)
    with FolderLock(out):
        folder = _opened(out, json.loads(json.dumps(config)), records, videos_per_shard, retry)
        try:
            yield folder
        finally:
            _remove_stale(folder)


def _opened(
    out: Path, config: dict[str, Any], records: Sequence[VideoRecord], videos_per_shard: int, retry: str
) -> ShardFolder:
    state = out / STATE
    if state.exists():
        folder = ShardFolder.read(out)
        _compare(folder, config)
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
        listed = ", ".join(sorted(known))
        hint = f"reasons here: {listed}" if known else "none was skipped here: leave --retry-skipped out"
        raise UsageError(f"no video was skipped for {reason!r}", where=folder.location, hint=hint)
    complete = {report.name for report in reports}
    pending = {key for name, keys in folder.plan.items() if name not in complete for key in keys}
    skipped = {key: video.reason for key, video in latest(reports).items() if video.skipped}
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


def _remove_stale(folder: ShardFolder) -> None:
    """Removes what interrupted runs, and workers that were stopped or killed, have left half done."""
    out = Path(folder.location)
    kept = {path for name in folder._open_shards() for path in (part_of(out, name), progress_of(out, name))}
    for path in out.iterdir():
        name, _, kind = path.name.partition(".")
        half_done = path.name == STATE + PART or (name in folder.plan and kind in _HALF_DONE)
        if half_done and path not in kept:
            with output_errors(path):
                path.unlink(missing_ok=True)
