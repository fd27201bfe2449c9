"""Stores scores in parts: one network, one folder of shards, one perturbation per part."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mgst_data.augment.compression import FrameCodec
from mgst_data.core import FAKE, REAL, UsageError
from mgst_data.core.devices import choose_device
from mgst_data.core.errors import printable
from mgst_data.shards import ShardCache, ShardFolder, sources_of
from mgst_data.shards.report import latest
from mgst_model.evaluate.plugged import plug_detector
from mgst_model.evaluate.predictions import JSON_NAME, Predictions
from mgst_model.evaluate.score import Disturbance, Tracks, faceless_reports, score_shards
from mgst_model.networks.checkpoint import BEST, CARD, WEIGHTS, load_network, weights_file
from mgst_model.networks.hub import MODEL, HubName, is_hub_name
from mgst_model.networks.scorer import Scorer

# Increase it when the same weights and shards give other scores than before. Parts of older versions are then ignored.
SCORING = 1
PARTS = "parts"
# File names that do not identify a network. The name of the folder is used instead.
_NAMELESS = (BEST, MODEL, "last")


class ScoreWatcher:
    """Receives the progress of scoring. This base class ignores it."""

    def begin(self, todo: int, there: int) -> None:
        """Is called before scoring.

        Args:
            todo: Number of parts to score.
            there: Number of parts that are scored already.
        """

    def turn(self, label: str) -> None:
        """Is called when the next part begins."""

    def saved(self) -> None:
        """Is called when a part is stored."""

    def saw(self, done: int, of: int) -> None:
        """Is called while a part is scored.

        Args:
            done: Number of scored videos of the part.
            of: Number of all videos of the part.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """Options of scoring.

    Attributes:
        split: Only videos of this split; None for all.
        segments: Largest number of segments of a track.
        tracks: "main" or "max".
        seed: Seed of the perturbations.
        batch: Segments per call of the network.
        device: "cpu", "cuda" or "auto".
        cache: Keeps local copies of shards behind URLs; None reads them from their store.
    """

    split: str | None
    segments: int
    tracks: Tracks
    seed: int
    batch: int
    device: str
    cache: ShardCache | None = None


@dataclass(frozen=True, slots=True)
class NamedNetwork:
    """A network with its name and a digest of the files that it was read from.

    Attributes:
        name: Name in tables.
        path: Where it is from.
        digest: Digest of its files; "" for a detector whose weights are not known, which is always scored again.
        loaded: The network.
        weights: Its weights; None for a detector of others.
    """

    name: str
    path: str
    digest: str
    loaded: Scorer
    weights: Path | None = None


@dataclass(frozen=True, slots=True)
class TestSet:
    """A folder of shards with a digest of its reports, which contain the checksums of all shards."""

    __test__ = False  # pytest must not collect it as a test

    location: str
    digest: str


@dataclass(frozen=True, slots=True)
class Part:
    """The scores of one detector on one test set, clean or perturbed. They are stored in one folder."""

    detector: NamedNetwork
    tested: TestSet
    disturbance: Disturbance | None
    folder: Path

    @property
    def exists(self) -> bool:
        """Whether the part has been scored."""
        return (self.folder / JSON_NAME).is_file()

    @property
    def label(self) -> str:
        """Description of the part for people."""
        done = f", {self.disturbance.kind} {self.disturbance.severity}" if self.disturbance else ""
        return f"{self.detector.name}: {printable(Path(self.tested.location).name)}{done}"


