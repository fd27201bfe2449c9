"""Scores that were made elsewhere: a CSV file, joined with shards for labels and groups."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mgst_data.core import UsageError
from mgst_data.core.errors import first_line, printable
from mgst_data.shards import ShardFolder, VideoReport, sources_of
from mgst_data.shards.report import latest
from mgst_model.evaluate.predictions import Predictions, VideoScore
from mgst_model.evaluate.score import faceless_reports

_COLUMNS = "columns: video or key, and score; dataset if several data sets share names"


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the file: what names the video, its data set or "", its score or None, and its line number."""

    name: str
    is_key: bool
    dataset: str
    score: float | None
    line: int


def read_scores(path: str | Path, locations: Sequence[str], split: str | None, *, origin: str = "") -> Predictions:
    """Reads the scores of a detector, and joins them with the videos of shards.

    The file has a header. ``video`` is the path of a video in its data set, ``key`` its key; the reports beside the
    shards list both. ``score`` is in [0, 1], higher for fake; it is empty if the detector found no face. Other columns
    are ignored, and so are rows of other splits.

    Args:
        path: The CSV file.
        locations: Folders of shards, by path or URL.
        split: Only videos of this split; None for all.
        origin: Where the file is from, for the description of the scores; "" for its path.

    Returns:
        The scores; the name of the detector is that of the file.

    Raises:
        UsageError: if the file cannot be read, or a video is unknown, missing, or has two scores.
        ShardError: if a report is malformed.
    """
    path = Path(path)
    names = [source.name for source in sources_of(locations)] if len(locations) > 1 else [""]
    known: dict[tuple[str, str], tuple[VideoReport, str]] = {}
    wanted, faceless = set[tuple[str, str]](), set[tuple[str, str]]()
    for name, location in zip(names, locations, strict=True):
        for video in latest(ShardFolder.read(location).reports()).values():
            known[video.dataset, video.key] = (video, name)
            if video.chunks and split in (None, video.split):
                wanted.add((video.dataset, video.key))
        found = faceless_reports(location)
        faceless |= {(video.dataset, video.key) for video in found if split in (None, video.split)}
    scores = _joined(path, list(_rows(path)), known)
    missing = [known[video][0] for video in known if video in wanted and video not in scores]
    if missing:
        where = f" of the split {split!r}" if split else ""
        what = f"{len(missing):,} of {len(wanted):,} videos{where} have no score, for example {missing[0].video}"
        hint = "add them; leave the score of a video empty if the detector found no face in it"
        raise UsageError(what, where=path, hint=hint)
    tested = [(known[video], scores.get(video)) for video in known if video in wanted or video in faceless]
    videos = tuple(_video(report, name, score) for (report, name), score in tested)
    info = {"scores": origin or printable(path), "shards": list(map(printable, locations)), "split": split or "all"}
    return Predictions(printable(path.stem), videos, info)


def _video(report: VideoReport, source: str, score: float | None) -> VideoScore:
    return VideoScore(
        key=report.key,
        dataset=report.dataset,
        method=report.method,
        label=report.label,
        split=report.split,
        compression=report.compression,
        source_key=report.source_key or "",
        target_key=report.target_key or "",
        source=source,
        score=score,
    )


def _joined(
    path: Path, rows: Sequence[_Row], known: dict[tuple[str, str], tuple[VideoReport, str]]
) -> dict[tuple[str, str], float | None]:
    """Returns the score of each video of the file.

    Raises:
        UsageError: if a video is unknown, ambiguous, or has two scores.
    """
    by_name: dict[tuple[bool, str], list[tuple[str, str]]] = {}
    for video, (report, _) in known.items():
        by_name.setdefault((True, report.key), []).append(video)
        by_name.setdefault((False, report.video), []).append(video)
    scores: dict[tuple[str, str], float | None] = {}
    lines: dict[tuple[str, str], int] = {}
    unknown: list[_Row] = []
    for row in rows:
        all_found = by_name.get((row.is_key, row.name), [])
        found = [video for video in all_found if row.dataset in ("", video[0])]
        if not found:
            unknown.append(row)
            continue
        if len(found) > 1:
            sets = ", ".join(sorted(video[0] for video in found))
            what = f"line {row.line}: several data sets have a video {printable(row.name)}: {sets}"
            raise UsageError(what, where=path, hint="add a column dataset")
        if found[0] in lines:
            what = f"line {row.line}: {printable(row.name)} has a score in line {lines[found[0]]} already"
            raise UsageError(what, where=path, hint="give one score per video")
        scores[found[0]], lines[found[0]] = row.score, row.line
    if unknown:
        first = unknown[0]
        what = f"{len(unknown):,} of {len(rows):,} videos are not in the shards, for example {printable(first.name)}"
        names = [name for is_key, name in by_name if is_key == first.is_key]
        close = difflib.get_close_matches(first.name, names, n=1) or names[:1]
        hint = f"{'a key' if first.is_key else 'a path in the data set'} is, for example, {printable(close[0])}"
        raise UsageError(f"{what} (line {first.line})", where=path, hint=hint)
    return scores


def _rows(path: Path) -> Iterator[_Row]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            columns = set(table.fieldnames or ())
            if "score" not in columns or not columns & {"video", "key"}:
                raise UsageError(
                    f"the header has {', '.join(sorted(columns)) or 'no columns'}", where=path, hint=_COLUMNS
                )
            for row in table:
                video, key = (row.get(name) or "" for name in ("video", "key"))
                if not (video or key):
                    raise UsageError(f"line {table.line_num}: no video and no key", where=path, hint=_COLUMNS)
                score = _score(row["score"], path, table.line_num)
                yield _Row(video or key, not video, row.get("dataset") or "", score, table.line_num)
    except OSError as error:
        raise UsageError((error.strerror or "cannot be read").lower(), where=path, hint="check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"not a CSV file: {first_line(error)}", where=path, hint=_COLUMNS) from error


def _score(text: str | None, path: Path, line: int) -> float | None:
    if not (text or "").strip():
        return None
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        what = f"line {line}: a score must be in [0, 1], got {printable(text)}"
        raise UsageError(what, where=path, hint="apply a sigmoid to logits; leave it empty if there was no face")
    return value
