"""Scores of networks on shards, kept on disk in parts: one network, one folder, one perturbation."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgst_data.augment.compression import FrameCodec
from mgst_data.core import FAKE, REAL, UsageError
from mgst_data.core.devices import choose_device
from mgst_data.core.errors import printable
from mgst_data.shards import ShardFolder
from mgst_data.shards.report import latest
from mgst_model.evaluate.predictions import JSON_NAME, Predictions
from mgst_model.evaluate.score import Disturbance, Tracks, faceless_reports, score_shards
from mgst_model.networks.checkpoint import BEST, CARD, WEIGHTS, LoadedNetwork, load_network, weights_file

# Raise it when the same weights and shards give other scores than before: parts of older versions are then not taken.
SCORING = 1
PARTS = "parts"
# Names that say nothing: the folder's is taken.
_NAMELESS = (BEST, "last")


class ScoreWatcher:
    """Is told how far scoring has come; this one takes no notice."""

    def begin(self, todo: int, there: int) -> None:
        """So many parts are to be scored, so many are there already."""

    def turn(self, label: str) -> None:
        """The next part begins."""

    def saw(self, done: int, of: int) -> None:
        """So many videos of the part are done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """How videos are scored.

    Attributes:
        split: Only its videos; None for all.
        segments: Of a track, at most.
        tracks: "main" or "max".
        seed: Of perturbations.
        batch: Segments per call of the network.
        device: "cpu", "cuda" or "auto".
    """

    split: str | None
    segments: int
    tracks: Tracks
    seed: int
    batch: int
    device: str


@dataclass(frozen=True, slots=True)
class NamedNetwork:
    """A network under its name, with a digest of the files that it was read from."""

    name: str
    path: str
    digest: str
    loaded: LoadedNetwork


@dataclass(frozen=True, slots=True)
class TestSet:
    """A folder of shards, with a digest of its reports: they hold the checksums of all shards."""

    __test__ = False  # no test, whatever pytest thinks of the name

    location: str
    digest: str


@dataclass(frozen=True, slots=True)
class Part:
    """What one detector says of one test set, as it is or perturbed: scored at once, and kept."""

    detector: NamedNetwork
    tested: TestSet
    disturbance: Disturbance | None
    folder: Path

    @property
    def exists(self) -> bool:
        """Whether it has been scored."""
        return (self.folder / JSON_NAME).is_file()

    @property
    def label(self) -> str:
        """What it is, for people."""
        done = f", {self.disturbance.kind} {self.disturbance.severity}" if self.disturbance else ""
        return f"{self.detector.name}: {printable(Path(self.tested.location).name)}{done}"


def load_detectors(paths: Sequence[Path]) -> list[NamedNetwork]:
    """Reads networks, onto the CPU.

    Raises:
        UsageError: if one cannot be read, or is given twice.
    """
    files = [weights_file(path) for path in paths]
    for file, count in Counter(file.resolve() for file in files).items():
        if count > 1:
            raise UsageError("is given more than once", where=file, hint="give each --weights once")
    loaded = [load_network(path) for path in paths]
    names = unique_names([_own_name(file) for file in files], files)
    digests = [_digest(file.read_bytes(), file.with_suffix(CARD).read_bytes()) for file in files]
    return [
        NamedNetwork(name, printable(path), digest, one)
        for name, path, digest, one in zip(names, paths, digests, loaded, strict=True)
    ]


def open_sets(locations: Sequence[str], split: str | None) -> list[TestSet]:
    """Looks at folders of shards before anything is scored.

    Raises:
        UsageError: if one has no videos in the split, or all together have only real or only fake ones.
        ShardError: if a report is malformed.
    """
    sets, labels = [], set[int]()
    for location in locations:
        reports = list(ShardFolder.read(location).reports())
        videos = [video for video in latest(reports).values() if video.chunks]
        chosen = [video.label for video in videos if split in (None, video.split)]
        if not chosen:
            counts = Counter(video.split or "none" for video in videos)
            there = ", ".join(f"{name} ({count:,} videos)" for name, count in sorted(counts.items()))
            hint = f"its splits: {there}; choose with --split, or --split all" if counts else "it has no videos at all"
            raise UsageError(
                f"has no videos in the split {split!r}" if split else "no videos", where=location, hint=hint
            )
        labels |= set(chosen) | {video.label for video in faceless_reports(location) if split in (None, video.split)}
        sets.append(TestSet(location, _digest(*(report.to_json() for report in reports))))
    for label, name in ((REAL, "real"), (FAKE, "fake")):
        if label not in labels:
            where = ", ".join(locations)
            hint = "figures take both; add a folder of shards, or choose another --split"
            raise UsageError(
                f"there are no {name} videos" + (f" in the split {split!r}" if split else ""), where=where, hint=hint
            )
    return sets