def load_detectors(paths: Sequence[str | Path], plugged: Sequence[str] = ()) -> list[NamedNetwork]:
    """Reads networks to the CPU, and makes detectors of others.

    Args:
        paths: Weights, see :func:`mgst_model.networks.checkpoint.read_card`.
        plugged: Places of detectors of others, see :func:`mgst_model.evaluate.plugged.plug_detector`.

    Raises:
        UsageError: if a file cannot be read, or something is given twice; or if a detector does not keep its contract.
    """
    files = [weights_file(path) for path in paths]  # downloaded once
    for given, count in Counter([*(file.resolve() for file in files), *plugged]).items():
        if count > 1:
            option = "--detector" if isinstance(given, str) else "--weights"
            raise UsageError("given more than once", where=given, hint=f"give each {option} once")
    wanted = [_own_name(path, file) for path, file in zip(paths, files, strict=True)]
    wanted += [_plugged_name(place) for place in plugged]
    names = unique_names(wanted, [*files, *map(Path, plugged)])
    found = []
    for name, path, file in zip(names, paths, files, strict=False):
        digest = _digest(file.read_bytes(), file.with_suffix(CARD).read_bytes())
        found.append(NamedNetwork(name, printable(path), digest, load_network(file), file))
    for name, place in zip(names[len(files) :], plugged, strict=True):
        detector = plug_detector(place)
        found.append(NamedNetwork(name, printable(place), detector.digest, detector))
    return found


