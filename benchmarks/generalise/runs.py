"""Trains the rows and scores them. What is finished is not repeated."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mgst_cli.train.progress import train_watcher
from rich.console import Console

from mgst_data.core import ConfigMismatchError, UsageError, seed_for
from mgst_data.shards import Source
from mgst_data.shards.storage import write_atomic
from mgst_model.evaluate.predictions import JSON_NAME, Predictions
from mgst_model.evaluate.score import score_shards
from mgst_model.networks.checkpoint import load_network
from mgst_model.train import make_fabric, train
from mgst_model.train.state import STEPS

from .kit import Kit, Video
from .names import CLIPS, STILLS
from .rows import Row
from .subset import choose

TRAINED = "trained.json"


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training.

    Attributes:
        weights: Its last weights, averaged over the last steps.
        facts: Numbers of people, clips, stills, and real-fake pairs; minutes.
    """

    weights: Path
    facts: Mapping[str, Any]


def training_videos(kit: Kit, row: Row, seed: int) -> tuple[Video, ...]:
    """Returns the videos that a row is trained on: people of the clips first, in an order that depends on the seed.

    A smaller number of people is a part of a larger one.

    Args:
        kit: Clips and stills.
        row: The row.
        seed: Seed of the order of people.

    Raises:
        UsageError: if there are fewer people.
    """
    videos = [video for video in kit.trainable if video[0] in row.sources]
    if row.people is None:
        return tuple(videos)
    random = np.random.default_rng(seed_for(seed, "people"))
    order: list[str] = []
    for folder in (CLIPS, STILLS):
        there = sorted({kit.groups[video] for video in videos if video[0] == folder} - set(order))
        order += [there[i] for i in random.permutation(len(there))]
    if row.people > len(order):
        hint = "lower people, or omit it for all"
        raise UsageError(f"the row {row.name} asks for {row.people} people, there are {len(order)}", hint=hint)
    wanted = set(order[: row.people])
    return tuple(video for video in videos if kit.groups[video] in wanted)


def train_row(kit: Kit, rows: Mapping[str, Row], row: Row, seed: int, out: Path, *, device: str) -> Trained:
    """Trains a row, and before it those that it begins with.

    Args:
        kit: Clips and stills.
        rows: All rows by name.
        row: The row to train.
        seed: Seed of the training and of the choice of people.
        out: Folder of all trainings.
        device: "auto", "cpu" or "cuda".

    Raises:
        ConfigMismatchError: if the row was trained with other options.
        UsageError: if the row asks for too many people.
    """
    first = [train_row(kit, rows, rows[name], seed, out, device=device) for name in row.begin]
    folder = out / row.name / f"seed-{seed}"
    videos = training_videos(kit, row, seed)
    experiment = row.experiment(seed, videos=len(videos), init_from=tuple(str(one.weights) for one in first))
    used = {name: weight for name, weight in row.sources.items() if any(video[0] == name for video in videos)}
    asked = {
        "experiment": experiment.as_dict() | {"train": experiment.as_dict()["train"] | {"init_from": list(row.begin)}},
        "sources": used,
        "videos": sorted(map("/".join, videos)),
        "feed": row.feed,
    }
    network = folder / "network"
    finished = _finished(folder / TRAINED, json.loads(json.dumps(asked)))
    if finished is None:
        places = []
        for name, weight in used.items():
            held = [video[1] for video in kit.of(name, "val", label=0)]
            keys = [video[1] for video in videos if video[0] == name]
            subset = out / "subsets" / f"{row.name}-{seed}" / name
            choose(kit.shards / name, subset, [*keys, *held])
            places.append(Source(name, str(subset), weight))
        fabric = make_fabric(experiment, device=device)
        with train_watcher() as watcher:
            task = None
            if row.feed == "published":
                from .published import PublishedTask

                task = PublishedTask(experiment)
            train(experiment, places, network, fabric=fabric, watcher=watcher, task=task)
        steps, seconds = _steps(network / STEPS)
        finished = {
            "people": len({kit.groups[video] for video in videos}),
            "clips": sum(video[0] == CLIPS for video in videos),
            "stills": sum(video[0] == STILLS for video in videos),
            "pairs": steps * experiment.data.batch_size * experiment.train.accumulate_batches,
            "minutes": round(seconds / 60, 1),
        }
        text = json.dumps({"facts": finished, "asked": asked}, indent=1)
        write_atomic(folder / TRAINED, (text + "\n").encode())
    return Trained(network / "last", finished)


def score_split(kit: Kit, trained: Trained, row: Row, split: str, *, device: str) -> Predictions:
    """Scores the clips of a split. Scores of an earlier run are read.

    Args:
        kit: Clips and stills.
        trained: The training.
        row: Its row.
        split: "val" or "test".
        device: "auto", "cpu" or "cuda".
    """
    folder = trained.weights.parents[1] / split
    if not (folder / JSON_NAME).exists():
        predictions = scored(kit, trained.weights, CLIPS, split, model=row.name, device=device)
        predictions.save(folder)
    return Predictions.load(folder)


def scored(kit: Kit, weights: Path, name: str, split: str, *, model: str = "", device: str) -> Predictions:
    """Scores the videos of a folder and a split.

    Args:
        kit: Clips and stills.
        weights: Path of the weights.
        name: "clips" or "stills".
        split: "val" or "test".
        model: Name of the detector.
        device: "auto", "cpu" or "cuda".
    """
    place = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    found = score_shards(load_network(weights, device=place), str(kit.shards / name), model=model, split=split,
                         device=place)  # fmt: skip
    Console(stderr=True).print(f"scored {len(found)} {name} of {split}")
    return found


def _finished(path: Path, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the facts of a finished training; None if it is not finished.

    Raises:
        ConfigMismatchError: if it was trained with other options.
    """
    if not path.exists():
        return None
    there = json.loads(path.read_text())
    changes = [name for name in asked if there["asked"].get(name) != asked[name]]
    if changes:
        what = f"trained with other values of: {', '.join(_differing(there['asked'], asked))}"
        raise ConfigMismatchError(what, where=path.parent, hint="delete it to train again, or give another --out")
    return dict(there["facts"])


def _differing(was: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    names: list[str] = []
    for key in sorted({*was, *now}):
        pair = (was.get(key), now.get(key))
        if isinstance(pair[0], dict) and isinstance(pair[1], dict):
            names += _differing(*pair, f"{prefix}{key}.")
        elif pair[0] != pair[1]:
            names.append(f"{prefix}{key}".removeprefix("experiment."))
    return names


def _steps(path: Path) -> tuple[int, float]:
    """Returns the number of steps of a training, and their time in seconds."""
    with path.open(newline="") as file:
        rows: Sequence[Mapping[str, str]] = list(csv.DictReader(file))
    return len(rows), sum(float(row[name]) for row in rows for name in row if name.startswith("seconds_"))
