"""Builds a training from an experiment and a folder of shards."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, cast

from lightning.fabric import Fabric

from mgst_data.core.errors import MgstWarning
from mgst_data.shards import SegmentLoader, ShardCache, sources_of
from mgst_data.shards.contributions import Contribution, contributions
from mgst_data.shards.sources import Places
from mgst_model.networks.checkpoint import NetworkCard
from mgst_model.networks.trained_videos import TRAINED, KnownVideo, TrainedVideos
from mgst_model.train.begin import begin
from mgst_model.train.data import make_loaders, reports_of, trained_on
from mgst_model.train.experiment import Experiment
from mgst_model.train.state import SOURCES, write_table
from mgst_model.train.task import DetectionTask, Task
from mgst_model.train.trainer import Trainer
from mgst_model.train.watcher import StepReport, Stopped, TrainWatcher, Validation


def train(
    experiment: Experiment,
    shards: Places,
    out: str | Path,
    *,
    fabric: Fabric,
    watcher: TrainWatcher | None = None,
    task: Task | None = None,
    cache: ShardCache | None = None,
) -> Validation:
    """Trains the network of an experiment, or continues its training; see :meth:`Trainer.train`.

    With several sources, ``sources.csv`` in the folder of the training says what each has contributed.

    Args:
        experiment: Options of the training.
        shards: Folder of shards with the splits train and val, by path or URL; or several folders, as paths or as
            :class:`mgst_data.shards.Source` with a name and a weight.
        out: Folder of the training.
        fabric: Launched fabric: device, precision and processes.
        watcher: Receives the progress.
        task: Makes the examples and computes the losses; None for :class:`DetectionTask` with the options of the
            experiment.
        cache: Keeps local copies of shards behind URLs; None reads them from their store.

    Returns:
        The best validation.

    Raises:
        UsageError: if shards, weights or folder do not fit, or the training began with another number of processes.
        MgstError: if the loss or its gradient is not finite; the error names the chunks of the batch.
        Stopped: after SIGTERM or SIGINT; the state is saved.
    """
    watcher = watcher or TrainWatcher()
    trainer = make_trainer(experiment, shards, out, fabric=fabric, watcher=watcher, task=task, cache=cache)
    sampler = cast("SegmentLoader", trainer.loader).sampler
    if len(sampler.reader.sources) == 1:
        return trainer.train()
    trainer.watcher = _SourcesFirst(watcher, contributions(sampler, epochs=1))

    def report() -> None:
        made = contributions(sampler, epochs=sampler.epoch, position=sampler.position)
        watcher.sources(made, planned=False)
        if fabric.is_global_zero:
            write_table(Path(out, SOURCES), [_row(one) for one in made])

    try:
        best = trainer.train()
    except Stopped:
        report()
        raise
    report()
    return best


class _SourcesFirst(TrainWatcher):
    """Reports the planned contributions when the training begins: then its folder and its options are checked.

    Args:
        watcher: Receives everything.
        planned: Contributions to the first epoch.
    """

    def __init__(self, watcher: TrainWatcher, planned: list[Contribution]) -> None:
        self._watcher, self._planned = watcher, planned

    def begin(self, **known: int) -> None:
        """Passes the numbers on, and reports the contributions."""
        self._watcher.begin(**known)
        self._watcher.sources(self._planned, planned=True)

    def see(self, report: StepReport | Validation) -> None:
        """Passes a report on."""
        self._watcher.see(report)

    def saved(self) -> None:
        """Passes on that the state was saved."""
        self._watcher.saved()

    def stopping(self) -> None:
        """Passes the request to stop on."""
        self._watcher.stopping()


def make_trainer(
    experiment: Experiment,
    shards: Places,
    out: str | Path,
    *,
    fabric: Fabric,
    watcher: TrainWatcher | None = None,
    task: Task | None = None,
    cache: ShardCache | None = None,
) -> Trainer:
    """Builds the trainer of an experiment.

    Args:
        experiment: Options of the training.
        shards: Folder of shards with the splits train and val, by path or URL; or several folders.
        out: Folder of the training.
        fabric: Launched fabric: device, precision and processes.
        watcher: Receives the progress.
        task: Makes the examples and computes the losses; None for :class:`DetectionTask` with the options of the
            experiment.
        cache: Keeps local copies of shards behind URLs; None reads them from their store.

    Raises:
        UsageError: if shards or weights do not fit.
    """
    sources = sources_of(shards)
    data = experiment.data
    loaders = make_loaders(sources, data, seed=experiment.train.seed, fabric=fabric, cache=cache)
    places: dict[str, Any] = {"shards": sources[0].location}
    if len(sources) > 1:
        places = {"sources": {one.name: {"shards": one.location, "weight": one.weight} for one in sources}}
    first = fabric.is_global_zero
    info = {
        **places,
        "trained_on": trained_on(loaders[0].sampler.reader) if first else {},
        "experiment": experiment.as_dict(),
    }
    return Trainer(
        begin(experiment),
        task or DetectionTask(data, experiment.augment, experiment.loss, experiment.network),
        loaders,
        experiment.train,
        out=out,
        fabric=fabric,
        watcher=watcher,
        card=NetworkCard(
            config=experiment.network,
            frames=data.scored_frames,
            size=data.size,
            info=info,
            face_margin=data.face_margin,
        ),
        settings={**places, **experiment.as_dict()},
        videos=_videos_of(*loaders) if first else None,
    )


def _videos_of(training: SegmentLoader, validation: SegmentLoader | dict[str, SegmentLoader]) -> TrainedVideos:
    """Returns the videos of a training. Warns of files that are both trained and validated on, in different folders."""
    loaders = list(validation.values()) if isinstance(validation, dict) else [validation]
    train = tuple(map(KnownVideo.of, reports_of(training.sampler.reader)))
    val = {KnownVideo.of(video): video for loader in loaders for video in reports_of(loader.sampler.reader)}
    videos = TrainedVideos(train, tuple(val))
    found = ((video, videos.find(video)) for video in val)
    both = [(video, same[1]) for video, same in found if same and same[0] == TRAINED]
    if both:
        one, other = both[0]
        what = f"{len(both):,} validation videos are also trained on, for example {one.key} as {other.key}"
        warnings.warn(f"{what} (the validation is too good: remove them from a split)", MgstWarning, stacklevel=2)
    return videos


def _row(one: Contribution) -> dict[str, Any]:
    return {
        "source": one.source.name,
        "shards": one.source.location,
        "weight": one.source.weight,
        **{name: getattr(one, name) for name in Contribution.__slots__ if name != "source"},
    }
