"""Builds a training from an experiment and a folder of shards."""

from __future__ import annotations

from pathlib import Path

from lightning.fabric import Fabric

from mgst_model.networks.checkpoint import NetworkCard
from mgst_model.train.begin import begin
from mgst_model.train.data import make_loaders, trained_on
from mgst_model.train.experiment import Experiment
from mgst_model.train.task import DetectionTask
from mgst_model.train.trainer import Trainer
from mgst_model.train.watcher import TrainWatcher, Validation


def train(
    experiment: Experiment,
    shards: str | Path,
    out: str | Path,
    *,
    fabric: Fabric,
    watcher: TrainWatcher | None = None,
) -> Validation:
    """Trains the network of an experiment, or continues its training; see :meth:`Trainer.train`.

    Args:
        experiment: Options of the training.
        shards: Folder of shards with the splits train and val, by path or URL.
        out: Folder of the training.
        fabric: Launched fabric: device, precision and processes.
        watcher: Receives the progress.

    Returns:
        The best validation.

    Raises:
        UsageError: if shards, weights or folder do not fit, or the training began with another number of processes.
        MgstError: if the loss or its gradient is not finite; the error names the chunks of the batch.
        Stopped: after SIGTERM or SIGINT; the state is saved.
    """
    return make_trainer(experiment, shards, out, fabric=fabric, watcher=watcher).train()


def make_trainer(
    experiment: Experiment,
    shards: str | Path,
    out: str | Path,
    *,
    fabric: Fabric,
    watcher: TrainWatcher | None = None,
) -> Trainer:
    """Builds the trainer of an experiment.

    Args:
        experiment: Options of the training.
        shards: Folder of shards with the splits train and val, by path or URL.
        out: Folder of the training.
        fabric: Launched fabric: device, precision and processes.
        watcher: Receives the progress.

    Raises:
        UsageError: if shards or weights do not fit.
    """
    # Different spellings of a path must compare equal when a training continues. A URL stays unchanged.
    place = str(shards) if "://" in str(shards) else str(Path(shards))
    data = experiment.data
    loaders = make_loaders(place, data, seed=experiment.train.seed, fabric=fabric)
    info = {
        "shards": place,
        "trained_on": trained_on(place, loaders[0].sampler.reader) if fabric.is_global_zero else {},
        "experiment": experiment.as_dict(),
    }
    return Trainer(
        begin(experiment),
        DetectionTask(data, experiment.augment, experiment.loss, experiment.network),
        loaders,
        experiment.train,
        out=out,
        fabric=fabric,
        watcher=watcher,
        card=NetworkCard(config=experiment.network, frames=data.scored_frames, size=data.size, info=info),
        settings={"shards": place, **experiment.as_dict()},
    )
