"""Scores shards, and computes metrics from the scores: protocols, evaluations, robustness."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import click

from mgst_data.core import UsageError
from mgst_data.core.errors import printable
from mgst_data.core.locations import is_url
from mgst_data.shards.outputs import OutputFolder
from mgst_data.shards.remote_files import local_copy
from mgst_data.video.h264 import encode_h264
from mgst_model.evaluate.cache import (
    NamedNetwork,
    Scoring,
    TestSet,
    file_name,
    gather,
    make_parts,
    parts_of,
    unique_names,
)
from mgst_model.evaluate.joined import read_scores
from mgst_model.evaluate.leakage import Leakage
from mgst_model.evaluate.predictions import JSON_NAME, Level, Missing, Predictions
from mgst_model.evaluate.protocols import Evaluation, Protocol, evaluate, protocols_of
from mgst_model.evaluate.reliable import measure_reliability
from mgst_model.evaluate.results import Results
from mgst_model.evaluate.robustness import Robustness
from mgst_model.networks.hub import HubName, is_hub_name

from ..common.inputs import beside
from ..common.tables import preset_file, read_part
from .progress import score_watcher
from .show import write_results

SAVED = "predictions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """Options of the metrics; see :func:`mgst_model.evaluate.protocols.evaluate`.

    Attributes:
        level: "video", "segment" or "frame".
        missing: "leave_out" or "half": what happens to videos without a face.
        threshold: A score above it means fake.
        resamples: Bootstrap resamples; 0 for no intervals.
        seed: Seed of the bootstrap.
    """

    level: str
    missing: str
    threshold: float
    resamples: int
    seed: int

    def __call__(self, predictions: Predictions, protocol: Protocol, **changes: Any) -> Evaluation:
        """Computes the metrics of one detector by one protocol.

        Args:
            predictions: Scores of the detector.
            protocol: Groups of videos to compare.
            changes: Options that replace those of this object.
        """
        return evaluate(predictions, protocol, **{**asdict(self), **changes})


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of one detector.

    Attributes:
        clean: Scores of the unperturbed videos.
        disturbed: Scores of the perturbed videos, by kind and severity.
    """

    clean: Predictions
    disturbed: dict[str, dict[int, Predictions]] = field(default_factory=dict)


def check(
    shards: Sequence[str],
    weights: Sequence[str | Path],
    plugged: Sequence[str],
    predictions: Sequence[str | Path],
    *,
    robustness: bool,
    narrowed: bool,
    scoring: Sequence[str],
) -> None:
    """Checks that the arguments can be combined.

    Args:
        shards: Folders of shards.
        weights: Files or folders of weights.
        plugged: Places of detectors of others.
        predictions: Folders of saved scores, or CSV files, by path or URL.
        robustness: Whether ``--robustness`` is given.
        narrowed: Whether ``--kind`` or ``--severity`` is given.
        scoring: The given options that affect scoring, such as "--segments".

    Raises:
        UsageError: if a required argument is missing, or two arguments exclude each other.
    """
    if narrowed and not robustness:
        raise UsageError("--kind and --severity need --robustness", hint="add --robustness")
    detectors = [*weights, *plugged]
    tables = [path for path in predictions if str(path).lower().endswith(".csv")]
    if tables and not shards:
        raise UsageError("missing SHARDS", where=tables[0], hint="shards have the labels and groups of the videos")
    if len(tables) < len(predictions) and (shards or detectors or robustness):
        given = "shards" if shards else "--weights" if weights else "--detector" if plugged else "--robustness"
        hint = "mgst-eval reuses scores in --out without --predictions"
        raise UsageError(f"--predictions FOLDER and {given} cannot be combined", hint=hint)
    if predictions and not detectors and (scoring or robustness):
        hint = "saved scores cannot change; to score again, give SHARDS and --weights"
        raise UsageError(f"{(*scoring, '--robustness')[0]} has no effect with --predictions", hint=hint)
    if not predictions and not (shards and detectors):
        missing = "--weights" if shards else "SHARDS"
        raise UsageError(f"missing {missing}", hint="give SHARDS and --weights or --detector, or --predictions")


