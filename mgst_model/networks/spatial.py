"""The spatial stream: an image network that runs in three stages, so that guidance can act between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import timm
import torch
from jaxtyping import Float
from timm.models import FeatureListNet
from timm.models.efficientnet import EfficientNetFeatures
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from mgst_data.core.errors import UsageError
from mgst_data.core.registry import Registry
from mgst_model.layers.adapter import Adapter
from mgst_model.networks import weights

# Families of timm whose models are plain vision transformers (CLIP and DINOv2 among them).
VISION_TRANSFORMERS = ("vision_transformer", "deit")
_STRIDES = (8, 16, 32)

Input = Float[Tensor, "n _ _ _"]
Output = Float[Tensor, "n c h w"]
Prefix = Float[Tensor, "n p _"] | None


class StagedBackbone(nn.Module):
    """Base class of backbones: a model in three stages with feature maps between them.

    Args:
        model: The pre-trained model, which has its own learning-rate factor.
        channels: Channels of the feature maps after each of the three stages.
        mean: Mean that is subtracted from RGB in [0, 1].
        std: Standard deviation that RGB is divided by.
        frozen: Whether the model is fixed: no gradient, and normalisation as in evaluation mode.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: nn.Module,
        channels: tuple[int, int, int],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.model = model.requires_grad_(not frozen)
        self.channels = channels
        self.frozen = frozen
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])
        self.train()

    def normalise(self, frames: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
        """Normalises frames in [0, 1] with the statistics of the pre-training."""
        return ((frames - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def stage(self, index: int, features: Input, prefix: Prefix) -> tuple[Output, Prefix]:
        """Runs one of three stages.

        Args:
            index: 0, 1 or 2.
            features: Normalised frames for stage 0; else the feature maps of the previous stage after guidance.
            prefix: Tokens without a place in the frame from the previous stage; None for stage 0.

        Returns:
            Feature maps, and tokens without a place in the frame if the model has such tokens.

        Raises:
            NotImplementedError: if a subclass does not implement it.
        """
        raise NotImplementedError

    def train(self, mode: bool = True) -> StagedBackbone:
        """Sets training mode. A frozen model stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.model.eval()
        return self


class BackboneFactory(Protocol):
    """Builds a backbone."""

    def __call__(self, *, pretrained: str, adapters: int) -> StagedBackbone:
        """Builds the backbone.

        Args:
            pretrained: Source of the weights, see ``pretrained`` of
                :class:`~mgst_model.networks.network_config.NetworkConfig`.
            adapters: Width of adapters, see ``adapter_dim`` of the same class; 0 for none.

        Raises:
            UsageError: if the backbone cannot be built.
        """


BACKBONES: Registry[BackboneFactory] = Registry("mgst_model.backbones")


class ConvBackbone(StagedBackbone):
    """Any timm model that is a sequence of modules with feature maps at strides 8, 16 and 32.

    Args:
        name: Name of the model in timm.
        pretrained: Source of its weights.
        adapters: Width of adapters, one after each stage; 0 for none.

    Raises:
        UsageError: if the model is of another kind.
    """

    def __init__(self, name: str, *, pretrained: str, adapters: int = 0) -> None:
        model = _features_of(name, pretrained)
        modules = _sequence(model)
        ends, channels = _stage_ends(model, name)
        mean, std = weights.statistics(model)
        super().__init__(model, channels, mean=mean, std=std, frozen=adapters > 0)
        starts = (0, *ends[:-1])
        self.groups = [modules[start:end] for start, end in zip(starts, ends, strict=True)]
        self.adapters = nn.ModuleList(Adapter(c, adapters) for c in channels) if adapters else None

    def stage(self, index: int, features: Input, prefix: Prefix) -> tuple[Output, Prefix]:
        """Runs one of three stages, see :meth:`StagedBackbone.stage`. The prefix passes through unchanged."""
        for name in self.groups[index]:
            features = self.model.get_submodule(name)(features)
        if self.adapters is not None:
            features = self.adapters[index](features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return features, prefix


class TransformerBackbone(StagedBackbone):
    """A plain vision transformer of timm, its blocks in three groups. All feature maps have the stride of its patches.

    Args:
        name: Name of the model in timm.
        pretrained: Source of its weights.
        adapters: Width of adapters, one after each block; 0 for none.

    Raises:
        UsageError: if the model is of another kind.
    """

    model: VisionTransformer

    def __init__(self, name: str, *, pretrained: str, adapters: int = 0) -> None:
        model = weights.create(name, pretrained=pretrained, num_classes=0, dynamic_img_size=True)
        if not isinstance(model, VisionTransformer) or len(model.blocks) < 3:
            raise _wrong_kind(name)
        model.attn_pool = None  # type: ignore[assignment]  # only the removed classifier needs it
        width, depth = model.embed_dim, len(model.blocks)
        mean, std = weights.statistics(model)
        super().__init__(model, (width,) * 3, mean=mean, std=std, frozen=adapters > 0)
        self.bounds = tuple(depth * i // 3 for i in range(4))
        self.adapters = nn.ModuleList(Adapter(width, adapters) for _ in range(depth)) if adapters else None

    def stage(self, index: int, features: Input, prefix: Prefix) -> tuple[Output, Prefix]:
        """Runs one of three stages, see :meth:`StagedBackbone.stage`. The prefix has class and register tokens."""
        model = self.model
        if index == 0:
            side = model.patch_embed.patch_size
            h, w = features.shape[-2] // side[0], features.shape[-1] // side[1]
            tokens = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(features))))
        else:
            h, w = features.shape[-2:]
            tokens = features.flatten(2).transpose(1, 2)
            tokens = tokens if prefix is None else torch.cat((prefix, tokens), dim=1)
        for i in range(self.bounds[index], self.bounds[index + 1]):
            tokens = model.blocks[i](tokens)
            tokens = tokens if self.adapters is None else self.adapters[i](tokens)
        if index == 2:
            # One of the two norms is the identity, depending on the pooling of the removed classifier.
            tokens = model.fc_norm(model.norm(tokens))
        first = model.num_prefix_tokens
        maps = tokens[:, first:].transpose(1, 2).unflatten(2, (h, w))
        return maps, tokens[:, :first] if first else None


def build_backbone(name: str, *, pretrained: str, adapters: int = 0) -> StagedBackbone:
    """Builds a registered backbone, or one of timm.

    Args:
        name: Name in :data:`BACKBONES`, or of a timm model.
        pretrained: Source of its weights.
        adapters: Width of adapters; 0 for none.

    Raises:
        UsageError: if the backbone is unknown, cannot run in stages, or its weights are not available.
    """
    if name in BACKBONES:
        return BACKBONES.get(name)(pretrained=pretrained, adapters=adapters)
    if is_vision_transformer(name):
        return TransformerBackbone(name, pretrained=pretrained, adapters=adapters)
    return ConvBackbone(name, pretrained=pretrained, adapters=adapters)


def is_vision_transformer(name: str) -> bool:
    """Whether the name is that of a plain vision transformer of timm."""
    plain = name.partition(".")[0]
    return any(plain in timm.list_models(module=family) for family in VISION_TRANSFORMERS)


def _features_of(name: str, pretrained: str) -> nn.Module:
    try:
        model = weights.create(name, pretrained=pretrained, features_only=True)
    except (AttributeError, AssertionError, NotImplementedError) as error:  # families without feature maps
        raise _wrong_kind(name) from error
    if not isinstance(model, (FeatureListNet, EfficientNetFeatures)):
        raise _wrong_kind(name)
    if str(getattr(model, "output_fmt", "NCHW")) not in ("NCHW", "Format.NCHW"):
        raise _wrong_kind(name)
    return model


def _sequence(model: nn.Module) -> list[str]:
    """Returns the names of the modules of a feature model, in the order in which they run."""
    if isinstance(model, FeatureListNet):
        return [name for name, _ in model.named_children()]
    return ["conv_stem", "bn1", *(f"blocks.{name}" for name, _ in model.get_submodule("blocks").named_children())]


def _stage_ends(model: Any, name: str) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    # Where the stages end in the sequence of modules, and the channels of the last map of each stride.
    # ``features_only`` flattens sequences one level deep: "stages.0" is a child "stages_0".
    names = [module.replace(".", "_") for module in _sequence(model)]
    ends, channels = [], []
    for stride in _STRIDES:
        maps = [info for info in model.feature_info.info if info["reduction"] == stride]
        module = maps[-1]["module"].replace(".", "_") if maps else ""
        if module not in names:
            raise _wrong_kind(name)
        ends.append(names.index(module) + 1)
        channels.append(maps[-1]["num_chs"])
    return (ends[0], ends[1], ends[2]), (channels[0], channels[1], channels[2])


def _wrong_kind(name: str) -> UsageError:
    return UsageError(
        f"backbone {name!r} cannot run in stages",
        hint="use a timm model with feature maps at strides 8, 16 and 32 (ConvNeXt, EfficientNet, ResNet, ...) or a "
        "plain vision transformer (ViT, CLIP, DINOv2); register other models under mgst_model.backbones",
    )
