"""Measures what an extraction does with all its videos at once: listing, planning, reading reports.

    python benchmarks/bench_plan.py                          # 10^4 to 10^7 records: about an hour, and 3 GB in --work
    python benchmarks/bench_plan.py --records 10000 100000   # other numbers
    python benchmarks/bench_plan.py --quick                  # smoke test

It writes results/plan.json and plan.png. Every stage runs in a process of its own, forked after the imports.
The time is its processor time; the memory is its peak beyond what it has after the imports.

- manifest: reads a CSV table of URLs. The peer reads the same table with ``csv.DictReader`` into a list.
- folder, url: scan a folder with the layout of DFDC, on disk and behind ``memory://``.
- plan: ``manifest``, then what an extraction does before the first video: plans, writes ``dataset.json``, makes tasks.
- again: ``manifest``, then the same with a ``dataset.json`` that is there.
- reports: reads the reports of all shards, as ``inspect`` and a resumed extraction do.

Numbers of records above ``MOST`` are left out where millions of files would have to be made.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from _common import RESULTS, write_result
from extraction.report import Figure, resident_bytes

from mgst_data.datasets import Scan, scan_dataset
from mgst_data.extract import ExtractConfig, scan_url
from mgst_data.shards import ShardFolder, open_folder
from mgst_data.shards.plan import VIDEOS_PER_SHARD, count_videos
from mgst_data.shards.report import SampleSpan, ShardFile, ShardReport, VideoReport

T = TypeVar("T")

RECORDS = (10_000, 100_000, 1_000_000, 10_000_000)
# Videos of the data set per real video and per part, as in DFDC; samples per video.
FAKES, PARTS, SAMPLES = 5, 50, 8
MOST = {"folder": 1_000_000, "url": 100_000, "reports": 100_000, "peer": 1_000_000}
STAGES = ("manifest", "peer", "folder", "url", "plan", "again", "reports")
CONFIG = {"extract": ExtractConfig().as_dict()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=list(RECORDS), help="numbers of records")
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES, help="stages to measure")
    parser.add_argument("--work", type=Path, help="folder for the files; default: a temporary one")
    parser.add_argument("--quick", action="store_true", help="smoke test with few records; writes no result")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON and the plot")
    options = parser.parse_args()
    numbers = [1_000, 2_000] if options.quick else options.records
    with tempfile.TemporaryDirectory() as temporary:
        for rows in run(numbers, options.stages, options.work or Path(temporary)):
            figures = {"rows": rows, "targets": [figure.as_dict() for figure in targets(rows)]}
            if not options.quick:
                plot(rows, options.out / "plan.png")
                print(write_result("plan", figures, folder=options.out))


def run(numbers: Sequence[int], stages: Sequence[str], work: Path) -> Iterator[list[dict[str, Any]]]:
    """Measures every stage with every number of records, each in a new process. Yields all rows after each stage."""
    rows: list[dict[str, Any]] = []
    for number in numbers:
        folder = work / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        for stage in stages:
            if number > MOST.get(stage, number):
                continue
            _apart(prepare, stage, number, folder)
            rows.append(_apart(measure, stage, number, folder))
            print(rows[-1], flush=True)
            yield rows


def _apart(work: Callable[..., T], *arguments: object) -> T:
    """Calls a function in a forked process, so that it leaves no memory behind."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        return pool.submit(work, *arguments).result()


def prepare(stage: str, number: int, folder: Path) -> None:
    """Makes the files that a stage reads, if they are not there."""
    if stage in ("manifest", "peer", "plan", "again") and not (folder / "videos.csv").exists():
        write_manifest(folder / "videos.csv", number)
    if stage == "folder" and not (folder / "dfdc").exists():
        for name, text in tree(number):
            path = folder / "dfdc" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if stage == "again" and not (folder / "planned").exists():
        again(folder)
    if stage == "reports" and not (folder / "shards").exists():
        write_reports(folder, number)


def measure(stage: str, number: int, folder: Path) -> dict[str, Any]:
    """Runs one stage in this process."""
    if stage == "url":
        _fill_memory(number)
    before = resident_bytes("VmRSS")
    began = time.process_time()
    shown = WORK[stage](folder)
    seconds = time.process_time() - began
    if shown != number:
        raise ValueError(f"{stage}: {shown} of {number} records")
    return {
        "stage": stage,
        "records": number,
        "seconds": round(seconds, 3),
        "microseconds_per_record": round(1e6 * seconds / number, 2),
        "megabytes": round((resident_bytes("VmHWM") - before) / 1e6, 1),
    }


def manifest(folder: Path) -> int:
    """Reads the manifest."""
    return len(scan_dataset(folder / "videos.csv").records)


def peer(folder: Path) -> int:
    """Reads the manifest with the standard library."""
    with (folder / "videos.csv").open(newline="") as file:
        return len(list(csv.DictReader(file)))