def read_protocol(name: str, known: Sequence[str]) -> Protocol:
    """Returns an installed protocol by name, or the protocol of a TOML file.

    Args:
        name: Name of an installed protocol, or path of a ``.toml`` file.
        known: Names of the installed protocols.

    Raises:
        UsageError: if there is no such protocol, or it is not valid.
    """
    if name in known:
        path = preset_file(name, "eval")
    elif name.endswith(".toml"):
        path = Path(name)
    else:
        raise UsageError(f"unknown protocol {name!r}; known: {', '.join(known)}", hint="or give a .toml file")
    return Protocol.of(read_part(path, ("name", "description", "groups")), where=path)


def default_folder(places: Sequence[str | Path]) -> Path:
    """Returns the default of ``--out``: next to a single path; else, as for a repository, in the current folder."""
    (place,) = places if len(places) == 1 else ("",)
    if is_hub_name(place):
        return Path(f"{HubName.of(place).repo.partition('/')[2]}-evaluation")
    return beside(place, "evaluation") if isinstance(place, Path) or is_url(str(place)) else Path("evaluation")


def is_scores(name: str) -> bool:
    """Returns whether a file of an output folder has scores, which a later run reads.

    Args:
        name: Path of the file in the folder.
    """
    return name.endswith(".json")


def check_links(src: Sequence[str | Path], out: str | Path) -> None:
    """Checks that the page can link to the videos of the data sets.

    Args:
        src: Folders of the data sets, by path or URL.
        out: Folder for the results, by path or URL.

    Raises:
        UsageError: if a browser cannot open the links.
    """
    for place in src:
        if is_url(str(place)) and not str(place).startswith(("https://", "http://")):
            what, hint = "a browser cannot open videos at this URL", "give a local folder or an https:// URL"
            raise UsageError(what, where=f"--src {place}", hint=hint)
        if is_url(str(out)) and not is_url(str(place)):
            what = "the page behind a URL cannot link to videos on this machine"
            raise UsageError(what, where=f"--src {place}", hint="omit --src, or give an https:// URL")


def score(
    detectors: Sequence[NamedNetwork],
    sets: Sequence[TestSet],
    out: OutputFolder,
    scoring: Scoring,
    disturbances: Sequence[tuple[str, int]],
    *,
    again: bool,
    leakage: Mapping[str, Leakage],
    elsewhere: Sequence[Predictions] = (),
    make: Callable[..., None] = make_parts,
) -> list[Scored]:
    """Scores shards with every network, and saves the scores of the unperturbed videos.

    Args:
        detectors: The networks.
        sets: The shards.
        out: Folder for the scores.
        scoring: Options of the scoring.
        disturbances: Kind and severity of each perturbation; empty for unperturbed videos only.
        again: Whether to ignore scores of an earlier run.
        leakage: What each network knows of the test videos, by name of the network.
        elsewhere: Scores of other detectors on the same videos.
        make: Makes the parts: :func:`make_parts`, or the same on workers.

    Returns:
        The scores of each network, in the same order, then those from elsewhere.

    Raises:
        MgstError: if something cannot be read, scored or written.
        KeyboardInterrupt: After a line that says how to continue.
    """
    parts = parts_of(detectors, sets, disturbances, scoring, out.path, codec=encode_h264)
    try:
        with score_watcher(out) as watcher:
            make(parts, scoring, watcher, again=again)
    except KeyboardInterrupt:
        there = sum(part.exists for part in parts)
        done = f"{there:,} of {len(parts):,} sets of scores are complete"
        click.echo(f"{done}; run the same command again to continue", err=True)
        raise
    scored = []
    for detector in detectors:
        mine = [part for part in parts if part.detector is detector]
        clean = gather([part for part in mine if part.disturbance is None], scoring)
        one = Scored(leakage[detector.name].mark(clean))
        for kind, severity in disturbances:
            some = [part for part in mine if part.disturbance and part.disturbance.kind == kind]
            some = [part for part in some if part.disturbance and part.disturbance.severity == severity]
            one.disturbed.setdefault(kind, {})[severity] = gather(some, scoring)
        scored.append(one)
    for made in elsewhere:
        name, number = made.model, 2
        while any(file_name(one.clean.model) == file_name(name) for one in scored):
            name, number = f"{made.model}-{number}", number + 1
        scored.append(Scored(replace(made, model=name)))
    for one in scored:
        one.clean.save(out.path / SAVED / file_name(one.clean.model))
    return scored


