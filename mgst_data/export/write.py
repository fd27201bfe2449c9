"""Exports folders of shards to the formats of other tools."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgst_data import __version__
from mgst_data.core import ConfigMismatchError, ShardError, UsageError
from mgst_data.core.documents import parse_json
from mgst_data.core.errors import check_name
from mgst_data.core.optional import need
from mgst_data.export import coco, fiftyone, folders, huggingface
from mgst_data.export.card import CARD, write_card
from mgst_data.export.format import Format
from mgst_data.export.table import TABLE, TrackTable
from mgst_data.export.tracks import ALL_SPLITS, LABELS, digest_of, read_tracks
from mgst_data.shards import ShardReader
from mgst_data.shards.lock import LOCK, FolderLock
from mgst_data.shards.sources import Places
from mgst_data.shards.storage import output_errors, publish, write_atomic

FORMATS: dict[str, Format] = {
    "fiftyone": fiftyone.FORMAT,
    "hf": huggingface.FORMAT,
    "coco-video": coco.FORMAT,
    "folders": folders.FORMAT,
}
# The mark of completion, with the options and the counts; and the folder of everything until the export is complete.
STATE, UNFINISHED = "export.json", "export.part"
# The extra with the packages of the formats.
EXTRA = "formats"
_SCHEMA = 1
Saw = Callable[[str, int, int], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSummary:
    """What an export holds.

    Attributes:
        folder: The folder.
        format: Name of the format.
        tracks: Number of tracks.
        frames: Number of frames.
        splits: Names of the splits that it has.
        was_complete: Whether the same export was complete before, and nothing was written.
    """

    folder: Path
    format: str
    tracks: int
    frames: int
    splits: tuple[str, ...]
    was_complete: bool = False

    @property
    def command(self) -> str:
        """The shell command that opens the export in the other tool."""
        return FORMATS[self.format].command(self.folder, self.splits)


def export_tracks(
    places: Places,
    out: Path,
    *,
    to: str,
    split: str | None = None,
    label: int | None = None,
    methods: Collection[str] | None = None,
    every: int = 1,
    frames: int | None = None,
    saw: Saw = lambda *_: None,
) -> ExportSummary:
    """Writes the tracks of folders of shards in the format of another tool.

    Crops and masks are copied as they are, not encoded again. One chunk at a time is in memory. Until the export is
    complete, everything is in ``out/export.part``; ``out/export.json`` appears last. The same call continues an
    interrupted export: it keeps pictures that are there.

    Args:
        places: Path or URL of a folder of shards, a source, or a list of these.
        out: Folder to write into. It is new, empty, or holds this export.
        to: Format: "fiftyone", "hf", "coco-video" or "folders".
        split: Only videos of this split; None for all.
        label: Only real (0) or only fake (1) videos; None for both.
        methods: Only videos of these methods; None for all.
        every: Takes every n-th frame of a track, at least 1.
        frames: Largest number of frames of a track, evenly spaced, at least 1; None for no limit.
        saw: Called with what is being done, the number of finished tracks, and the number of all tracks.

    Raises:
        ImportError: if a package of the format is not installed.
        UsageError: if the format is unknown, if a folder has no shards or is not complete, if no track matches, if an
            option is out of range, or if ``out`` is a URL or holds other files.
        ConfigMismatchError: if ``out`` holds an export with other options or of other shards.
        ShardError: if a shard is damaged.
        OutputError: if a file cannot be written, or if another run writes into ``out``.
    """
    check_name(to, FORMATS, "format", "")
    if FORMATS[to].package:
        need(FORMATS[to].package, EXTRA)
    if every < 1 or (frames is not None and frames < 1):
        raise UsageError(f"every and frames must be at least 1, got {every} and {frames}")
    reader = ShardReader.open(places, split=split, label=label, methods=methods)
    if not len(reader):
        raise UsageError("no track matches", where=reader.location, hint="omit --split, --label or --method")
    options = {
        "to": to,
        "split": split,
        "label": None if label is None else LABELS[label],
        "methods": sorted(methods) if methods else None,
        "every": every,
        "frames": frames,
    }
    with FolderLock(out):
        state = _opened(out, {"schema": _SCHEMA, "mgst": __version__, "options": options, "shards": digest_of(reader)})
        done = state is not None and not (out / UNFINISHED).exists()
        if state is None:
            state = _written(reader, out, FORMATS[to], options, saw)
        if not done:
            _publish(out)
    counts = (state["tracks"], state["frames"])
    return ExportSummary(
        folder=out, format=to, tracks=counts[0], frames=counts[1], splits=tuple(state["splits"]), was_complete=done
    )


def _opened(out: Path, state: dict[str, Any]) -> dict[str, Any] | None:
    """Begins or continues an export. Returns its state if everything is written, otherwise None.

    Raises:
        UsageError: if the folder holds other files.
        ConfigMismatchError: if it holds another export.
        ShardError: if its state cannot be read.
    """
    part = out / UNFINISHED
    places = [path / STATE for path in (out, part)]
    there = next((path for path in places if path.exists()), None)
    if there is None:
        if any(path.name not in (LOCK, UNFINISHED) for path in out.iterdir()) or (
            part.exists() and any(part.iterdir())
        ):
            raise UsageError("not empty, and not an export", where=out, hint="choose another folder with --out")
        with output_errors(part):
            part.mkdir(exist_ok=True)
        write_atomic(part / STATE, json.dumps(state, indent=1).encode())
        return None
    try:
        found = parse_json(there.read_bytes())
        same = {name: found[name] == state[name] for name in ("schema", "options", "shards")}
        changed = [f"{name}: {found['options'].get(name)} -> {value}" for name, value in state["options"].items()
                   if found["options"].get(name) != value]  # fmt: skip
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ShardError(f"malformed: {error!r}", where=there, hint="delete this folder and export again") from error
    if there.parent == part and found["mgst"] != state["mgst"]:  # its files may have other names
        with output_errors(part):
            shutil.rmtree(part)
        return _opened(out, state)
    if not all(same.values()):
        what = "; ".join(changed) or ("other shards" if same["schema"] else "another version of mgst")
        hint = "choose another folder with --out, or delete this one"
        raise ConfigMismatchError(f"holds another export ({what})", where=out, hint=hint)
    return dict(found) if "splits" in found else None


def _written(reader: ShardReader, out: Path, made: Format, options: dict[str, Any], saw: Saw) -> dict[str, Any]:
    """Writes everything into the unfinished folder, and returns the state of the complete export."""
    part = out / UNFINISHED
    total = _tracks(reader)
    with closing(made.writer(part)) as writer, closing(TrackTable(part / TABLE)) as table:
        chosen = read_tracks(reader, every=options["every"], frames=options["frames"])
        for done, (track, frames) in enumerate(chosen):
            saw("exporting", done, total)
            writer.add(track, table.watched(track, frames))
        saw("finishing", total, total)
        table.close()
        head = writer.finish()
    text = write_card(made, table.counts, table.datasets, choice=_choice(options), head=head)
    write_atomic(part / CARD, text.encode())
    counts = table.counts.values()
    state: dict[str, Any] = json.loads((part / STATE).read_bytes())
    state["tracks"] = sum(count.tracks for count in counts)
    state["frames"] = sum(count.real + count.fake for count in counts)
    state["splits"] = [split for split in ALL_SPLITS if split in table.counts]
    write_atomic(part / STATE, (json.dumps(state, indent=1) + "\n").encode())
    return state


def _publish(out: Path) -> None:
    """Moves everything out of the unfinished folder, the mark of completion last."""
    part = out / UNFINISHED
    with output_errors(out):
        for path in sorted(part.iterdir()):
            if path.name != STATE:
                path.replace(out / path.name)
        if (part / STATE).exists():
            publish(part / STATE, out / STATE)
        shutil.rmtree(part)


def _tracks(reader: ShardReader) -> int:
    return len(set(zip(reader.video.tolist(), reader.track.tolist(), strict=True)))


def _choice(options: dict[str, Any]) -> str:
    """Says in a sentence which frames were chosen."""
    every, frames = options["every"], options["frames"]
    some = "all frames" if every == 1 else f"one frame in {every}"
    limit = f", at most {frames} of a track, evenly spaced" if frames else ""
    only = [f"{name} {options[name]}" for name in ("split", "label") if options[name]]
    only += [f"method {', '.join(options['methods'])}"] if options["methods"] else []
    kept = f"; only {', only '.join(only)}" if only else ""
    return f"It has {some}{limit}{kept}."
