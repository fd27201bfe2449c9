"""Everything that shapes a network, as flat fields with defaults: a table of a configuration file fills it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["parallel", "image"]
Streams = Literal["both", "spatial", "temporal"]
Guidance = Literal["both", "spatial_to_temporal", "temporal_to_spatial", "none"]
Fusion = Literal["features", "scores"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkConfig:
    """What :func:`mgst_model.networks.build.build_network` builds. All numbers are ours; about 40 M parameters.

    Attributes:
        kind: ``parallel`` is the network of both streams; ``image`` is a classifier of single frames, the usual
            baseline, which reads ``backbone``, ``pretrained`` and ``drop_path_rate`` only.
        backbone: A model of timm, or a name in :data:`mgst_model.networks.spatial.BACKBONES`.
        pretrained: Where the weights of the backbone come from. ``hub``: where timm has them; ``package``: an installed
            package (for ``tf_efficientnet_lite0``); ``random``: nowhere; anything else is the path of a
            ``.safetensors`` or ``.pth`` file.
        streams: Both, or one of them alone.
        guidance: Which stream guides which; without effect on a single stream.
        fusion: How the streams come to one judgement; without effect on a single stream. ``features``: one head looks
            at the features of both beside each other. ``scores``: each stream has a head of its own, and their log odds
            add up, as those of two independent witnesses (ours).
        dim: Width D of temporal tokens and of the segment heads.
        blocks: Temporal blocks; a third of them runs beside each of the last three spatial stages.
        heads: Attention heads; they divide ``dim``.
        mlp_ratio: Hidden width of the perceptrons inside the blocks, in units of ``dim``.
        embedding_dim: Length E of frame embeddings.
        drop_path_rate: Chance, in [0, 1), that the last temporal block is skipped for a segment in training; it grows
            linearly from the first block on [stochastic depth, ECCV 2016]. In the parallel network the spatial
            backbone has none: drawn per frame, it would make a steady segment flicker.
        style_mix_p: How likely a segment's spatial features take on the style of another of the batch in training
            (:class:`mgst_model.layers.style_mix.StyleMix`), [0, 1].
        adapter_dim: Width of bottleneck adapters in the backbone. Above 0 they are what is trained of the backbone, and
            its own parameters are frozen.
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
                raise ValueError(f"{name} is one of {', '.join(known)}, not {getattr(self, name)!r}")
        for name in ("backbone", "pretrained"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty")
        for name in ("dim", "heads", "embedding_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1, not {getattr(self, name)}")
        if self.dim % self.heads or self.dim % 4:
            raise ValueError(f"dim is a multiple of 4 and of heads ({self.heads}), not {self.dim}")
        if self.blocks < 3:
            raise ValueError(f"blocks is at least 3, one beside each of three spatial stages, not {self.blocks}")
        if not self.mlp_ratio > 0:
            raise ValueError(f"mlp_ratio is above 0, not {self.mlp_ratio}")
        if not 0 <= self.drop_path_rate < 1:
            raise ValueError(f"drop_path_rate lies in [0, 1), not {self.drop_path_rate}")
        if not 0 <= self.style_mix_p <= 1:
            raise ValueError(f"style_mix_p lies in [0, 1], not {self.style_mix_p}")
        if self.adapter_dim < 0:
            raise ValueError(f"adapter_dim is a width or 0, not {self.adapter_dim}")
        for name in ("adapter_dim", "style_mix_p"):
            if getattr(self, name) and self.kind == "image":
                raise ValueError(f"{name} goes with kind 'parallel' only")
