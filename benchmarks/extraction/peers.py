"""Measures the frames per second of other pipelines and of this one, on the same clips and in the same run."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from extraction.clips import GROUPS, Clips
from extraction.pipelines import CenterFace640, DeepfakeBench, Ours, Peer, in_turn
from extraction.report import Figure, Section, alone

# The peers do the same work on every frame, so few frames are enough.
OUR_FRAMES, PEER_FRAMES = 150, 12
PEERS = ("facenet-pytorch", "DeepfakeBench", "CenterFace at 640")
# Ours runs before and after the peers, so that a slow period of the machine shows in its spread.
TURN = ("ours", "ours with centerface", *PEERS, "ours", "ours with centerface")
SIZES = ("512", "720p", "1080p")


def run(clips: Clips, *, quick: bool) -> Section:
    """Measures all pipelines on one core, clip by clip."""
    ours, peers = (24, 2) if quick else (OUR_FRAMES, PEER_FRAMES)
    chosen = [
        (size, name, clips.trimmed(clips.real(name), ours), clips.trimmed(clips.real(name), peers))
        for size in (SIZES[:1] if quick else SIZES)
        for name in (GROUPS[size][:1] if quick else GROUPS[size])
    ]
    rows = alone(one_core, chosen, clips.trimmed(clips.real(GROUPS["256"][0]), 8))
    figures = [
        Figure(
            f"{size}: ours / {peer}, one core",
            statistics.median(row["ours"]["fps"] / row[peer]["fps"] for row in rows if row["size"] == size),
            "x",
        )
        for size in dict.fromkeys(row["size"] for row in rows)
        for peer in (*PEERS, "ours with centerface")
    ]
    shares = (
        Figure(
            f"{name}: crops / frames",
            100 * sum(row[name]["crops"] for row in rows) / sum(row[name]["frames"] for row in rows),
            "%",
        )
        for name in dict.fromkeys(TURN)
    )
    details = {"frames_per_clip": {"ours": ours, "peers": peers}, "turn": TURN, "clips": rows}
    return Section((*figures, *shares), details)


def one_core(clips: list[tuple[str, str, Path, Path]], warm_up: Path) -> list[dict[str, Any]]:
    """Measures every pipeline on every clip, in turn. The time is the processor time of all threads of the process."""
    works: dict[str, Callable[[Path], tuple[int, int]]] = {
        "ours": Ours(),
        "ours with centerface": Ours("centerface"),
        "facenet-pytorch": Peer(),
        "DeepfakeBench": DeepfakeBench(),
        "CenterFace at 640": CenterFace640(),
    }
    for work in works.values():
        work(warm_up)
    rows = []
    for size, name, long, short in clips:
        paths = {pipeline: short if pipeline in PEERS else long for pipeline in works}
        timed = in_turn(works, paths, TURN)
        row: dict[str, Any] = {"clip": name, "size": size, **timed}
        rows.append(row)
        print(f"{size:>6} {name:40}", *(f"{p} {one['fps']:.2f}/s" for p, one in timed.items()), sep="  ", flush=True)
    return rows