def open_sets(locations: Sequence[str], split: str | None) -> list[TestSet]:
    """Checks folders of shards before anything is scored.

    Args:
        locations: Folders of shards, by path or URL.
        split: Only videos of this split; None for all.

    Raises:
        UsageError: if a folder is given twice or has no videos in the split, or if all folders together lack real or
            fake videos.
        ShardError: if a report is malformed.
    """
    sources_of(locations)  # raises an error for a folder that is given twice
    sets, labels = [], set[int]()
    for location in locations:
        reports = list(ShardFolder.read(location).reports())
        videos = [video for video in latest(reports).values() if video.chunks]
        chosen = [video.label for video in videos if split in (None, video.split)]
        if not chosen:
            counts = Counter(video.split or "none" for video in videos)
            there = ", ".join(f"{name} ({count:,} videos)" for name, count in sorted(counts.items()))
            hint = (
                f"splits here: {there}; choose one with --split, or use --split all" if counts else "it has no videos"
            )
            raise UsageError(f"no videos in the split {split!r}" if split else "no videos", where=location, hint=hint)
        labels |= set(chosen) | {video.label for video in faceless_reports(location) if split in (None, video.split)}
        sets.append(TestSet(location, _digest(*(report.to_json() for report in reports))))
    for label, name in ((REAL, "real"), (FAKE, "fake")):
        if label not in labels:
            where = ", ".join(locations)
            hint = "metrics need real and fake videos; add a folder of shards, or choose another --split"
            raise UsageError(
                f"no {name} videos" + (f" in the split {split!r}" if split else ""), where=where, hint=hint
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
    """Returns all parts to score. For every detector, the clean videos come first.

    Args:
        detectors: The networks.
        sets: Folders of shards.
        disturbances: Kinds and severities of perturbations.
        scoring: Options of scoring.
        out: Folder that stores the parts.
        codec: Encodes and decodes frames, for the perturbation "h264".
    """
    disturbed = [Disturbance(kind, severity, codec, scoring.seed) for kind, severity in disturbances]
    return [
        Part(detector, tested, disturbance, _folder(detector, tested, disturbance, scoring, out))
        for detector in detectors
        for disturbance in (None, *disturbed)
        for tested in sets
    ]


def missing_parts(parts: Sequence[Part], *, again: bool) -> list[Part]:
    """Returns the parts that are to be scored.

    Args:
        parts: All parts.
        again: Score parts that exist already, too.
    """
    return [part for part in parts if again or not (part.exists and part.detector.digest)]


def score_part(
    detector: NamedNetwork,
    location: str,
    disturbance: Disturbance | None,
    scoring: Scoring,
    device: str,
    *,
    saw: Callable[[int, int], None] = lambda done, of: None,  # noqa: ARG005
) -> Predictions:
    """Scores one detector on one test set, clean or perturbed.

    Args:
        detector: The network.
        location: Folder of shards, by path or URL.
        disturbance: The perturbation; None for clean videos.
        scoring: Options of scoring.
        device: Device of the network. It is on the CPU before and afterwards.
        saw: Called with the number of finished videos and the number of all videos.

    Raises:
        ShardError: if a shard is damaged.
    """
    detector.loaded.network.to(device)
    scored = score_shards(
        detector.loaded,
        location,
        model=detector.name,
        split=scoring.split,
        segments=scoring.segments,
        tracks=scoring.tracks,
        disturbance=disturbance,
        batch=scoring.batch,
        device=device,
        cache=scoring.cache,
        saw=saw,
    )
    detector.loaded.network.to("cpu")  # only one network at a time uses the memory of the device
    return scored


def make_parts(parts: Sequence[Part], scoring: Scoring, watcher: ScoreWatcher, *, again: bool) -> None:
    """Scores the parts that do not exist yet, or all parts again.

    Args:
        parts: Parts to score.
        scoring: Options of scoring.
        watcher: Receives the progress.
        again: Score parts that exist already, too.

    Raises:
        UsageError: if the device does not exist.
        ShardError: if a shard is damaged.
        OutputError: if scores cannot be written.
    """
    todo = missing_parts(parts, again=again)
    watcher.begin(len(todo), len(parts) - len(todo))
    device = choose_device(scoring.device) if todo else "cpu"
    for part in todo:
        watcher.turn(part.label)
        scored = score_part(part.detector, part.tested.location, part.disturbance, scoring, device, saw=watcher.saw)
        scored.save(part.folder)
        watcher.saved()


def gather(parts: Sequence[Part], scoring: Scoring) -> Predictions:
    """Merges the parts of one detector and one perturbation.

    Args:
        parts: Parts of the same detector and perturbation.
        scoring: Options of scoring.

    Raises:
        UsageError: if a video is in several parts, or a file is damaged.
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
    # A single folder needs no name.
    names = [source.name for source in sources_of([part.tested.location for part in parts])] if parts[1:] else [""]
    videos = (replace(video, source=name) for name, part in zip(names, loaded, strict=True) for video in part.videos)
    try:
        return Predictions(detector.name, tuple(videos), info)
    except ValueError as error:
        where = ", ".join(part.tested.location for part in parts)
        raise UsageError(str(error), where=where, hint="give folders that share no video") from error


def unique_names(wanted: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Returns unique names of detectors: the preferred names, extended by the end of the path where they are equal.

    Args:
        wanted: Preferred name for each path.
        paths: Paths of the detectors, all different.
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
    """Converts a name to a part of a file name: letters, digits, dots and dashes."""
    return re.sub(r"[^\w.-]+", "_", name).lstrip(".") or "_"


def _own_name(given: str | Path, file: Path) -> str:
    """Returns the name of weights in tables: of a repository, its own name without that of its owner."""
    if is_hub_name(given):
        return HubName.of(given).repo.partition("/")[2]
    stem = file.name.removesuffix(WEIGHTS)
    return printable(file.resolve().parent.name if stem in _NAMELESS else stem) or stem


def _plugged_name(place: str) -> str:
    """Returns the name of a detector of others: that of its entry point, module or file."""
    where = place.rpartition(":")[0]
    if not where:
        return place
    return printable(Path(where).stem if where.endswith(".py") else where.rpartition(".")[2])


def _folder(
    detector: NamedNetwork, tested: TestSet, disturbance: Disturbance | None, scoring: Scoring, out: Path
) -> Path:
    """Returns the folder of a part. Its name depends on everything that the scores depend on."""
    about: list[object] = [
        SCORING,
        detector.digest or detector.path,
        tested.digest,
        scoring.split,
        scoring.segments,
        scoring.tracks,
    ]
    name = [file_name(printable(Path(tested.location).name))]
    if disturbance:
        about += [disturbance.kind, disturbance.severity, disturbance.seed]
        name += [disturbance.kind, str(disturbance.severity)]
    return out / PARTS / "-".join([*name, _digest(json.dumps(about).encode())])


def _digest(*contents: bytes) -> str:
    # Each content is hashed separately first, so that bytes that move to the next content change the digest.
    each = b"".join(hashlib.blake2b(content, digest_size=16).digest() for content in contents)
    return hashlib.blake2b(each, digest_size=8).hexdigest()