def read_elsewhere(place: str | Path, shards: Sequence[str], split: str | None) -> Predictions:
    """Reads scores that were made elsewhere, see :func:`mgst_model.evaluate.joined.read_scores`.

    Args:
        place: The CSV file, by path or URL.
        shards: Folders of shards.
        split: Only videos of this split; None for all.
    """
    with local_copy(place) as file:
        return read_scores(file, shards, split, origin=printable(place))


def load_predictions(places: Sequence[str | Path], split: str | None) -> list[Scored]:
    """Reads saved scores.

    Args:
        places: Folders of predictions, or ``--out`` folders of ``mgst-eval``, by path or URL.
        split: Only videos of this split; None for all.

    Returns:
        The scores of each detector. Detectors with the same name get different names.

    Raises:
        UsageError: if a folder has no scores, or they cannot be read.
    """
    with ExitStack() as stack:
        folders = [stack.enter_context(local_copy(place, wanted=is_scores)) for place in places]
        found = list(dict.fromkeys(path.resolve() for folder in folders for path in _saved(folder)))
        loaded = [Predictions.load(path).select(split=split) for path in found]
        for path, one in zip(found, loaded, strict=True):
            if not len(one):
                there = ", ".join(sorted({video.split or "no split" for video in Predictions.load(path).videos}))
                raise UsageError(f"no scores of the split {split!r}", where=path, hint=f"its splits: {there}")
    names = unique_names([one.model for one in loaded], found)
    return [Scored(replace(one, model=name)) for one, name in zip(loaded, names, strict=True)]


def measure(
    scored: Sequence[Scored],
    protocols: Sequence[Protocol],
    measuring: Measuring,
    out: Path,
    *,
    report: bool,
    videos: Sequence[str | Path],
) -> tuple[Results, list[Path]]:
    """Computes the metrics of every detector, and writes the results.

    Args:
        scored: Scores of every detector.
        protocols: Protocols to measure by; if empty, they are made from the data sets and methods of the videos.
        measuring: Options of the metrics.
        out: Folder for the results; must exist.
        report: Whether to write a page.
        videos: Folders of the data sets, by path or URL, for links of the page to the videos.

    Returns:
        The results and the files that were written.

    Raises:
        UsageError: if the scores have no group of a protocol.
        OutputError: if a file cannot be written.
    """
    clean = [one.clean for one in scored]
    if len({frozenset((video.dataset, video.key) for video in one.videos) for one in clean}) > 1:
        click.echo("note: the detectors have not scored the same videos", err=True)
    chosen = tuple(protocols) or protocols_of(video for one in clean for video in one.videos)
    ways: tuple[str, ...] = (measuring.missing,)
    if measuring.level == "video" and any(one.faceless() for one in clean):
        ways += tuple(way for way in ("leave_out", "half") if way != measuring.missing)
    results = Results(
        predictions=clean,
        protocols=chosen,
        ways=cast("tuple[Missing, ...]", ways),
        evaluations={
            (protocol.name, way): [measuring(one, protocol, missing=way) for one in clean]
            for protocol in chosen
            for way in ways
        },
        robustness=[_robustness(one, chosen[0], measuring) for one in scored if one.disturbed],
        level=cast("Level", measuring.level),
        threshold=measuring.threshold,
        resamples=measuring.resamples,
        seed=measuring.seed,
        reliable=measure_reliability(clean, resamples=measuring.resamples, seed=measuring.seed),
    )
    return results, write_results(results, out, report=report, videos=videos)


def _robustness(scored: Scored, protocol: Protocol, measuring: Measuring) -> Robustness:
    """Areas averaged over the groups of the protocol."""

    def area(predictions: Predictions) -> float:
        return measuring(predictions, protocol, resamples=0).average.auc

    return Robustness(
        scored.clean.model,
        area(scored.clean),
        {kind: {at: area(one) for at, one in some.items()} for kind, some in scored.disturbed.items()},
    )


def _saved(folder: Path) -> list[Path]:
    if not folder.is_dir() or (folder / JSON_NAME).is_file():
        return [folder]  # reading it raises the error
    inside = folder / SAVED if (folder / SAVED).is_dir() else folder
    found = sorted(path.parent for path in inside.glob(f"*/{JSON_NAME}"))
    if not found:
        raise UsageError(
            "no predictions in this folder",
            where=printable(folder),
            hint="give the --out folder of an earlier mgst-eval",
        )
    return found
