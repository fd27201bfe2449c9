"""The training loop: schedules, saves, resumes, validates; knows nothing of what is learnt."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import astuple
from pathlib import Path
from typing import Any, cast

import torch
from lightning.fabric import Fabric
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from torchmetrics.classification import BinaryAUROC

from mgst_data.core import ConfigMismatchError, MgstError, UsageError, generator_for, seed_for
from mgst_data.shards import SegmentBatch
from mgst_model.networks.checkpoint import BEST, save_network
from mgst_model.networks.output import SegmentOutput
from mgst_model.train.begin import begin
from mgst_model.train.clock import Clock
from mgst_model.train.config import Experiment
from mgst_model.train.data import TRAIN, VAL, make_loader, open_split, trained_on
from mgst_model.train.optim import climbed, learning_rate, parameter_groups, set_learning_rate
from mgst_model.train.signals import stop_requests, workers_deaf_to_stopping
from mgst_model.train.state import STEPS, VALIDATIONS, TrainFolder, load_state
from mgst_model.train.task import DetectionTask, Examples
from mgst_model.train.watcher import StepReport, Stopped, TrainWatcher, Validation

LAST, CURVES = "last", "tensorboard"


def train(
    experiment: Experiment,
    shards: str | Path,
    out: str | Path,
    *,
    fabric: Fabric,
    watcher: TrainWatcher | None = None,
) -> Validation:
    """Trains, or goes on with a training, to its end; returns its best validation.

    The folder then holds ``best`` and ``last`` (weights), ``steps.csv`` and ``validation.csv``, TensorBoard's curves
    and the state to go on from. With the same experiment, shards, machine and number of processes, the result is the
    same to the bit on a CPU, also if the training was stopped in between.

    Args:
        experiment: What to train, and how.
        shards: Folder of shards with the splits train and val, by path or URL.
        out: Folder of the training.
        fabric: Launched; device, precision and processes.
        watcher: Is told of every step.

    Raises:
        UsageError: if shards, weights or folder do not fit, or the training was begun in more or fewer processes.
        MgstError: if the loss or its gradient is no number any more; with the chunks of the batch.
        Stopped: after SIGTERM or SIGINT; the state is saved.
    """
    # One place has one name, however it is written; a URL stays as it is.
    place = str(shards) if "://" in str(shards) else str(Path(shards))
    return _Training(experiment, place, Path(out), fabric, watcher or TrainWatcher()).run()


class _Training:
    def __init__(self, experiment: Experiment, shards: str, out: Path, fabric: Fabric, watcher: TrainWatcher) -> None:
        self.experiment, self.fabric, self.watcher = experiment, fabric, watcher
        self.config, self.seed = experiment.train, experiment.train.seed
        self.shards = shards
        data = experiment.data
        world: dict[str, Any] = {"rank": fabric.global_rank, "world": fabric.world_size}
        world["pin"] = fabric.device.type == "cuda"
        reader = open_split(shards, data, TRAIN)
        self.loader = make_loader(reader, data, seed=self.seed, training=True, **world)
        self.validation_loader = make_loader(
            open_split(shards, data, VAL), data, seed=self.seed, training=False, **world
        )
        self.trained_on = trained_on(shards, reader) if fabric.is_global_zero else {}
        self.batches = len(self.loader)  # of an epoch
        self.per_epoch = self.batches // self.config.accumulate
        if not self.per_epoch:
            hint = f"lower train.accumulate ({self.config.accumulate}) or raise data.per_video ({data.per_video})"
            raise UsageError(f"an epoch has {self.batches} batches, too few for a step", where=shards, hint=hint)
        self.steps = self.per_epoch * self.config.epochs
        network = begin(experiment)
        self.task = DetectionTask(data, experiment.augment, experiment.loss, experiment.network).to(fabric.device)
        optimizer = torch.optim.AdamW(parameter_groups(network, self.config), lr=self.config.lr)
        self.plain = network
        self.network, self.optimizer = fabric.setup(network, optimizer)
        self.averaged = ModelEmaV3(network, decay=self.config.ema, use_warmup=True) if self.config.ema else None
        self.clock = Clock(fabric.device)
        self.step, self.best = 0, Validation(0, 0, auc=-math.inf, loss=math.inf, best=False)
        # An epoch that was trained, and whose validation was stopped.
        self.unvalidated: int | None = None
        self.curves: SummaryWriter | None = None
        # Only now that everything could be built is the folder begun.
        self.folder = TrainFolder(out, experiment, shards) if fabric.is_global_zero else None
        try:
            fabric.barrier()
            self._resume(out)
            self.curves = SummaryWriter(str(out / CURVES), purge_step=self.step + 1) if self.folder else None
        except BaseException:
            self._close()
            raise

    def run(self) -> Validation:
        parameters = sum(parameter.numel() for parameter in self.plain.parameters())
        cuda = [self.fabric.device] if self.fabric.device.type == "cuda" else []
        try:
            self.watcher.begin(steps=self.steps, done=self.step, epochs=self.config.epochs, parameters=parameters)
            with stop_requests(self.watcher.stopping) as asked, torch.random.fork_rng(devices=cuda):
                if self.unvalidated is not None:
                    self._validate(self.unvalidated, asked)
                    self._save()
                while self.loader.sampler.epoch < self.config.epochs:
                    self._epoch(asked)
        finally:
            self._close()
        return self.best

    def _close(self) -> None:
        if self.curves is not None:
            self.curves.close()
        if self.folder is not None:
            self.folder.close()

    def _epoch(self, asked: threading.Event) -> None:
        epoch = self.loader.sampler.epoch
        waiting: list[tuple[SegmentBatch, Examples]] = []
        batches = workers_deaf_to_stopping(self.loader)
        while True:
            with self.clock.phase("data"):
                batch = next(batches, None)
            if batch is None:
                break
            waiting.append((batch, self._examples(batch, len(waiting))))
            if len(waiting) == self.config.accumulate:
                self._step(waiting, epoch)
                waiting = []
                if self._everywhere(asked.is_set()):
                    self._save()
                    raise Stopped
                if self.step % self.config.save == 0:
                    self._save()
        if (epoch + 1) % self.config.validate == 0 or epoch + 1 == self.config.epochs:
            self._validate(epoch, asked)
        self._save()

    def _examples(self, batch: SegmentBatch, number: int) -> Examples:
        with self.clock.phase("augmentation"):
            generator = generator_for(self.seed, "examples", self.step, number, self.fabric.global_rank)
            return self.task.examples(
                batch.to_segment(self.fabric.device, grid=self.experiment.data.size // 16),
                generator,
                has_mask=batch.has_mask,
            )

    def _step(self, waiting: list[tuple[SegmentBatch, Examples]], epoch: int) -> None:
        self.network.train()
        # Layers that drop things draw from the global generator, which is set anew for every step, to resume exactly.
        torch.manual_seed(seed_for(self.seed, "layers", self.step, self.fabric.global_rank))
        rate = learning_rate(
            self.step,
            steps=self.steps,
            warmup=round(self.config.warmup * self.per_epoch),
            highest=self.config.lr,
        )
        set_learning_rate(self.optimizer, rate)
        sums: dict[str, float] = {}
        for number, (batch, examples) in enumerate(waiting):
            last = number == len(waiting) - 1
            with nullcontext() if last else self.fabric.no_backward_sync(self.network):
                parts = self._pass(examples, batch, update=True)
            for name, part in parts.items():
                sums[name] = sums.get(name, 0.0) + part / len(waiting)
        if self.config.sam:
            with climbed(self.network, self.config.sam):
                self._pass(waiting[0][1], waiting[0][0], update=False)
        with self.clock.phase("backward"):
            norm = self._clip()
            # In float16 some overflow: that step is left out, and the next losses are scaled by less.
            if not math.isfinite(norm) and self.config.precision != "16-mixed":
                raise self._not_finite("gradient", norm, [key for batch, _ in waiting for key in batch.keys])
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.step += 1
            self._share_statistics()
            if self.averaged is not None:
                self.averaged.update(self.plain, step=self.step)
        self._log(StepReport(self.step, epoch, sums, rate, _segments(waiting), self.clock.take()))

    def _pass(self, examples: Examples, batch: SegmentBatch, *, update: bool) -> dict[str, float]:
        """Adds the gradients of a batch; returns the loss and its parts."""
        ramp_steps = self.experiment.loss.ramp * self.per_epoch
        ramp = min(1.0, self.step / ramp_steps) if ramp_steps else 1.0
        with self.clock.phase("forward"):
            output: SegmentOutput = self.network(examples.frames)
            if update:
                self.task.update(output, examples, average=self._average)
            parts = self.task.losses(output, examples, ramp=ramp, average=self._average)
        # Of the whole batch: every process sees a loss that is no number in any of them, and none waits for another.
        shared = self._average(torch.stack([part.detach() for part in parts.values()]))
        values = dict(zip(parts, shared.tolist(), strict=True))
        if not math.isfinite(values["total"]):
            raise self._not_finite("loss", values["total"], batch.keys)
        with self.clock.phase("backward"):
            self.fabric.backward(parts["total"] / self.config.accumulate)
        return values

    def _clip(self) -> float:
        """Bounds the gradient, where asked for; returns its norm before, the same in all processes."""
        if self.config.clip:
            norm = self.fabric.clip_gradients(
                self.network, self.optimizer, max_norm=self.config.clip, error_if_nonfinite=False
            )
            return float(cast("Tensor", norm))
        given = [parameter.grad for parameter in self.plain.parameters() if parameter.grad is not None]
        return float(torch.nn.utils.get_total_norm(given))

    def _not_finite(self, name: str, value: float, keys: Sequence[str]) -> MgstError:
        at = f"at step {self.step + 1}, of chunks {', '.join(keys)}" if keys else f"after step {self.step}"
        ways = [f"lower train.lr ({self.config.lr:g})"]
        ways += [] if self.config.clip else ["set train.clip=1"]
        ways += [] if self.config.precision == "32-true" else ["set train.precision=32-true"]
        hint = f"{', or '.join(ways)}; it continues from the last saved state"
        reason = f"non_finite_{name.replace(' ', '_')}"
        return MgstError(f"the {name} is {value} {at}", where=self.shards, hint=hint, reason=reason)

    @torch.no_grad()
    def _share_statistics(self) -> None:
        """Gives every process the running means of batch norms that the first one has.

        Each has its own after a step; averaged, validated and resumed from, they are to be the same everywhere.
        """
        running = [buffer for buffer in self.plain.buffers() if buffer.is_floating_point()]
        if self.fabric.world_size == 1 or not running:
            return
        flat = torch.cat([buffer.flatten() for buffer in running])
        torch.distributed.broadcast(flat, src=0)
        for buffer, values in zip(running, torch.split(flat, [buffer.numel() for buffer in running]), strict=True):
            buffer.copy_(values.view_as(buffer))

    @torch.no_grad()
    def _validate(self, epoch: int, asked: threading.Event) -> None:
        """Measures the averaged weights; where a stop is asked for, saves that this is still to be done.

        Raises:
            Stopped: as soon as any process is asked to stop.
        """
        self.unvalidated = epoch
        network = self.averaged.module if self.averaged is not None else self.plain
        network.eval()
        auc = BinaryAUROC().to(self.fabric.device)
        sums = torch.zeros(2, device=self.fabric.device)
        _count(auc, sums[:0], sums[:0])  # a process may have nothing to validate
        sampler = self.validation_loader.sampler
        sampler.epoch = sampler.position = 0  # the same draws every time
        batches = workers_deaf_to_stopping(self.validation_loader)
        for number in range(self._most(len(self.validation_loader))):
            if self._everywhere(asked.is_set()):
                self._save()
                raise Stopped
            batch = next(batches, None)
            if batch is None:  # other processes have more of them
                continue
            generator = generator_for(self.seed, "validation", number, self.fabric.global_rank)
            segment = batch.to_segment(self.fabric.device, grid=self.experiment.data.size // 16)
            examples = self.task.test_examples(segment, generator, has_mask=batch.has_mask)
            with self.fabric.autocast():
                output: SegmentOutput = network(examples.frames)
            parts = self.task.losses(output, examples)
            seen = examples.valid.any(dim=1)
            _count(auc, output.logit[seen], examples.label[seen])
            sums += torch.stack((parts["total"].detach() * len(examples), parts["total"].new_tensor(len(examples))))
        total, count = self._average(sums).tolist()
        reached, loss = float(auc.compute()), total / max(count, 1)
        if not math.isfinite(loss):
            raise self._not_finite("validation loss", loss, ())
        better = (reached, -loss) > (self.best.auc, -self.best.loss)
        report = Validation(self.step, epoch, reached, loss, better)
        self.best = report if better else self.best
        self.unvalidated = None
        if self.folder is not None and self.curves is not None:
            row = {"step": self.step, "epoch": epoch, "auc": report.auc, "loss": report.loss, "best": int(better)}
            self.folder.log(VALIDATIONS, row)
            self.curves.add_scalar("validation/auc", report.auc, self.step)
            self.curves.add_scalar("validation/loss", report.loss, self.step)
            for name in (LAST, BEST) if better else (LAST,):
                self._write(self.folder.path / name, network, report)
        self.watcher.see(report)

    def _write(self, path: Path, network: nn.Module, report: Validation) -> None:
        data = self.experiment.data
        info = {
            "step": report.step,
            "validation_auc": report.auc,
            "validation_loss": report.loss,
            "shards": self.shards,
            "trained_on": self.trained_on,
            "experiment": self.experiment.as_dict(),
        }
        save_network(path, network, self.experiment.network, frames=data.scored_frames, size=data.size, info=info)

    def _log(self, report: StepReport) -> None:
        if self.folder is not None and self.curves is not None:
            seconds = {f"seconds_{name}": round(value, 6) for name, value in report.seconds.items()}
            row = {"step": report.step, "epoch": report.epoch, "rate": report.rate, **report.losses, **seconds}
            self.folder.log(STEPS, row)
            for name, value in report.losses.items():
                self.curves.add_scalar(f"loss/{name}", value, report.step)
            self.curves.add_scalar("rate", report.rate, report.step)
        self.watcher.see(report)

    def _save(self) -> None:
        if self.folder is not None:
            averaged = self.averaged.module.state_dict() if self.averaged is not None else {}
            self.folder.save(
                {
                    "step": self.step,
                    "unvalidated": self.unvalidated,
                    "processes": self.fabric.world_size,
                    "best": list(astuple(self.best)),
                    "network": self.plain.state_dict(),
                    "averaged": averaged,
                    "task": self.task.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "precision": self.fabric.strategy.precision.state_dict(),
                    "loader": self.loader.state_dict(),
                }
            )
        self.fabric.barrier()

    def _resume(self, out: Path) -> None:
        # Every process reads the state; only the first one has the folder, whose check came before.
        state = load_state(out)
        if state is None:
            return
        processes = state.get("processes", self.fabric.world_size)
        if processes != self.fabric.world_size:
            what = f"trained in {processes} processes, not in {self.fabric.world_size}"
            hint = "steps and learning rates depend on it: ask for as many again, or choose another output folder"
            raise ConfigMismatchError(what, where=out, hint=hint)
        self.step, self.best, self.unvalidated = state["step"], Validation(*state["best"]), state.get("unvalidated")
        self.plain.load_state_dict(state["network"])
        if self.averaged is not None:
            self.averaged.module.load_state_dict(state["averaged"])
        self.task.load_state_dict(state["task"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state.get("precision"):  # of float16 alone: the scale of the loss
            self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.loader.load_state_dict(state["loader"])
        if self.folder is not None:
            self.folder.rewind(self.step)
        self.fabric.barrier()

    def _average(self, value: Tensor) -> Tensor:
        if self.fabric.world_size == 1:
            return value
        return cast("Tensor", self.fabric.all_reduce(value.clone(), reduce_op="mean"))

    def _most(self, number: int) -> int:
        """The largest of the numbers that the processes have."""
        if self.fabric.world_size == 1:
            return number
        largest = self.fabric.all_reduce(torch.tensor(float(number), device=self.fabric.device), reduce_op="max")
        return int(cast("Tensor", largest))

    def _everywhere(self, stop: bool) -> bool:
        """Whether any process is to stop: all of them do so after the same step."""
        return bool(self._average(torch.tensor(float(stop), device=self.fabric.device)) > 0)


def _segments(waiting: list[tuple[SegmentBatch, Examples]]) -> int:
    return sum(len(examples) for _, examples in waiting)


def _count(auc: BinaryAUROC, logit: Tensor, label: Tensor) -> None:
    # As probabilities: the metric takes a batch of logits for such if they all happen to lie in [0, 1].
    auc.update(logit.double().sigmoid(), label.long())
