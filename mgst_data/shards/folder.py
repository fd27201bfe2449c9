"""A folder of shards: its configuration, its plan, and which shards are complete."""

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
# Options that were added later. The value is the one that folders without the option were extracted with.
_CAME_LATER: Mapping[str, Any] = {"extract": {"damaged": "keep"}}
# Suffixes of the files that a stopped writer can leave behind.
_HALF_DONE = (f"tar{PART}", f"json{PART}", PROGRESS, f"{PROGRESS}{PART}")


@dataclass(frozen=True, slots=True)
class ShardFolder:
    """The state of a folder of shards, as stored in its ``dataset.json``.

    Attributes:
        location: Path or URL of the folder.
        config: Merged configuration that the shards are made with.
        plan: Keys of the videos by name of the shard, in the order in which the shards were planned.
    """

    location: str
    config: Mapping[str, Any]
    plan: Mapping[str, tuple[str, ...]]

    @staticmethod
    def read(location: str | Path) -> ShardFolder:
        """Reads the state of a folder.

        Args:
            location: Path or fsspec URL of the folder.

        Raises:
            UsageError: if the folder has no ``dataset.json``.
            ShardError: if ``dataset.json`` is malformed or has another schema version.
        """
        path = join(str(location), STATE)
        try:
            raw = json.loads(read_bytes(path))
            if raw["schema"] != SCHEMA:
                hint = "use the version of mgst that wrote it, or extract to a new folder"
                raise ShardError(f"has schema {raw['schema']}, but this version reads {SCHEMA}", where=path, hint=hint)
            plan = {shard["name"]: tuple(shard["videos"]) for shard in raw["shards"]}
            return ShardFolder(str(location), raw["config"], plan)
        except FileNotFoundError as error:
            hint = f"give a folder that mgst-data extract has written; it contains {STATE}"
            raise UsageError("no shards here", where=location, hint=hint) from error
        except (KeyError, TypeError, ValueError) as error:
            hint = "copy it again, or extract to a new folder"
            raise ShardError(f"malformed: {error!r}", where=path, hint=hint) from error

    def reports(self) -> Iterator[ShardReport]:
        """Yields the reports of the complete shards, in the order of the plan; ShardError for a malformed report."""
        return (report for name in self.plan if (report := self._report(name)))

    def kept(self) -> Iterator[VideoReport]:
        """Yields the reports of the finished videos of incomplete shards, which an interrupted run has left.

        Only local folders have them.
        """
        return (video for lines in self._open_shards().values() for line in lines for video in line.videos)

    def missing(self, records: Sequence[VideoRecord]) -> list[ShardTask]:
        """Returns the planned shards that are not complete.

        Args:
            records: Records of the data set. They include all videos of the incomplete shards.

        Raises:
            UsageError: if a video of an incomplete shard is not among the records.
        """
        by_key = {record.key: record for record in records}
        complete = {report.name for report in self.reports()}
        todo = {name: keys for name, keys in self.plan.items() if name not in complete}
        return [ShardTask(name, tuple(self._find(keys, by_key))) for name, keys in todo.items()]

    def finish(self) -> Totals:
        """Sums up the complete shards. If all shards are complete, writes the totals to ``dataset.json``."""
        reports = list(self.reports())
        totals = summarise(reports)
        if len(reports) == len(self.plan):
            self._write(totals=totals.as_dict())
        return totals

    def _open_shards(self) -> dict[str, list[ShardReport]]:
        """Returns, for every incomplete shard with finished videos, one report per finished video."""
        out, found = Path(self.location), {}
        for path in sorted(out.glob(f"*.{PROGRESS}")):
            lines = read_progress(out, path.stem, self.plan.get(path.stem, ()))
            if lines and self._report(path.stem) is None:
                found[path.stem] = lines
        return found

    def _report(self, name: str) -> ShardReport | None:
        """Returns the report of a shard; None if the shard is not complete."""
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
            hint = "give the same data set and choose the same videos, or choose another output folder"
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
    """Opens a new or an existing folder to write shards into, and holds its lock until the block ends.

    Videos that are not in the plan are appended as new shards. The plan of existing shards does not change. When the
    block ends, partial files are deleted, except the finished videos of incomplete shards.

    Args:
        out: Output folder. It is created if it does not exist.
        config: Options that determine the content of the shards, as JSON values.
        records: Videos of the source, with distinct keys.
        videos_per_shard: Number of videos of each new shard.
        retry: Reason code of skipped videos to plan again (as new shards), or "all".

    Yields:
        The folder with the plan for all records.

    Raises:
        ConfigMismatchError: if the folder was written with another configuration.
        UsageError: if ``out`` is a URL, or is not empty and not a folder of shards, or if no video was skipped for the
            reason ``retry``.
        OutputError: if another run writes into the folder, or if it cannot be written.
    """
    if is_url(str(out)):
        hint = "give a local folder, and copy it to the URL afterwards"
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
            raise UsageError("not empty, and not a folder of shards", where=out, hint="choose another output folder")
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
        hint = f"reasons here: {listed}" if known else "no video was skipped here; omit --retry-skipped"
        raise UsageError(f"no video was skipped for the reason {reason!r}", where=folder.location, hint=hint)
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
    out = Path(folder.location)
    kept = {path for name in folder._open_shards() for path in (part_of(out, name), progress_of(out, name))}
    for path in out.iterdir():
        name, _, kind = path.name.partition(".")
        half_done = path.name == STATE + PART or (name in folder.plan and kind in _HALF_DONE)
        if half_done and path not in kept:
            with output_errors(path):
                path.unlink(missing_ok=True)
