"""Extraction on real clips: speed, quality, memory and steadiness, against the pipeline people use.

    python benchmarks/bench_extract.py                 # everything; results/extract_*.json
    python benchmarks/bench_extract.py --only quality  # one section
    python benchmarks/bench_extract.py --quick         # a smoke run: a few frames of few clips

The clips are a folder with real/ and fake/: --clips, or the environment variable MGST_CLIPS. README.md says what each
section measures.
"""

from __future__ import annotations

import argparse
import os

# Before torch and OpenCV are imported, and inherited by every process: one thread each, so that a core is a core.
os.environ["OMP_NUM_THREADS"] = "1"

import tempfile
import time
from pathlib import Path

from _common import RESULTS, write_result
from extraction import decode, memory, quality, speed, stability
from extraction.clips import Clips, find_clips
from extraction.report import Section
from rich.console import Console
from rich.table import Table

SECTIONS = {module.__name__.rpartition(".")[2]: module for module in (speed, quality, decode, memory, stability)}


def show(sections: dict[str, Section]) -> None:
    """All figures with their targets."""
    table = Table(title="Extraction", title_justify="left")
    for heading in ("section", "figure", "value", "target", "reached"):
        table.add_column(heading, justify="right" if heading in ("value", "target") else "left")
    words = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}
    for name, section in sections.items():
        for figure in section.figures:
            value = f"{figure.value:,.3f}".rstrip("0").rstrip(".")
            table.add_row(name, figure.name, f"{value} {figure.unit}", figure.target, words[figure.reached])
        table.add_section()
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", help="folder with real/ and fake/")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="one section; can be given again")
    parser.add_argument("--quick", action="store_true", help="see that it works; the figures mean little")
    parser.add_argument(
        "--out", type=Path, help="folder of the JSON; results/ by default, a temporary one with --quick"
    )
    options = parser.parse_args()
    try:
        folder = find_clips(options.clips)
    except FileNotFoundError as error:
        parser.error(str(error))
    out = options.out or (Path(tempfile.gettempdir(), "bench_extract") if options.quick else RESULTS)
    sections = {}
    with tempfile.TemporaryDirectory() as scratch:
        clips = Clips(folder, Path(scratch))
        for name in options.only or SECTIONS:
            print(f"-- {name}", flush=True)
            began = time.perf_counter()
            sections[name] = SECTIONS[name].run(clips, quick=options.quick)
            seconds = round(time.perf_counter() - began, 1)
            result = {"quick": options.quick, "seconds": seconds, **sections[name].as_dict()}
            print(f"{write_result(f'extract_{name}', result, folder=out)} after {seconds:.0f} s", flush=True)
    show(sections)


if __name__ == "__main__":
    main()
