"""The options of a training, as flat tables that a configuration file sets. They are stored next to the weights."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from mgst_data.augment import PRESETS, label_preserving
from mgst_data.augment.geometric import MARGIN_LIMITS
from mgst_data.core import UsageError
from mgst_model.networks import NetworkConfig

Fakes = Literal["none", "blends", "videos", "both"]
BlendAt = Literal["input", "native"]
PatchTarget = Literal["change", "boundary"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
OptimizerName = Literal["adamw", "sgd"]
Decay = Literal["cosine", "linear"]
NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Options of the segments.

    Attributes:
        fakes: What the network learns as fake: "blends" that are made from real videos, fake "videos", or "both".
        frames: Number of frames T of a segment.
        test_frames: Number of frames of a segment for scoring; 0 for the same number as in training.
        stride: Video frames from one frame of a segment to the next, in training. Scoring uses consecutive frames.
        size: Side of the frames, in pixels, at least 32; a multiple of 32 except with ``network.kind=image``.
        face_margin: Margin around the face box in validation and scoring, relative to its width or height
            (:class:`mgst_data.augment.FaceCrop`); 0.125 in self-blended images. None for the whole crops of the shards.
        batch_size: Segments that each process reads per step. Blends are added to them.
        draws_per_video: Segments that are sampled from every video per epoch. The same number for all videos, so that
            long videos do not dominate.
        val_draws_per_video: The same for validation.
        workers: Reading processes per training process; None for a number that fits the cores, at most 8.
        methods: Only fakes of these methods; () for all.

    Raises:
        UsageError: if an option is unknown or out of range.
    """

    fakes: Fakes = "blends"
    frames: int = 16
    test_frames: int = 0
    stride: int = 1
    size: int = 224
    face_margin: float | None = None
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
        _within("data.size", self.size, 32, 4096)
        if self.face_margin is not None:
            _within("data.face_margin", self.face_margin, *MARGIN_LIMITS)

    @property
    def scored_frames(self) -> int:
        """Number of frames of a segment for scoring."""
        return self.test_frames or self.frames


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """Options of the augmentation, which runs on the training device.

    Attributes:
        blend_preset: Preset of :class:`mgst_data.augment.SelfBlend`.
        blend_at: "input" blends frames of ``data.size``. "native" blends the crops of the shards at their own
            resolution; the recipe follows, and then crop and scaling (``data.face_margin``). Published code blends at
            native resolution: scaling down before the blend would remove most of its traces.
        face_margin_range: Margins of the face crop in training, drawn for each side, if ``data.face_margin`` is given.
        donor_p: Probability that the source of a blend is another segment of the batch
            (:class:`mgst_data.augment.Donor`); None for that of the preset.
        temporal_p: Probability that a pseudo-fake also gets a temporal inconsistency
            (:func:`mgst_data.augment.recipes.temporal_fakes`).
        recipe: Label-preserving augmentations. Either a name in :data:`mgst_data.augment.RECIPES`; or a name in
            :data:`mgst_data.augment.AUGMENTATIONS` for one augmentation with its defaults; or "none". Other packages
            can register theirs under the entry points ``mgst_data.recipes`` and ``mgst_data.augmentations``.

    Raises:
        UsageError: if an option is unknown or out of range.
    """

    blend_preset: str = "frame_random"
    blend_at: BlendAt = "input"
    face_margin_range: tuple[float, float] = (0.05, 0.2)
    donor_p: float | None = None
    temporal_p: float = 0.5
    recipe: str = "train_default"

    def __post_init__(self) -> None:
        _one_of("augment.blend_preset", self.blend_preset, PRESETS)
        if self.recipe != NONE:
            label_preserving(self.recipe, where="augment.recipe")
        _one_of("augment.blend_at", self.blend_at, get_args(BlendAt))
        for margin in self.face_margin_range:
            _within("augment.face_margin_range", margin, *MARGIN_LIMITS)
        if self.face_margin_range[0] > self.face_margin_range[1]:
            raise UsageError(f"augment.face_margin_range must ascend, got {self.face_margin_range}")
        _within("augment.donor_p", self.donor_p or 0, 0, 1)
        _within("augment.temporal_p", self.temporal_p, 0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """Weights and constants of the losses in :mod:`mgst_model.losses`.

    Attributes:
        patch_weight: Weight lambda_p of the patch-level temporal loss.
        frame_weight: Weight lambda_f of the distance-based frame loss.
        ramp_epochs: Epochs over which both weights rise from 0.
        focal_gamma: Exponent of the patch loss; a higher value focuses it on difficult patches.
        frame_margin: Margin of the frame loss: cosine distance at which fake frames have no loss.
        paired_weight: Weight, within the frame loss, of the margin between a fake frame and its paired real frame.
        single_centre: Whether the frame loss is the single-centre loss.
        patch_target: Target of the patch loss: "change" for patches in which the manipulation changes, "boundary" for
            the change of the blending boundary.
        change_threshold: Smallest mean change of a manipulation in a patch, from one frame to the next, that counts as
            an inconsistency; in pixel values, [0, 1].

    Raises:
        UsageError: if an option is unknown or out of range.
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
    """Options of the optimisation.

    Attributes:
        epochs: Passes over the videos.
        optimizer: "adamw", or "sgd" with momentum.
        momentum: Momentum of "sgd", [0, 1); no effect on "adamw".
        lr: Highest learning rate.
        backbone_lr_scale: Learning-rate factor of the part ``backbone`` of the network, which is pre-trained.
        guidance_lr_scale: Learning-rate factor of the part ``guidance`` of the network, which connects the streams. Its
            initial output is 0. In a short training that starts from trained streams, it hardly changes at the rate
            that suits the streams. This factor is our own addition for that case.
        weight_decay: Weight decay of all parameters except biases and norms.
        warmup_epochs: Epochs over which the learning rate rises.
        decay: How the learning rate then falls to 1 %: along a "cosine" or "linear".
        decay_start: Share of all steps after which the learning rate falls, [0, 1]; before, it is constant.
        clip_norm: Largest norm of the gradient; 0 for no limit.
        accumulate_batches: Batches per step.
        ema_decay: Decay per step of the averaged weights, which are validated and saved; 0 for no average. It is
            smaller in the first steps.
        sam_radius: Radius of sharpness-aware minimisation, which needs a second pass; 0 for none.
        precision: "32-true", "bf16-mixed" or "16-mixed".
        seed: Seed of all random numbers.
        save_every: Steps between saved states. A state is also saved after every epoch.
        validate_every: Epochs between validations. The last epoch is always validated.
        best_of: ``best`` has the latest of this number of best validations. With 1, it is the best one. Above 1, it is
            a later one among similar ones: published code of self-blended images takes the latest of five.
        init_from: Weights of earlier trainings that replace ``network.pretrained``; empty for none. Either weights of
            the same network; or of its spatial stream alone, to which the temporal stream is added; or of both streams,
            each trained alone. Separate training is our own design: the spatial stream sees many more faces in the same
            time when it is trained on single frames, and the temporal stream is cheap, but needs many more steps.

    Raises:
        UsageError: if an option is unknown or out of range, or if two options cannot be combined.
    """

    epochs: int = 20
    optimizer: OptimizerName = "adamw"
    momentum: float = 0.9
    lr: float = 1e-4
    backbone_lr_scale: float = 0.3
    guidance_lr_scale: float = 1.0
    weight_decay: float = 0.05
    warmup_epochs: float = 1.0
    decay: Decay = "cosine"
    decay_start: float = 0.0
    clip_norm: float = 1.0
    accumulate_batches: int = 1
    ema_decay: float = 0.9998
    sam_radius: float = 0.0
    precision: Precision = "32-true"
    seed: int = 0
    save_every: int = 500
    validate_every: int = 1
    best_of: int = 1
    init_from: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, known in (("precision", Precision), ("optimizer", OptimizerName), ("decay", Decay)):
            _one_of(f"train.{name}", getattr(self, name), get_args(known))
        for name in ("epochs", "accumulate_batches", "save_every", "validate_every", "best_of"):
            _within(f"train.{name}", getattr(self, name), 1, 10**9)
        for name in ("lr", "backbone_lr_scale", "guidance_lr_scale", "weight_decay", "warmup_epochs", "clip_norm",
                     "sam_radius"):  # fmt: skip
            _within(f"train.{name}", getattr(self, name), 0, 10**6)
        _within("train.decay_start", self.decay_start, 0, 1)
        for name in ("ema_decay", "momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"train.{name} must be in [0, 1), got {getattr(self, name)}")
        if self.sam_radius and self.accumulate_batches > 1:
            what = "train.sam_radius and train.accumulate_batches cannot be combined"
            raise UsageError(what, hint="use larger batches")
        if self.sam_radius and self.precision == "16-mixed":
            # The first gradients of 16-mixed overflow by design, so a step along them is useless.
            what = "train.sam_radius and train.precision 16-mixed cannot be combined"
            raise UsageError(what, hint="use bf16-mixed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """All tables of options of a training.

    Raises:
        UsageError: if options of different tables cannot be combined.
    """

    network: NetworkConfig = field(default_factory=NetworkConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        if self.network.kind == "parallel" and self.data.size % 32:
            raise UsageError(f"data.size must be a multiple of 32, got {self.data.size}")
        if self.augment.temporal_p and self.data.frames == 2 and self.data.fakes != "videos":
            hint = "raise data.frames or use augment.temporal_p=0"
            raise UsageError("augment.temporal_p has no effect on segments of 2 frames", hint=hint)
        if self.augment.blend_at == "native" and self.data.face_margin is None:
            hint = "use data.face_margin=0.125"
            raise UsageError("augment.blend_at=native needs data.face_margin, to scale the blends", hint=hint)
        if self.augment.donor_p and self.data.batch_size == 1:
            raise UsageError(
                "augment.donor_p needs a batch of at least 2 segments, got 1", hint="raise data.batch_size"
            )

    def as_dict(self) -> dict[str, Any]:
        """Returns the options as plain values for JSON."""
        return asdict(self)


def _one_of(name: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise UsageError(f"{name} must be one of {', '.join(known)}, got {value!r}")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"{name} must be in [{low}, {high:g}], got {value}")
