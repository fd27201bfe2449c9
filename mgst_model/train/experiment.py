"""What a training depends on, as flat tables that a configuration file fills; they are written beside the weights."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from mgst_data.augment import PRESETS, label_preserving
from mgst_data.core import UsageError
from mgst_model.networks import NetworkConfig

Fakes = Literal["none", "blends", "videos", "both"]
PatchTarget = Literal["change", "boundary"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Which segments are drawn.

    Attributes:
        fakes: What the network learns as fake: "blends" made of real videos, fake "videos", or "both".
        frames: Frames per segment, T.
        test_frames: Frames per segment where videos are scored; 0 for as many as in training.
        stride: Frames of the video from one frame of a segment to the next, in training; scored are consecutive frames.
        size: Side of the frames, pixels.
        batch_size: Segments per process and step that are read; blends come on top.
        draws_per_video: Draws from every video in an epoch, so that long videos do not dominate.
        val_draws_per_video: The same for validation.
        workers: Processes that read shards, for each process that trains; None: as many as the machine has cores for,
            at most 8.
        methods: Only fakes of these methods; all of them by default.
    """

    fakes: Fakes = "blends"
    frames: int = 16
    test_frames: int = 0
    stride: int = 1
    size: int = 224
    batch_size: int = 16
    draws_per_video: int = 8
    val_draws_per_video: int = 4
    workers: int | None = None
    methods: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _one_of("data.fakes", self.fakes, [name for name in get_args(Fakes) if name != NONE])
        for name in ("frames", "stride", "batch_size", "draws_per_video", "val_draws_per_video"):
            _within(f"data.{name}", getattr(self, name), 1, 10**6)
        for name in ("test_frames", "workers"):
            _within(f"data.{name}", getattr(self, name) or 0, 0, 10**6)
        if self.size % 32 or self.size < 32:
            raise UsageError(f"data.size is {self.size}", hint="a multiple of 32 pixels")

    @property
    def scored_frames(self) -> int:
        """Frames per segment where videos are scored."""
        return self.test_frames or self.frames


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """What is done to segments, on the device that trains.

    Attributes:
        blend_preset: Preset of :class:`mgst_data.augment.SelfBlend`.
        donor_p: How likely the source of a blend is another segment of the batch (:class:`mgst_data.augment.Donor`).
        temporal_p: How likely a pseudo-fake gets a temporal inconsistency on top
            (:func:`mgst_data.augment.recipes.temporal_fakes`).
        recipe: Label-preserving augmentations: a name in :data:`mgst_data.augment.RECIPES`; or one in
            :data:`mgst_data.augment.AUGMENTATIONS`, for that alone, with its defaults; or "none". Other packages
            register theirs under the entry points ``mgst_data.recipes`` and ``mgst_data.augmentations``.
    """

    blend_preset: str = "frame_random"
    donor_p: float = 0.0
    temporal_p: float = 0.5
    recipe: str = "train_default"

    def __post_init__(self) -> None:
        _one_of("augment.blend_preset", self.blend_preset, PRESETS)
        if self.recipe != NONE:
            label_preserving(self.recipe, where="augment.recipe")
        _within("augment.donor_p", self.donor_p, 0, 1)
        _within("augment.temporal_p", self.temporal_p, 0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """Weights and constants of the losses of :mod:`mgst_model.losses`.

    Attributes:
        patch_weight: Weight of the patch-temporal loss, lambda_p.
        frame_weight: Weight of the distance-based frame loss, lambda_f.
        ramp_epochs: Epochs over which both weights rise from 0.
        focal_gamma: Focus of the patch loss on what is hard.
        frame_margin: Of the frame loss: cosine distance that a fake frame is pushed to.
        paired_weight: Weight, within the frame loss, of the margin between a fake frame and its twin.
        single_centre: Use the single-centre loss as the frame loss.
        patch_target: What the patch loss learns: whether a forgery "change"s, or the change of its "boundary".
        change_threshold: Mean change of a forgery in a patch, from one frame to the next, that counts as an
            inconsistency; in pixel values, [0, 1].
    """

    patch_weight: float = 1.0
    frame_weight: float = 0.5
    ramp_epochs: float = 1.0
    focal_gamma: float = 2.0
    frame_margin: float = 0.5
    paired_weight: float = 0.0
    single_centre: bool = False
    patch_target: PatchTarget = "change"
    change_threshold: float = 4 / 255

    def __post_init__(self) -> None:
        _one_of("loss.patch_target", self.patch_target, get_args(PatchTarget))
        for name in ("patch_weight", "frame_weight", "ramp_epochs", "focal_gamma", "frame_margin", "paired_weight",
                     "change_threshold"):  # fmt: skip
            _within(f"loss.{name}", getattr(self, name), 0, 10**3)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How long and how fast.

    Attributes:
        epochs: Passes over the videos.
        lr: Highest learning rate, of AdamW.
        backbone_lr_scale: Factor on the learning rate of the network's part ``backbone``, which was trained before.
        guidance_lr_scale: Factor on the learning rate of the network's part ``guidance``, which joins the streams. Its
            gates begin closed: in a short training, of streams that have learnt already, they hardly open at the rate
            that suits the streams (ours).
        weight_decay: Of all but biases and norms.
        warmup_epochs: Epochs over which the learning rate rises; it then falls to 1 % as a cosine.
        clip_norm: Largest norm of the gradient; 0 for no bound.
        accumulate_batches: Batches per step.
        ema_decay: Decay per step of the averaged weights that are validated and kept; 0 for no average. It is smaller
            in the first steps.
        sam_radius: Radius of sharpness-aware minimisation, which costs a second pass; 0 for none.
        precision: "32-true", "bf16-mixed" or "16-mixed".
        seed: Seed of everything that is random.
        save_every: Steps between saved states; every epoch is saved as well.
        validate_every: Epochs between validations; the last one is always validated.
        init_from: Weights of earlier trainings that the network begins with, in place of ``network.pretrained``: of
            the same network; of its spatial stream alone, which the temporal stream then joins; or of each stream
            alone; empty for none. Alone, each stream learns at its own pace: the spatial one sees many more faces for
            the same time as single frames, and the temporal one is cheap, but takes many more steps (ours).
    """

    epochs: int = 20
    lr: float = 1e-4
    backbone_lr_scale: float = 0.3
    guidance_lr_scale: float = 1.0
    weight_decay: float = 0.05
    warmup_epochs: float = 1.0
    clip_norm: float = 1.0
    accumulate_batches: int = 1
    ema_decay: float = 0.9998
    sam_radius: float = 0.0
    precision: Precision = "32-true"
    seed: int = 0
    save_every: int = 500
    validate_every: int = 1
    init_from: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _one_of("train.precision", self.precision, get_args(Precision))
        for name in ("epochs", "accumulate_batches", "save_every", "validate_every"):
            _within(f"train.{name}", getattr(self, name), 1, 10**9)
        for name in ("lr", "backbone_lr_scale", "guidance_lr_scale", "weight_decay", "warmup_epochs", "clip_norm",
                     "sam_radius"):  # fmt: skip
            _within(f"train.{name}", getattr(self, name), 0, 10**6)
        if not 0 <= self.ema_decay < 1:
            raise UsageError(f"train.ema_decay is {self.ema_decay}", hint="at least 0 and below 1")
        if self.sam_radius and self.accumulate_batches > 1:
            what = "train.sam_radius does not go together with train.accumulate_batches"
            raise UsageError(what, hint="use larger batches")
        if self.sam_radius and self.precision == "16-mixed":
            # Its first gradients overflow by design, and a step along them leads nowhere.
            what = "train.sam_radius does not go together with train.precision 16-mixed"
            raise UsageError(what, hint="use bf16-mixed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """All tables of a training."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        if self.augment.temporal_p and self.data.frames == 2 and self.data.fakes != "videos":
            hint = "raise data.frames or use augment.temporal_p=0"
            raise UsageError("augment.temporal_p makes nothing of segments of 2 frames", hint=hint)
        if self.augment.donor_p and self.data.batch_size == 1:
            raise UsageError("augment.donor_p finds no other in a batch of 1", hint="raise data.batch_size")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def _one_of(name: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise UsageError(f"{name} is {value!r}", hint=f"one of {', '.join(known)}")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"{name} is {value}, outside {low} to {high:g}")
