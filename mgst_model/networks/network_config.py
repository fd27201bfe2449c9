"""The options of a network, as flat fields with defaults. A table of a configuration file sets them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["parallel", "image"]
Streams = Literal["both", "spatial", "temporal"]
Guidance = Literal["both", "spatial_to_temporal", "temporal_to_spatial", "none"]
Fusion = Literal["features", "scores"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkConfig:
    """Options of the network that :func:`mgst_model.networks.build.build_network` builds.

    The default numbers are our own choice, because the method does not publish any. The default network has about 40 M
    parameters.

    Attributes:
        kind: ``parallel`` is the network of both streams. ``image`` is the baseline, a classifier of single frames,
            which only uses ``backbone``, ``pretrained`` and ``drop_path_rate``.
        backbone: A timm model, or a name in :data:`mgst_model.networks.spatial.BACKBONES`.
        pretrained: Source of the backbone weights. ``hub``: timm's download. ``package``: an installed package (for
            ``tf_efficientnet_lite0``). ``random``: random values. Any other value is the path of a ``.safetensors`` or
            ``.pth`` file.
        streams: Both streams, or one of them alone.
        guidance: Which stream guides which. No effect with a single stream.
        fusion: How the scores of both streams become one score. No effect with a single stream. ``features``: one head
            takes the concatenated features of both streams. ``scores``: each stream has its own head, and their logits
            are added. The sum is our own choice: it is correct for two independent sources of evidence.
        dim: Width D of temporal tokens and of the segment heads.
        blocks: Number of temporal blocks; a third of them runs in parallel with each of the last three spatial stages.
        heads: Number of attention heads; divides ``dim``.
        mlp_ratio: Hidden width of the perceptrons inside the blocks, in units of ``dim``.
        embedding_dim: Length E of frame embeddings.
        drop_path_rate: Probability, in [0, 1), that the last temporal block is skipped for a segment in training. It
            grows linearly from the first block on [stochastic depth, ECCV 2016]. The spatial backbone of the parallel
            network has no stochastic depth: it would be drawn per frame, so a still segment would flicker.
        style_mix_p: Probability, in [0, 1], that a segment takes the feature statistics of another segment of the batch
            in training (:class:`mgst_model.layers.style_mix.StyleMix`).
        adapter_dim: Width of bottleneck adapters in the backbone. Above 0, only the adapters of the backbone are
            trained and its own parameters are frozen.

    Raises:
        ValueError: if an option is unknown or out of range.
    """

    kind: Kind = "parallel"
    backbone: str = "convnext_tiny"
    pretrained: str = "hub"
    streams: Streams = "both"
    guidance: Guidance = "both"
    fusion: Fusion = "features"
    dim: int = 256
    blocks: int = 8
    heads: int = 8
    mlp_ratio: float = 4.0
    embedding_dim: int = 256
    drop_path_rate: float = 0.1
    style_mix_p: float = 0.0
    adapter_dim: int = 0

    def __post_init__(self) -> None:
        words = (("kind", Kind), ("streams", Streams), ("guidance", Guidance), ("fusion", Fusion))
        for name, choices in words:
            known = get_args(choices)
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        for name in ("backbone", "pretrained"):
            value: object = getattr(self, name)
            if not isinstance(value, str) or not value:
                raise ValueError(f"{name} must be a text that is not empty, got {value!r}")
        for name in ("dim", "heads", "embedding_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.dim % self.heads or self.dim % 4:
            raise ValueError(f"dim must be a multiple of 4 and of heads ({self.heads}), got {self.dim}")
        if self.blocks < 3:
            raise ValueError(f"blocks must be at least 3, one for each of three spatial stages, got {self.blocks}")
        if not self.mlp_ratio > 0:
            raise ValueError(f"mlp_ratio must be above 0, got {self.mlp_ratio}")
        if not 0 <= self.drop_path_rate < 1:
            raise ValueError(f"drop_path_rate must be in [0, 1), got {self.drop_path_rate}")
        if not 0 <= self.style_mix_p <= 1:
            raise ValueError(f"style_mix_p must be in [0, 1], got {self.style_mix_p}")
        if self.adapter_dim < 0:
            raise ValueError(f"adapter_dim must be at least 0, got {self.adapter_dim}")
        for name in ("adapter_dim", "style_mix_p"):
            if getattr(self, name) and self.kind == "image":
                raise ValueError(f"{name} needs kind 'parallel', got kind 'image'")
