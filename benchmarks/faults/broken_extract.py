"""Extracts folders of broken videos and pictures, each with sound neighbours, in worker processes with limits."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import random
import shutil
import tarfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from multiprocessing import forkserver
from pathlib import Path

import broken_media
import numpy as np
from broken_data import OUTSIDE
from broken_run import Outcome

# Wall-clock seconds for each video, bytes of memory for each worker.
SECONDS, MEMORY = 300.0, 2 * 10**9
WATCHED = "MGST_BROKEN_LOG"
_NEIGHBOURS = ("0first", "zlast")
SUFFIXES = {"videos": (*broken_media.FORMATS,), "pictures": ("png", "jpg", "webp", "tif")}
LAYOUT = {"videos": "folder", "pictures": "images"}


def start_server(log: Path) -> None:
    """Starts the server process from which all workers are forked: it imports the library once, and watches.

    Args:
        log: File for what workers must not do.
    """
    os.environ[WATCHED] = str(log)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    multiprocessing.get_context("forkserver").set_forkserver_preload(["mgst_data.extract", "broken_workers"])
    forkserver.ensure_running()


def run_folder(
    kind: str, numbers: range, seed: int, work: Path, content: Mapping[str, bytes], log: Path
) -> tuple[list[Outcome], list[str]]:
    """Extracts broken files between sound ones.

    Args:
        kind: "videos" or "pictures".
        numbers: Numbers of the files, which are their seeds.
        seed: Seed of the campaign.
        work: Folder for the files and shards.
        content: Sound files by suffix.
        log: File for the outcomes, one JSON object per line.

    Returns:
        Outcomes of the files, and what was lost of the neighbours.
    """
    root, out = work / "set" / "real", work / "out"
    for folder in (work / "set", out):
        shutil.rmtree(folder, ignore_errors=True)
    root.mkdir(parents=True)
    sound = "mp4" if kind == "videos" else "png"
    for name in _NEIGHBOURS:
        (root / f"{name}.{sound}").write_bytes(content[sound])
    made = {}
    for number in numbers:
        draw = random.Random(f"{seed}/{kind}/{number}")
        suffix = draw.choice(SUFFIXES[kind])
        made[f"real/{number:06d}.{suffix}"] = number, *broken_media.make(suffix, content, draw)
    for name, (_, _, data) in made.items():
        (work / "set" / name).write_bytes(data)
    videos, complaint = _extract(work / "set", out, LAYOUT[kind])
    outcomes = []
    for name, (number, mutation, data) in made.items():
        verdict, detail = _verdict(videos.get(name), complaint)
        outcomes.append(Outcome(kind, number, mutation, verdict, detail))
        if verdict == "fault":
            (log.parent / "faults").mkdir(exist_ok=True)
            (log.parent / "faults" / Path(name).name).write_bytes(data)
    with log.open("a") as file:
        file.writelines(json.dumps(asdict(outcome)) + "\n" for outcome in outcomes)
    return outcomes, [*_lost(out, kind), *_outside(work)]


def _extract(source: Path, out: Path, layout: str) -> tuple[dict[str, dict[str, object]], str]:
    """Extracts a data set. Returns the reports by video, and an exception of the run."""
    from mgst_data.datasets import scan_dataset
    from mgst_data.extract import ExtractConfig, extract

    complaint = ""
    try:
        scan = scan_dataset(source, layout=layout)
        extract(scan, ExtractConfig(), out, workers=1, device="cpu", videos_per_shard=1000,
                video_timeout=SECONDS, worker_memory=MEMORY)  # fmt: skip
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        complaint = f"{type(error).__name__}: {error}"
    reports = [json.loads(path.read_bytes()) for path in out.glob("all-*.json")]
    return {video["video"]: video for report in reports for video in report["videos"]}, complaint


def _verdict(video: Mapping[str, object] | None, complaint: str) -> tuple[str, str]:
    if video is None:
        return "fault", f"the run ended: {complaint}" if complaint else "no report"
    if video["reason"] == "internal_error":
        return "fault", str(video["message"])[:300]
    notes = ", ".join(reason for reason, _ in video["notes"])  # type: ignore[attr-defined]
    return ("skipped", str(video["reason"])) if video["status"] == "skipped" else ("accepted", notes)


def _lost(out: Path, kind: str) -> list[str]:
    """Compares the samples of the neighbours with those of the first neighbour ever."""
    found: dict[str, dict[str, bytes]] = {name: {} for name in _NEIGHBOURS}
    for shard in out.glob("*.tar"):
        with tarfile.open(fileobj=io.BytesIO(shard.read_bytes())) as archive:
            for member in archive:
                for name in _NEIGHBOURS:
                    content = archive.extractfile(member)
                    if member.name.startswith(f"real_{name}") or name in member.name.partition(".")[0]:
                        rest = member.name.rsplit("-", 1)[1]
                        if content is not None and not rest.endswith(".json"):
                            found[name][rest] = content.read()
    wanted = _SOUND.setdefault(kind, found[_NEIGHBOURS[0]])
    return [f"{kind}: the neighbour {name} is not complete" for name in found if not _same(kind, found[name], wanted)]


_SOUND: dict[str, dict[str, bytes]] = {}


def _same(kind: str, found: Mapping[str, bytes], wanted: Mapping[str, bytes]) -> bool:
    """Compares two samples. Videos must be identical.

    Pictures of one size pass the networks together, whose results for one of them differ in the last digits with the
    size of the batch. Boxes are stored to a tenth of a pixel: a difference of two tenths is allowed.
    """
    if not wanted or found.keys() != wanted.keys():
        return False
    if kind == "videos":
        return found == wanted
    boxes, expected = (np.load(io.BytesIO(one["0000.boxes.npy"])) for one in (found, wanted))
    return boxes.shape == expected.shape and bool(np.abs(boxes - expected).max() < 0.21)


def _outside(work: Path) -> list[str]:
    """Lists what must not exist."""
    named = [
        Path("/tmp") / OUTSIDE,
        *(path for path in work.iterdir() if path.name not in ("set", "out", "file", "slice.jsonl")),
    ]
    log = Path(os.environ[WATCHED])
    watched = log.read_text().splitlines() if log.exists() else []
    if watched:
        log.write_text("")
    return [*(f"wrote {path}" for path in named if path.exists()), *watched]


def rate(began: float, count: int) -> str:
    """Returns how many files were checked per second, as text."""
    return f"{count} files, {count / max(time.monotonic() - began, 1e-9):.1f} per second"
