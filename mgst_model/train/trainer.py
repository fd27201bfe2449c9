"""The training loop: schedules, saves, resumes and validates. It is independent of the task."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any, cast

import torch
from lightning.fabric import Fabric
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from torchmetrics.classification import BinaryAUROC

from mgst_data.core import ConfigMismatchError, MgstError, Segment, UsageError, generator_for, seed_for
from mgst_data.shards import SegmentBatch
from mgst_model.networks.checkpoint import BEST, NetworkCard, save_network
from mgst_model.networks.output import SegmentOutput
from mgst_model.networks.temporal import PATCH
from mgst_model.networks.trained_videos import TrainedVideos
from mgst_model.train.clock import Clock
from mgst_model.train.data import Loader
from mgst_model.train.experiment import TrainConfig
from mgst_model.train.launch import lost_processes_named, make_fabric
from mgst_model.train.optim import climbed, learning_rate, make_optimizer, set_learning_rate
from mgst_model.train.signals import lost_readers_named, stop_requests, workers_deaf_to_stopping
from mgst_model.train.state import STEPS, VALIDATIONS, TrainFolder, load_state
from mgst_model.train.task import Task, TaskExamples
from mgst_model.train.watcher import StepReport, Stopped, TrainWatcher, Validation

LAST, CURVES = "last", "tensorboard"
# Largest number of characters of a reason in an error message.
_SHOWN = 200


class Trainer:
    """Trains a network of mgst or a custom network.

    Weights are written as safetensors, ``best`` and ``last``. The weights of any network can be read with
    ``network.load_state_dict(safetensors.torch.load_file("runs/mine/best.safetensors"))``. ``load_network``,
    ``load_detector`` and the commands build the network themselves. They only read networks that
    :func:`~mgst_model.networks.build_network` builds and that were trained with a ``card``.

    Args:
        network: Takes frames ``(b, t, 3, h, w)``, RGB in [0, 1]. Returns a :class:`~mgst_model.networks.SegmentOutput`,
            or only logits of segments ``(b,)``, above 0 for fake. Its parts named ``backbone`` and ``guidance``, if
            any, have their own learning-rate factors.
        task: Makes examples and losses: :class:`~mgst_model.train.DetectionTask` or a custom task.
        loaders: Loader of the training and loader of the validation; see :func:`~mgst_model.train.make_loaders`.
            Several loaders of the validation, by name, are validated separately; the means of their AUC and loss
            choose the best weights.
        config: Options of the optimisation. ``init_from`` has no effect here, only in :func:`~mgst_model.train.train`;
            load weights into the network first.
        out: Folder of the training. A training that began there continues.
        fabric: Launched fabric: device, precision and processes. None: the GPU if there is one, else the CPU. For
            several processes, build it first and pass it to the loaders, because each process reads its own share.
        watcher: Receives the progress.
        card: Description of a network that ``build_network`` built; None for a custom network.
        settings: Other options of the training, as plain JSON values, which are written to ``config.json``. A training
            with other settings is not continued.
        videos: The videos of the training, which are written beside the weights.

    Raises:
        UsageError: if an epoch has too few batches.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        loaders: tuple[Loader, Loader | Mapping[str, Loader]],
        config: TrainConfig,
        *,
        out: str | Path = "runs/trainer",
        fabric: Fabric | None = None,
        watcher: TrainWatcher | None = None,
        card: NetworkCard | None = None,
        settings: Mapping[str, Any] | None = None,
        videos: TrainedVideos | None = None,
    ) -> None:
        fabric = fabric or make_fabric(config)
        self.task, self.config, self.fabric, self.card = task, config, fabric, card
        self.out, self.watcher, self.seed = Path(out), watcher or TrainWatcher(), config.seed
        self.settings = {**(settings or {}), "train": asdict(config)}
        self.videos = videos
        self.loader, validation = loaders
        self.validation_loaders = dict(validation) if isinstance(validation, Mapping) else {"": validation}
        self._first_draws = {name: loader.state_dict() for name, loader in self.validation_loaders.items()}
        batches = len(self.loader)
        self.per_epoch = batches // config.accumulate_batches
        if not self.per_epoch:
            hint = f"lower train.accumulate_batches ({config.accumulate_batches}) or raise data.draws_per_video"
            raise UsageError(f"an epoch has {batches} batches, too few for one step", hint=hint)
        self.steps = self.per_epoch * config.epochs
        if isinstance(task, nn.Module):
            task.to(fabric.device)
        self.plain = network
        self.network, self.optimizer = fabric.setup(network, make_optimizer(network, config))
        self.averaged = ModelEmaV3(network, decay=config.ema_decay, use_warmup=True) if config.ema_decay else None
        self.clock = Clock(fabric.device)
        self.step, self.best = 0, Validation(0, 0, auc=-math.inf, loss=math.inf, best=False)
        # AUC and negative loss of the best validations, as many as config.best_of.
        self.reached = [(-math.inf, -math.inf)] * config.best_of
        # The epoch that is trained but whose validation was interrupted.
        self.unvalidated: int | None = None
        # Step of the last validation; 0 if there was none.
        self.validated = 0
        self.folder: TrainFolder | None = None
        self.curves: SummaryWriter | None = None

    @property
    def trained(self) -> nn.Module:
        """The network with the validated and saved weights: averaged weights, unless ``ema_decay`` is 0."""
        return self.plain if self.averaged is None else self.averaged.module

    def train(self) -> Validation:
        """Trains to the end, or continues a training.

        The folder then has ``best`` and ``last`` (weights), ``steps.csv`` and ``validation.csv``, TensorBoard logs and
        the state to continue from. With the same arguments, machine and number of processes, the result on a CPU is
        bit-identical, even if the training was interrupted. With three processes or more, an interruption can change
        the rounding: after its first step, DDP adds the gradients in another order.

        Returns:
            The best validation.

        Raises:
            ConfigMismatchError: if the folder has another training.
            MgstError: if the loss or its gradient is not finite (the error names the chunks of the batch), if a process
                that reads shards was killed, or if another process of the training is lost.
            UsageError: if the processes see different states.
            Stopped: after SIGTERM or SIGINT; the state is saved.
        """
        parameters = sum(parameter.numel() for parameter in self.plain.parameters())
        cuda = [self.fabric.device] if self.fabric.device.type == "cuda" else []
        self.folder = TrainFolder(self.out, self.settings) if self.fabric.is_global_zero else None
        try:
            self.fabric.barrier()
            self._resume()
            self.curves = SummaryWriter(str(self.out / CURVES), purge_step=self.step + 1) if self.folder else None
            self.watcher.begin(steps=self.steps, done=self.step, epochs=self.config.epochs, parameters=parameters)
            with (
                lost_readers_named(),
                stop_requests(self.watcher.stopping) as asked,
                torch.random.fork_rng(devices=cuda),
                lost_processes_named(self.out),
            ):
                if self.unvalidated is not None:
                    self._validate(self.unvalidated, asked)
                    self._save()
                while self._epoch_number() < self.config.epochs:
                    self._epoch(asked)
        finally:
            if self.curves is not None:
                self.curves.close()
            if self.folder is not None:
                self.folder.close()
        return self.best

    def _epoch_number(self) -> int:
        return int(self.loader.state_dict()["epoch"])

    def _epoch(self, asked: threading.Event) -> None:
        epoch = self._epoch_number()
        waiting: list[tuple[SegmentBatch, TaskExamples]] = []
        batches = workers_deaf_to_stopping(self.loader)
        while True:
            with self.clock.phase("data"):
                batch = next(batches, None)
            if batch is None:
                break
            waiting.append((batch, self._examples(batch, len(waiting))))
            if len(waiting) == self.config.accumulate_batches:
                self._step(waiting, epoch)
                waiting = []
                if self._everywhere(asked.is_set()):
                    self._save()
                    raise Stopped
                if self.step % self.config.save_every == 0:
                    self._save()
        if (epoch + 1) % self.config.validate_every == 0 or epoch + 1 == self.config.epochs:
            self._validate(epoch, asked)
        self._save()

    def _examples(self, batch: SegmentBatch, number: int) -> TaskExamples:
        with self.clock.phase("augmentation"):
            generator = generator_for(self.seed, "examples", self.step, number, self.fabric.global_rank)
            return self.task.examples(self._segment(batch), generator, has_mask=batch.has_mask, label=batch.label)

    def _segment(self, batch: SegmentBatch) -> Segment:
        # Frames may be larger than the input of the network: the task may crop and scale them after a blend.
        side = batch.frames.shape[-1] if self.card is None else self.card.size
        return batch.to_segment(self.fabric.device, grid=side // PATCH)

    def _step(self, waiting: list[tuple[SegmentBatch, TaskExamples]], epoch: int) -> None:
        self.network.train()
        # Dropout and similar layers draw from the global generator. It is seeded at every step, to resume exactly.
        torch.manual_seed(seed_for(self.seed, "layers", self.step, self.fabric.global_rank))
        rate = learning_rate(
            self.step,
            steps=self.steps,
            warmup=round(self.config.warmup_epochs * self.per_epoch),
            highest=self.config.lr,
            decay=self.config.decay,
            decay_start=self.config.decay_start,
        )
        set_learning_rate(self.optimizer, rate)
        sums: dict[str, float] = {}
        for number, (batch, examples) in enumerate(waiting):
            last = number == len(waiting) - 1
            with nullcontext() if last else self.fabric.no_backward_sync(self.network):
                parts = self._pass(examples, batch, update=True)
            for name, part in parts.items():
                sums[name] = sums.get(name, 0.0) + part / len(waiting)
        if self.config.sam_radius:
            with climbed(self.network, self.config.sam_radius):
                self._pass(waiting[0][1], waiting[0][0], update=False)
        with self.clock.phase("backward"):
            norm = self._clip()
            # float16 gradients may overflow: the step is then skipped, and the loss scale is reduced.
            if not math.isfinite(norm) and self.config.precision != "16-mixed":
                raise self._not_finite("gradient", norm, [key for batch, _ in waiting for key in batch.keys])
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.step += 1
            self._share_statistics()
            if self.averaged is not None:
                self.averaged.update(self.plain, step=self.step)
        shown = sum(len(examples) for _, examples in waiting)
        self._log(StepReport(self.step, epoch, sums, rate, shown, self.clock.take()))

    def _pass(self, examples: TaskExamples, batch: SegmentBatch, *, update: bool) -> dict[str, float]:
        """Adds the gradients of a batch. Returns the loss and its parts."""
        with self.clock.phase("forward"):
            output = _output_of(self.network, examples.frames)
            if update:
                self.task.update(output, examples, average=self._average)
            parts = self.task.losses(output, examples, epoch=self.step / self.per_epoch, average=self._average)
        with self.clock.phase("backward"):
            self.fabric.backward(parts["total"] / self.config.accumulate_batches)
        # The values are read only now, so that the device has work while the CPU waits for them. They are values of the
        # whole batch: if the loss of one process is not finite, all processes stop, and none waits.
        shared = self._average(torch.stack([part.detach() for part in parts.values()]))
        values = dict(zip(parts, shared.tolist(), strict=True))
        if not math.isfinite(values["total"]):
            raise self._not_finite("loss", values["total"], batch.keys)
        return values

    def _clip(self) -> float:
        """Clips the gradient if requested. Returns its norm before clipping, which is the same in all processes."""
        if self.config.clip_norm:
            norm = self.fabric.clip_gradients(
                self.network, self.optimizer, max_norm=self.config.clip_norm, error_if_nonfinite=False
            )
            return float(cast("Tensor", norm))
        given = [parameter.grad for parameter in self.plain.parameters() if parameter.grad is not None]
        return float(torch.nn.utils.get_total_norm(given))

    def _not_finite(self, name: str, value: float, keys: Sequence[str]) -> MgstError:
        at = f"at step {self.step + 1}, chunks {', '.join(keys)}" if keys else f"after step {self.step}"
        ways = [f"lower train.lr ({self.config.lr:g})"]
        ways += [] if self.config.clip_norm else ["set train.clip_norm=1"]
        ways += [] if self.config.precision == "32-true" else ["set train.precision=32-true"]
        hint = f"{', or '.join(ways)}; the training continues from the last saved state"
        reason = f"non_finite_{name.replace(' ', '_')}"
        return MgstError(f"the {name} is {value} {at}", where=self.out, hint=hint, reason=reason)

    @torch.no_grad()
    def _share_statistics(self) -> None:
        """Copies the running means of batch norms from the first process to all processes.

        They differ after a step. Averaging, validation and resuming need the same values in all processes.
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
        """Validates the averaged weights. If a stop is requested, saves that the validation is still to do.

        Raises:
            Stopped: as soon as any process is asked to stop.
        """
        self.unvalidated = epoch
        network = self.trained.eval()
        parts = [(name, *self._validate_part(network, name, asked)) for name in self.validation_loaders]
        reached, loss = (sum(values) / len(parts) for values in list(zip(*parts, strict=True))[1:])
        better = (reached, -loss) > min(self.reached)
        report = Validation(
            self.step, epoch, reached, loss, better, tuple(parts) if "" not in self._first_draws else ()
        )
        if better:
            self.best, self.reached = report, sorted([*self.reached, (reached, -loss)])[1:]
        self.unvalidated, self.validated = None, self.step
        if self.folder is not None and self.curves is not None:
            row = {"step": self.step, "epoch": epoch, "auc": report.auc, "loss": report.loss, "best": int(better)}
            for name, *values in report.parts:
                row |= {f"{kind}_{name}": value for kind, value in zip(("auc", "loss"), values, strict=True)}
            self.folder.log(VALIDATIONS, row)
            for name, value in row.items():
                if name.startswith(("auc", "loss")):
                    self.curves.add_scalar(f"validation/{name}", value, self.step)
            for name in (LAST, BEST) if better else (LAST,):
                self._write(self.folder.path / name, network, report)
        self.watcher.see(report)

    def _validate_part(self, network: nn.Module, name: str, asked: threading.Event) -> tuple[float, float]:
        """Returns AUC and loss of the loader of this name.

        Raises:
            Stopped: as soon as any process is asked to stop.
        """
        loader = self.validation_loaders[name]
        auc = BinaryAUROC().to(self.fabric.device)
        sums = torch.zeros(2, device=self.fabric.device)
        _count(auc, sums[:0], sums[:0])  # a process may have no validation batch
        loader.load_state_dict(self._first_draws[name])  # the same segments in every validation
        batches = workers_deaf_to_stopping(loader)
        for number in range(self._most(len(loader))):
            if self._everywhere(asked.is_set()):
                self._save()
                raise Stopped
            batch = next(batches, None)
            if batch is None:  # other processes have more batches
                continue
            generator = generator_for(self.seed, "validation", number, self.fabric.global_rank)
            examples = self.task.test_examples(
                self._segment(batch), generator, has_mask=batch.has_mask, label=batch.label
            )
            with self.fabric.autocast():
                output = _output_of(network, examples.frames)
            parts = self.task.losses(output, examples)
            seen = examples.valid.any(dim=1)
            _count(auc, output.logit[seen], examples.label[seen])
            sums[0] += parts["total"].detach() * len(examples)
            sums[1] += len(examples)
        total, count = self._average(sums).tolist()
        reached, loss = float(auc.compute()), total / max(count, 1)
        if not math.isfinite(loss):
            raise self._not_finite("validation loss", loss, ())
        return reached, loss

    def _write(self, path: Path, network: nn.Module, report: Validation) -> None:
        info: dict[str, Any] = {"step": report.step, "validation_auc": report.auc, "validation_loss": report.loss}
        if report.parts:
            info["validation_parts"] = {name: {"auc": auc, "loss": loss} for name, auc, loss in report.parts}
        if self.videos is not None:
            self.videos.save(path)  # before the weights, which must never have the videos of another training
        if self.card is None:
            save_network(path, network, None, frames=None, size=None, info=info | {"settings": self.settings})
        else:
            card = self.card
            save_network(
                path,
                network,
                card.config,
                frames=card.frames,
                size=card.size,
                face_margin=card.face_margin,
                info=info | dict(card.info),
            )

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
            self.folder.save(
                {
                    "step": self.step,
                    "unvalidated": self.unvalidated,
                    "validated": self.validated,
                    "processes": self.fabric.world_size,
                    "best": list(astuple(self.best)),
                    "reached": self.reached,
                    "network": self.plain.state_dict(),
                    "averaged": {} if self.averaged is None else self.averaged.module.state_dict(),
                    "task": self.task.state_dict() if isinstance(self.task, nn.Module) else {},
                    "optimizer": self.optimizer.state_dict(),
                    "precision": self.fabric.strategy.precision.state_dict(),
                    "loader": self.loader.state_dict(),
                }
            )
            self.watcher.saved()
        self.fabric.barrier()

    def _resume(self) -> None:
        # Every process reads the state. Only the first process has the folder, which was checked before.
        state = load_state(self.out)
        found = state["step"] if state else -1
        if self._most(found) != found or self._most(-found) != -found:
            hint = "the folder must be on a file system that all machines share"
            raise UsageError("the processes see different states of the training", where=self.out, hint=hint)
        if state is None:
            if self.folder is not None:
                self.folder.rewind(0, 0)  # killed before the first save
            return
        processes = state.get("processes", self.fabric.world_size)
        if processes != self.fabric.world_size:
            what = f"the number of processes must be {processes}, as before, got {self.fabric.world_size}"
            hint = "steps and learning rates depend on it: use the same number, or choose another output folder (--out)"
            raise ConfigMismatchError(what, where=self.out, hint=hint)
        self.step, self.best, self.unvalidated = state["step"], Validation(*state["best"]), state.get("unvalidated")
        # States of earlier versions have no step of the last validation, and the best validation only.
        self.validated = state.get("validated", self.step)
        self.reached = state.get("reached", [(self.best.auc, -self.best.loss)])
        try:
            self.plain.load_state_dict(state["network"])
        except RuntimeError as error:
            what = f"the state belongs to another network: {' '.join(str(error).split())[:_SHOWN]}"
            raise ConfigMismatchError(what, where=self.out, hint="choose another output folder (--out)") from error
        if self.averaged is not None:
            self.averaged.module.load_state_dict(state["averaged"])
        if isinstance(self.task, nn.Module):
            self.task.load_state_dict(state["task"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state.get("precision"):  # only float16 has this state: the loss scale
            self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.loader.load_state_dict(state["loader"])
        if self.folder is not None:
            self.folder.rewind(self.step, self.validated)
        self.fabric.barrier()

    def _average(self, value: Tensor) -> Tensor:
        if self.fabric.world_size == 1:
            return value
        return cast("Tensor", self.fabric.all_reduce(value.clone(), reduce_op="mean"))

    def _most(self, number: int) -> int:
        """Returns the largest of the numbers of all processes."""
        if self.fabric.world_size == 1:
            return number
        largest = self.fabric.all_reduce(
            torch.tensor(float(number), dtype=torch.float64, device=self.fabric.device), reduce_op="max"
        )
        return int(cast("Tensor", largest))

    def _everywhere(self, stop: bool) -> bool:
        """Whether any process was asked to stop. All processes then stop after the same step."""
        return bool(self._average(torch.tensor(float(stop), device=self.fabric.device)) > 0)


def _output_of(network: nn.Module, frames: Tensor) -> SegmentOutput:
    """Runs the network. Converts logits to a :class:`SegmentOutput` if the network returns only logits.

    Raises:
        TypeError: if the network returns neither.
    """
    output = network(frames)
    if isinstance(output, SegmentOutput):
        return output
    if not isinstance(output, Tensor) or output.shape != frames.shape[:1]:
        given = f"a tensor of shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise TypeError(f"the network must return a SegmentOutput or logits of shape ({len(frames)},), got {given}")
    logit = output.float()
    return SegmentOutput(logit, logit[:, None].expand(frames.shape[:2]), None, None)


def _count(auc: BinaryAUROC, logit: Tensor, label: Tensor) -> None:
    # Passed as probabilities: if all logits of a batch were in [0, 1], the metric would treat them as probabilities.
    auc.update(logit.double().sigmoid(), label.long())