def parts_of(
    detectors: Iterable[NamedNetwork],
    sets: Sequence[TestSet],
    disturbances: Sequence[tuple[str, int]],
    scoring: Scoring,
    out: Path,
    *,
    codec: FrameCodec | None = None,
) -> list[Part]:
    """All that has to be scored; of every detector the clean videos first.

    Args:
        detectors: The networks.
        sets: Folders of shards.
        disturbances: Kinds and severities of perturbations.
        scoring: How videos are scored.
        out: Folder that the parts are kept in.
        codec: What codes and decodes frames, for the perturbation "h264".
    """
    disturbed = [Disturbance(kind, severity, codec, scoring.seed) for kind, severity in disturbances]
    return [
        Part(detector, tested, disturbance, _folder(detector, tested, disturbance, scoring, out))
        for detector in detectors
        for disturbance in (None, *disturbed)
        for tested in sets
    ]


def make_parts(parts: Sequence[Part], scoring: Scoring, watcher: ScoreWatcher, *, again: bool) -> None:
    """Scores what is not there yet, or everything anew.

    Raises:
        UsageError: if there is no such device.
        ShardError: if a shard is damaged.
        OutputError: if scores cannot be written.
    """
    todo = [part for part in parts if again or not part.exists]
    watcher.begin(len(todo), len(parts) - len(todo))
    device = choose_device(scoring.device) if todo else "cpu"
    for part in todo:
        network = part.detector.loaded.network
        network.to(device)
        watcher.turn(part.label)
        scored = score_shards(
            part.detector.loaded,
            part.tested.location,
            model=part.detector.name,
            split=scoring.split,
            segments=scoring.segments,
            tracks=scoring.tracks,
            disturbance=part.disturbance,
            batch=scoring.batch,
            device=device,
            saw=watcher.saw,
        )
        scored.save(part.folder)
        network.to("cpu")  # so that one network at a time takes the device's memory


def gather(parts: Sequence[Part], scoring: Scoring) -> Predictions:
    """Parts of one detector and perturbation, put together.

    Raises:
        UsageError: if a video is in several of them, or a file is damaged.
    """
    detector = parts[0].detector
    loaded = [Predictions.load(part.folder) for part in parts]
    info: dict[str, Any] = {
        **loaded[0].info,
        "shards": [printable(part.tested.location) for part in parts],
        "split": scoring.split or "all",
        "weights": detector.path,
        "weights_digest": detector.digest,
    }
    try:
        return Predictions(detector.name, tuple(video for part in loaded for video in part.videos), info)
    except ValueError as error:
        where = ", ".join(part.tested.location for part in parts)
        raise UsageError(str(error), where=where, hint="give folders that share no video") from error


def unique_names(wanted: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Names for detectors: those wanted, or as much of the end of their paths as tells them apart.

    Args:
        wanted: One for each path.
        paths: No two alike.
    """
    names = list(wanted)
    depth = 2
    while clashing := {name for name, count in Counter(map(file_name, names)).items() if count > 1}:
        for i, path in enumerate(paths):
            if file_name(names[i]) in clashing:
                parts = [printable(part) for part in path.resolve().with_suffix("").parts[1:]]
                names[i] = "-".join(parts[-depth:]) if depth <= len(parts) else f"{'-'.join(parts)}-{i + 1}"
        depth += 1
    return names


def file_name(name: str) -> str:
    """A name as part of a file's name: letters, digits, dots and dashes."""
    return re.sub(r"[^\w.-]+", "_", name).lstrip(".") or "_"


def _own_name(file: Path) -> str:
    stem = file.name.removesuffix(WEIGHTS)
    return printable(file.resolve().parent.name if stem in _NAMELESS else stem) or stem


def _folder(
    detector: NamedNetwork, tested: TestSet, disturbance: Disturbance | None, scoring: Scoring, out: Path
) -> Path:
    """Where a part is kept; its name depends on everything that its scores depend on."""
    about: list[object] = [SCORING, detector.digest, tested.digest, scoring.split, scoring.segments, scoring.tracks]
    name = [file_name(printable(Path(tested.location).name))]
    if disturbance:
        about += [disturbance.kind, disturbance.severity, disturbance.seed]
        name += [disturbance.kind, str(disturbance.severity)]
    return out / PARTS / "-".join([*name, _digest(json.dumps(about).encode())])


def _digest(*contents: bytes) -> str:
    # Each by itself first, so that what moves from one to the next is a difference.
    each = b"".join(hashlib.blake2b(content, digest_size=16).digest() for content in contents)
    return hashlib.blake2b(each, digest_size=8).hexdigest()
