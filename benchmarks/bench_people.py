"""Measures how well persons are found: error rates of pairs of pictures, and persons against a table of known identity.

python benchmarks/bench_people.py --work runs/people      # about ten minutes on two idle cores

It writes results/people.json and people.png. It reads ``labels.csv`` in the folder of real clips (``--clips`` or
MGST_CLIPS): still pictures with a column ``person``.
The pictures of the split train choose the threshold; those of val, which are from other sources, check it. File names
give the identities, so one person may have two. Two identities that share a picture (a near-duplicate) are merged, and
pairs of near-duplicates are not counted as pairs of one person.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import RESULTS, write_result

from mgst_data.datasets import scan_dataset
from mgst_data.extract import ExtractConfig, extract
from mgst_data.people import THRESHOLD, FaceEmbedder, cluster, embed_folders, near_duplicates
from mgst_data.shards import ShardFolder, ShardReader
from mgst_data.shards.report import latest

GRID = (0.35, 0.4, 0.42, 0.44, 0.46, 0.48, 0.5, 0.52, 0.54, 0.56, 0.58, 0.6)
SPEED_TRACKS = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("MGST_CLIPS", Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--clips", type=Path, default=Path(default), help="folder with labels.csv")
    parser.add_argument("--work", type=Path, required=True, help="folder for the shards; kept for the next run")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON and the plot")
    options = parser.parse_args()
    figures = run(options.clips, options.work)
    plot(figures, options.out / "people.png")
    print(write_result("people", figures, folder=options.out))


def run(clips: Path, work: Path) -> dict[str, Any]:
    rows = [row for row in csv.DictReader((clips / "labels.csv").read_text().splitlines()) if _is_still(row)]
    work.mkdir(parents=True, exist_ok=True)
    manifest, shards = work / "stills.csv", work / "stills"
    manifest.write_text("path,label\n" + "".join(f"{clips / row['path']},real\n" for row in rows))
    scan = scan_dataset(manifest)
    extract(scan, ExtractConfig(min_frames=1), shards, device="cpu", videos_per_shard=100)
    (faces,) = embed_folders([shards])
    by_path = {str(clips / row["path"]): row for row in rows}
    about = {key: by_path[video.video] for key, video in latest(ShardFolder.read(shards).reports()).items()}
    copies = [copy.videos for copy in near_duplicates([shards])]
    mine = [i for i in range(len(faces)) if faces.main[i] and faces.frames[i]]
    keys = [faces.video[i] for i in mine]
    embedding, split = faces.embedding[mine], np.array([about[key]["split"] for key in keys])
    person = merged([about[key]["person"] for key in keys], keys, copies)
    pairs = {name: pair_errors(embedding, person, keys, copies, split == name) for name in ("train", "val")}
    groups = {
        name: {
            f"{threshold:g}": grouping(embedding[np.flatnonzero(split == name)], person[split == name], threshold)
            for threshold in GRID
        }
        for name in ("train", "val")
    }
    milliseconds = speed(shards)
    return {
        "threshold": THRESHOLD,
        "pictures": len(rows),
        "embedded": len(mine),
        "unclear": sum(not faces.frames[i] for i in range(len(faces)) if faces.main[i]),
        "near_duplicates": len(copies),
        "pairs": pairs,
        "groups": groups,
        "targets": targets(pairs, groups, len(copies), milliseconds),
    }


def _is_still(row: dict[str, str]) -> bool:
    return row["path"].startswith("stills/") and bool(row["person"])


def merged(names: Sequence[str], keys: Sequence[str], copies: Sequence[tuple[str, str]]) -> np.ndarray:
    """The number of the person of each picture; identities that share a picture are one person."""
    person = np.unique(names, return_inverse=True)[1]
    row = {key: i for i, key in enumerate(keys)}
    for first, second in copies:
        if first in row and second in row:
            person[person == person[row[first]]] = person[row[second]]
    return person


def pair_errors(
    embedding: torch.Tensor,
    person: np.ndarray,
    keys: Sequence[str],
    copies: Sequence[tuple[str, str]],
    chosen: np.ndarray,
) -> dict[str, Any]:
    """Rates of false matches and false non-matches of pairs of pictures, by threshold."""
    rows = np.flatnonzero(chosen)
    first, second = np.triu_indices(len(rows), 1)
    apart = torch.cdist(embedding[rows], embedding[rows]).numpy()[first, second]
    same = person[rows][first] == person[rows][second]
    number = {keys[row]: i for i, row in enumerate(rows)}
    places = [sorted((number[a], number[b])) for a, b in copies if a in number and b in number]
    twice = np.isin(first * len(rows) + second, [a * len(rows) + b for a, b in places])
    genuine, impostor = np.sort(apart[same & ~twice]), np.sort(apart[~same])
    at = np.round(np.arange(0.2, 0.8001, 0.01), 2)
    return {
        "persons": len(set(person[rows].tolist())),
        "pairs_of_one_person": len(genuine),
        "pairs_of_two_persons": len(impostor),
        "distance": at.tolist(),
        "false_match_rate": (np.searchsorted(impostor, at, side="right") / len(impostor)).tolist(),
        "false_non_match_rate": (1 - np.searchsorted(genuine, at, side="right") / max(1, len(genuine))).tolist(),
    }


def grouping(embedding: torch.Tensor, person: np.ndarray, threshold: float) -> dict[str, float]:
    """Persons found, and B-cubed precision and recall (Bagga and Baldwin, 1998).

    Recall is over the persons with several pictures: a person with one picture always has recall 1.
    """
    label, _ = cluster(embedding, threshold)
    person = np.unique(person, return_inverse=True)[1]
    members: dict[tuple[int, int], int] = defaultdict(int)
    for pair in zip(label.tolist(), person.tolist(), strict=True):
        members[pair] += 1
    in_group, of_person = np.bincount(label), np.bincount(person)
    shared = np.array([members[pair] for pair in zip(label.tolist(), person.tolist(), strict=True)])
    several = of_person[person] > 1
    return {
        "persons": int((of_person > 0).sum()),
        "found": len(in_group),
        "largest": int(in_group.max()),
        "precision": float((shared / in_group[label]).mean()),
        "recall": float((shared / of_person[person])[several].mean()),
    }


def speed(shards: Path) -> float:
    """Milliseconds of processor time per face, with decoding."""
    reader, embedder = ShardReader.open(shards), FaceEmbedder()
    tracks = [[reader[i]] for i in range(SPEED_TRACKS)]
    embedder(tracks[:2])
    begin = time.process_time()
    frames = sum(count for count, _ in embedder(tracks))
    return 1000 * (time.process_time() - begin) / frames


def targets(pairs: dict[str, Any], groups: dict[str, Any], copies: int, milliseconds: float) -> list[dict[str, Any]]:
    """The figures of the benchmarks page."""
    found = []
    for name, what in (("train", "pictures that the threshold was chosen on"), ("val", "other pictures")):
        at = pairs[name]["distance"].index(THRESHOLD)
        for kind in ("false_match_rate", "false_non_match_rate"):
            title = f"{kind.replace('_', ' ').replace('non match', 'non-match')} at {THRESHOLD:g}, {what}"
            found.append(figure(title, 100 * pairs[name][kind][at], "%"))
        group = groups[name][f"{THRESHOLD:g}"]
        found += [
            figure(f"persons found, {what}", group["found"], f"of {group['persons']:,.0f}"),
            figure(f"B-cubed precision, {what}", 100 * group["precision"], "%"),
            figure(f"B-cubed recall, persons with several pictures, {what}", 100 * group["recall"], "%"),
        ]
    found += [
        figure("near-duplicates among the pictures", copies, "pairs"),
        figure("processor time per embedded face", milliseconds, "ms"),
    ]
    return found


def figure(name: str, value: float, unit: str) -> dict[str, Any]:
    return {"name": name, "value": round(value, 4), "unit": unit, "target": "", "reached": None}


def plot(figures: dict[str, Any], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    made, axes = plt.subplots(figsize=(6.4, 4.2))
    for name, title in (("train", "chosen on"), ("val", "other sources")):
        found = figures["pairs"][name]
        match, miss = np.array(found["false_match_rate"]), np.array(found["false_non_match_rate"])
        shown = match > 0
        counts = f"{found['pairs_of_one_person']:,} and {found['pairs_of_two_persons']:,} pairs"
        (line,) = axes.plot(match[shown], miss[shown], label=f"{title} ({counts})")
        at = found["distance"].index(figures["threshold"])
        axes.plot(match[at], miss[at], "o", color=line.get_color())
    axes.set(xscale="log", xlabel="false match rate", ylabel="false non-match rate", ylim=(0, 1))
    axes.set_title(f"Same person or not; points: distance {figures['threshold']:g}", fontsize=10)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8)
    made.tight_layout()
    made.savefig(path, dpi=110)
    plt.close(made)


if __name__ == "__main__":
    main()
