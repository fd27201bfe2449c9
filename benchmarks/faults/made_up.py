"""An extraction that makes chunks up in place of reading videos: plan, locks, shards, reports and notes are real.

A try takes a tenth of a second, so that most kills hit the code that writes. It is the preload of the fork server, too.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "extract"))

from fakes import FakeExtractor, record_of

from mgst_data.datasets import Note, Scan
from mgst_data.extract import ExtractConfig, extract, job, run
from mgst_data.shards import Part

job.Extractor = FakeExtractor  # type: ignore[misc]
run.Extractor = FakeExtractor  # type: ignore[misc]
# The first part of a key says what happens to the video.
KEYS = ("a", "b", "empty_c", "d", "noface_e", "cut_f", "g", "h", "i")
SCAN = Scan(tuple(map(record_of, KEYS)), (Note("a note", "here", "there"),))


def main() -> None:
    """Runs the extraction: arguments are the folder, the executor, the number of workers, and parts.

    If the first argument is "extract", the arguments are those of ``mgst-data``, and the command itself runs.
    """
    if sys.argv[1] == "extract":
        from mgst_cli.data import main as command

        command()
        return
    out, executor, workers, *parts = sys.argv[1:]
    for part in parts or [""]:
        extract(
            SCAN,
            ExtractConfig(),
            out,
            executor=executor,
            workers=int(workers),
            device="cpu",
            videos_per_shard=2,
            part=Part.parse(part) if part else None,
        )
