"""Writes a report on folders of shards."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from numpy import ndarray

from mgst_data.core import UsageError
from mgst_data.core.errors import printable
from mgst_data.html import write_page
from mgst_data.html.page import PLOTLY, TABLES, environment
from mgst_data.people import Duplicate, near_duplicates
from mgst_data.processes import available_cores
from mgst_data.report.charts import track_charts
from mgst_data.report.outliers import outliers
from mgst_data.report.pictures import GRID, SHEET, THUMBNAIL, first_frame, save, sprite_sheet, strip_files, thumbnail
from mgst_data.report.tracks import TrackFacts, view_track
from mgst_data.report.wall import COLUMNS, limits_in_words, wall_rows
from mgst_data.shards import ShardFolder, ShardReader, ShardReport, Totals, VideoReport, summarise
from mgst_data.shards.lock import LOCK, FolderLock
from mgst_data.shards.people import PeopleTable
from mgst_data.shards.report import latest
from mgst_data.shards.sources import Places
from mgst_data.shards.storage import output_errors

PAGE = "index.html"
# Folders beside the page: film strips, sprite sheets, first frames.
_FOLDERS = TRACKS, SHEETS, SKIPPED = ("tracks", "sheets", "skipped")
# Skipped videos of each reason whose first frame is shown, and pairs of duplicates that are listed.
_FIRST_FRAMES, _PAIRS = 12, 200
_GROUPS = ("dataset", "split", "label", "method")
_COUNTS = ("videos", "skipped", "frames", "tracks", "chunks", "images")
Saw = Callable[[str, int, int], object]


@dataclass(frozen=True, slots=True)
class ReportSummary:
    """What a report holds.

    Attributes:
        page: The page to open.
        totals: Counts over videos.
        tracks: Number of tracks in the wall.
        duplicates: Pairs of videos that may be copies of each other; None if they were not looked for.
        outliers: Number of tracks with an outlier.
    """

    page: Path
    totals: Totals
    tracks: int
    duplicates: int | None
    outliers: int


def write_report(
    places: Places,
    out: Path,
    *,
    split: str | None = None,
    methods: Collection[str] | None = None,
    roots: Sequence[str] = (),
    frames: int = 12,
    side: int = 144,
    duplicates: bool = True,
    workers: int | None = None,
    saw: Saw = lambda *_: None,
) -> ReportSummary:
    """Writes ``index.html`` and the files that it shows: totals, distributions, and a wall of tracks with film strips.

    The page is written last; while it exists, the report is complete. It needs no server and no network.

    Args:
        places: Path or URL of a folder of shards, a source, or a list of these.
        out: Folder of the report. It is new, empty, or holds an earlier report, which is replaced.
        split: Only videos of this split; None for all.
        methods: Only videos of these methods; None for all.
        roots: Folders or URLs of the data sets, to show the first frames of skipped videos.
        frames: Largest number of frames in a film strip, 1 to 100.
        side: Side of each frame of a film strip, pixels, 16 to 512.
        duplicates: Whether to look for near-duplicates. Their hashes are kept beside the shards.
        workers: Number of threads, and of processes that look for duplicates; None for one per core.
        saw: Called with what is being done, the number of finished parts, and the number of all parts.

    Raises:
        ImportError: if a package of the extra ``report`` is not installed.
        UsageError: if a folder has no shards or is not complete, if no track matches, if an option is out of range, or
            if ``out`` holds other files.
        ShardError: if a shard is damaged.
        OutputError: if the report cannot be written, or if another run writes it.
    """
    if not 1 <= frames <= 100 or not 16 <= side <= 512:
        raise UsageError(f"frames must be 1 to 100 and side 16 to 512, got {frames} and {side}")
    environment()  # without the extra, nothing is read first
    reader = ShardReader.open(places, split=split, methods=methods)
    if not len(reader):
        raise UsageError("no track matches", where=reader.location, hint="omit --split or --method")
    videos = _videos(reader, split, methods)
    threads = workers or available_cores()
    with FolderLock(out):
        _clear(out)
        searched = [source.location for source in reader.sources] if duplicates else []
        kept = {(name, key) for name, key in videos if not videos[name, key].skipped}
        names = {source.location: source.name for source in reader.sources}
        found = near_duplicates(searched, workers=workers, saw=lambda *at: saw("looking for duplicates", *at))
        copies = [copy for copy in found if kept.issuperset(_ends(copy, names))]
        tracks = _tracks(reader, out, frames, side, threads, saw)
        unusual = outliers(tracks)
        totals = summarise([ShardReport("", tuple(videos.values()))])
        notes = {place: video.notes for place, video in videos.items()}
        rows = wall_rows(tracks, unusual, copies, notes, names)
        saw("writing the page", 0, 1)
        write_page(
            out / PAGE,
            "report.html.j2",
            package="mgst_data.report",
            title=f"Report on {', '.join(printable(source.name) for source in reader.sources)}",
            scripts=(PLOTLY, TABLES, "wall.js", "filters.js"),
            styles=("wall.css",),
            places=[printable(source.location) for source in reader.sources],
            totals=totals,
            groups=[(name, _rows(totals, name)) for name in _GROUPS],
            counts=_COUNTS,
            tracks=len(tracks),
            unusual=sum(map(bool, unusual)),
            limits=limits_in_words(),
            copies=_pairs(copies[:_PAIRS], tracks, names),
            copies_count=len(copies),
            searched=duplicates,
            skips=_skips(videos.values(), roots, out, saw),
            has_roots=bool(roots),
            charts=track_charts(tracks),
            wall={"columns": COLUMNS, "rows": rows, "grid": GRID, "thumbnail": THUMBNAIL, "side": side},
        )
    return ReportSummary(out / PAGE, totals, len(tracks), len(copies) if duplicates else None, sum(map(bool, unusual)))


def _videos(
    reader: ShardReader, split: str | None, methods: Collection[str] | None
) -> dict[tuple[str, str], VideoReport]:
    """Returns the newest report of every video that matches, by name of the source and key."""
    found = {}
    for source in reader.sources:
        people = PeopleTable.read(source.location)
        for key, video in latest(ShardFolder.read(source.location).reports()).items():
            known = video if people is None else people.completed(video)
            if split in (None, known.split) and (methods is None or known.method in methods):
                found[source.name, key] = known
    return found


def _clear(out: Path) -> None:
    """Removes an earlier report: the page first, because it marks the report as complete.

    Raises:
        UsageError: if the folder holds other files.
    """
    there = {path.name for path in out.iterdir()} - {LOCK}
    if there and not there & {PAGE, *_FOLDERS}:
        raise UsageError("not empty, and not a report", where=out, hint="choose another folder with --out")
    with output_errors(out):
        (out / PAGE).unlink(missing_ok=True)
        for name in _FOLDERS:
            shutil.rmtree(out / name, ignore_errors=True)
            (out / name).mkdir()


def _tracks(reader: ShardReader, out: Path, frames: int, side: int, threads: int, saw: Saw) -> list[TrackFacts]:
    """Measures all tracks, and writes their film strips and thumbnails, one sprite sheet at a time."""
    places = zip(reader.source.tolist(), reader.video.tolist(), reader.track.tolist(), range(len(reader)), strict=True)
    groups = [[row[3] for row in rows] for _, rows in groupby(places, key=lambda row: row[:3])]

    def work(number: int) -> tuple[TrackFacts, UInt8[ndarray, "s s 3"]]:
        chunks = [reader[i] for i in groups[number]]
        folder = reader.sources[int(reader.source[groups[number][0]])].name
        facts, shown = view_track(chunks, folder=folder, shown=frames, side=side)
        for suffix, data in strip_files(shown, number).items():
            save(out / TRACKS / f"{number}{suffix}", data)
        return facts, thumbnail(shown)

    facts: list[TrackFacts] = []
    pool = ThreadPoolExecutor(threads)
    try:
        for start in range(0, len(groups), SHEET):
            saw("drawing tracks", start, len(groups))
            some = list(pool.map(work, range(start, min(start + SHEET, len(groups)))))
            facts += [fact for fact, _ in some]
            save(out / SHEETS / f"{start // SHEET}.jpg", sprite_sheet([picture for _, picture in some]))
    finally:
        pool.shutdown(cancel_futures=True)
    return facts


def _rows(totals: Totals, group: str) -> list[list[Any]]:
    tallies = [*getattr(totals, group).items(), ("all", totals.overall)]
    return [[printable(name) or f"no {group}", *(asdict(tally)[count] for count in _COUNTS)] for name, tally in tallies]


def _pairs(copies: Sequence[Duplicate], tracks: Sequence[TrackFacts], names: dict[str, str]) -> list[dict[str, Any]]:
    """Returns pairs of duplicates with the number of the first track of each video."""
    first: dict[tuple[str, str], int] = {}
    for number, track in enumerate(tracks):
        first.setdefault((track.folder, track.key), number)
    pairs = []
    for copy in copies:
        numbers = [first[end] for end in _ends(copy, names)]
        about = [(number, printable(tracks[number].video)) for number in numbers]
        pairs.append({"tracks": about, "share": copy.share, "mirrored": copy.mirrored})
    return pairs


def _ends(copy: Duplicate, names: dict[str, str]) -> list[tuple[str, str]]:
    return [(names[folder], video) for folder, video in zip(copy.folders, copy.videos, strict=True)]


def _skips(videos: Collection[VideoReport], roots: Sequence[str], out: Path, saw: Saw) -> list[dict[str, Any]]:
    """Groups skipped videos by reason, the most frequent first, with the first frames of some."""
    groups: defaultdict[str, list[VideoReport]] = defaultdict(list)
    for video in videos:
        if video.skipped:
            groups[video.reason].append(video)
    numbers = iter(range(sum(map(len, groups.values()))))
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    made = []
    for done, (reason, some) in enumerate(ordered):
        saw("reading skipped videos", done, len(ordered))
        shown = list(_first_frames(some, roots, out, numbers)) if roots else []
        messages = [printable(video.message) for video in some[: 2 * _FIRST_FRAMES]]
        made.append({"reason": reason, "count": len(some), "pictures": shown, "messages": messages})
    return made


def _first_frames(
    videos: Sequence[VideoReport], roots: Sequence[str], out: Path, numbers: Iterator[int]
) -> Iterator[tuple[str, str]]:
    """Writes the first frames of some videos; yields the name of the picture and of the video."""
    shown = 0
    for video in videos[: 4 * _FIRST_FRAMES]:
        picture = first_frame(video, roots)
        if picture is not None:
            name = f"{next(numbers)}.jpg"
            save(out / SKIPPED / name, picture)
            yield name, printable(video.video)
            shown += 1
        if shown == _FIRST_FRAMES:
            return