def plan(folder: Path) -> int:
    """Reads the manifest, plans all shards in a new folder, and makes the tasks."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        return _planned(scan_dataset(folder / "videos.csv"), Path(out) / "shards")


def again(folder: Path) -> int:
    """Reads the manifest and the plan of the folder."""
    return _planned(scan_dataset(folder / "videos.csv"), folder / "planned")


def reports(folder: Path) -> int:
    """Reads all reports."""
    return ShardFolder.read(folder / "shards").survey().totals.overall.videos


def _planned(scan: Scan, out: Path) -> int:
    with open_folder(out, CONFIG, scan.records) as opened:
        return count_videos(opened.missing(scan.records))


def _folder(folder: Path) -> int:
    return len(scan_dataset(folder / "dfdc").records)


def _url(folder: Path) -> int:  # noqa: ARG001 - the files are in memory
    return len(scan_url("memory://bench/dfdc").records)


WORK: dict[str, Callable[[Path], int]] = {
    "manifest": manifest,
    "peer": peer,
    "folder": _folder,
    "url": _url,
    "plan": plan,
    "again": again,
    "reports": reports,
}


def names(number: int) -> list[str]:
    """Names of the videos of a data set like DFDC."""
    return [f"dfdc_train_part_{i * PARTS // number:02d}/{i:010d}.mp4" for i in range(number)]


def tree(number: int) -> list[tuple[str, str]]:
    """Names and contents of the files of a data set like DFDC: empty videos, and the metadata of each part."""
    metadata: dict[str, dict[str, Any]] = {}
    for i, name in enumerate(names(number)):
        part, _, video = name.partition("/")
        about = {"label": "FAKE", "split": "train", "original": f"{i - i % (FAKES + 1):010d}.mp4"}
        metadata.setdefault(part, {})[video] = about if i % (FAKES + 1) else {"label": "REAL", "split": "train"}
    videos = [(name, "") for name in names(number)]
    return videos + [(f"{part}/metadata.json", json.dumps(entries)) for part, entries in metadata.items()]


def write_manifest(path: Path, number: int) -> None:
    """Writes a manifest of URLs."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("path", "label", "split", "method", "target"))
        for i, name in enumerate(names(number)):
            kind = ("fake", "train", "DFDC") if i % (FAKES + 1) else ("real", "train", "")
            table.writerow((f"s3://bucket/DFDC/{name}", *kind, i // (FAKES + 1)))


def write_reports(folder: Path, number: int) -> None:
    """Writes a plan, and the reports of all its shards."""
    if not (folder / "videos.csv").exists():
        write_manifest(folder / "videos.csv", number)
    out = folder / "shards"
    with open_folder(out, CONFIG, scan_dataset(folder / "videos.csv").records) as opened:
        for task in opened.missing(scan_dataset(folder / "videos.csv").records):
            videos = tuple(
                VideoReport.of(record, frames=300, tracks=1, chunks=SAMPLES, images=32 * SAMPLES, seconds=6.5)
                for record in task.records
            )
            samples = tuple(
                SampleSpan(f"{record.key}-00-{chunk:04d}", 512, 512, 32, 0)
                for record in task.records
                for chunk in range(SAMPLES)
            )
            tar = ShardFile(f"{task.name}.tar", 0, "")
            (out / tar.name).touch()
            (out / f"{task.name}.json").write_bytes(ShardReport(task.name, videos, samples, (tar,), 104.0).to_json())


def _fill_memory(number: int) -> None:
    import fsspec

    files = fsspec.filesystem("memory")
    for name, text in tree(number):
        files.pipe_file(f"/bench/dfdc/{name}", text.encode())


def targets(rows: Sequence[dict[str, Any]]) -> list[Figure]:
    """The figures of the benchmarks page."""
    by = {(row["stage"], row["records"]): row for row in rows}
    found = []
    planned = [row for row in rows if row["stage"] == "plan"]
    if planned:
        last = planned[-1]
        number = f"{last['records']:,} records"
        full = last["records"] >= RECORDS[-1]
        limits = (4_000.0, 120.0) if full else (None, None)
        found += [
            Figure(f"listing and planning, {number}: peak memory", last["megabytes"], "MB", at_most=limits[0]),
            Figure(f"listing and planning, {number}: processor time", last["seconds"], "s", at_most=limits[1]),
            Figure(
                "listing and planning, time per record: most / fewest records",
                last["microseconds_per_record"] / planned[0]["microseconds_per_record"],
                "x",
                at_most=1.5,
            ),
        ]
    both = [number for stage, number in by if stage == "peer" and ("manifest", number) in by]
    if both:
        most = max(both)
        mine, theirs = by["manifest", most], by["peer", most]
        found += [
            Figure(f"manifest / csv.DictReader, {most:,} records: {what}", mine[column] / theirs[column], "x")
            for what, column in (("memory", "megabytes"), ("time", "seconds"))
        ]
    for stage in ("folder", "url", "again", "reports"):
        measured = [row for row in rows if row["stage"] == stage]
        if measured:
            name, last = LABELS[stage], measured[-1]
            found += [
                Figure(f"{name}, {last['records']:,} records: time per record", last["microseconds_per_record"], "us"),
                Figure(f"{name}, {last['records']:,} records: peak memory", last["megabytes"], "MB"),
            ]
    return found


LABELS = {
    "manifest": "reading a manifest",
    "peer": "csv.DictReader",
    "folder": "scanning a folder",
    "url": "scanning a URL",
    "plan": "manifest and planning",
    "again": "manifest and reading the plan",
    "reports": f"reading reports of {VIDEOS_PER_SHARD} videos",
}


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draws time and memory over the number of records."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    made, axes = plt.subplots(1, 2, figsize=(9, 3.8))
    for panel, column, unit in zip(
        axes, ("seconds", "megabytes"), ("processor time, s", "peak memory, MB"), strict=True
    ):
        for stage in STAGES:
            mine = [row for row in rows if row["stage"] == stage and row[column] > 0]
            panel.plot([row["records"] for row in mine], [row[column] for row in mine], "o-", ms=3, label=LABELS[stage])
        panel.set(xscale="log", yscale="log", xlabel="records", ylabel=unit)
        panel.grid(visible=True, alpha=0.3)
    axes[0].axhline(120, color="grey", lw=0.8, ls="--")
    axes[1].axhline(4_000, color="grey", lw=0.8, ls="--")
    axes[0].legend(fontsize=7)
    made.tight_layout()
    made.savefig(path, dpi=110)
    plt.close(made)


if __name__ == "__main__":
    main()
