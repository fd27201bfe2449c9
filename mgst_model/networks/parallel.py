"""The multi-grained parallel network: a spatial stream of frames and a temporal stream of patches."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mgst_data.core.checks import check_frames
from mgst_model.layers.style_mix import StyleMix
from mgst_model.networks.guidance import CrossGuidance
from mgst_model.networks.heads import FrameHead, PatchHead, SegmentHead, pool_tubes
from mgst_model.networks.network_config import NetworkConfig
from mgst_model.networks.output import SegmentOutput
from mgst_model.networks.spatial import StagedBackbone, build_backbone
from mgst_model.networks.temporal import PATCH, TemporalStream

STAGES = 3
# Cross-attention follows the middle stage, whose feature maps have the stride of the patches or one close to it.
_CROSS_STAGE = 1
# Style mixing follows the first stage, whose feature maps still represent the style of a picture.
_STYLE_STAGE = 0
# Inputs of the segment heads.
SPATIAL, TEMPORAL, BOTH = "spatial", "temporal", "both"


class ParallelNetwork(nn.Module):
    """Both streams, or one of them, with cross-guidance after each of three stages.

    The default numbers are our own choice, see :class:`~mgst_model.networks.network_config.NetworkConfig`.

    Args:
        config: Configuration; ``kind`` is ignored.

    Raises:
        UsageError: if the backbone is unknown or its weights are not available.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        dim, heads = config.dim, config.heads
        self.spatial: StagedBackbone | None = None
        self.temporal: TemporalStream | None = None
        self.frame_head: FrameHead | None = None
        self.patch_head: PatchHead | None = None
        widths: dict[str, int] = {}
        if config.streams != "temporal":
            self.spatial = build_backbone(config.backbone, pretrained=config.pretrained, adapters=config.adapter_dim)
            widths[SPATIAL] = self.spatial.channels[-1]
            self.norm_spatial = nn.LayerNorm(widths[SPATIAL])
            self.frame_head = FrameHead(widths[SPATIAL], config.embedding_dim)
        if config.streams != "spatial":
            self.temporal = TemporalStream(
                dim, blocks=config.blocks, heads=heads, mlp_ratio=config.mlp_ratio, drop_path=config.drop_path_rate
            )
            widths[TEMPORAL] = dim
            self.patch_head = PatchHead(dim)
        self.style_mix = StyleMix(config.style_mix_p)
        self.guidance: nn.ModuleList | None = None
        if self.spatial is not None and self.temporal is not None and config.guidance != "none":
            self.guidance = nn.ModuleList(
                CrossGuidance(channels, dim, way=config.guidance, heads=heads if i == _CROSS_STAGE else 0)
                for i, channels in enumerate(self.spatial.channels)
            )
        joined = len(widths) > 1 and config.fusion == "features"
        looked_at = {BOTH: list(widths.values())} if joined else {name: [width] for name, width in widths.items()}
        segment_heads = {
            name: SegmentHead(channels, dim, heads=heads, mlp_ratio=config.mlp_ratio)
            for name, channels in looked_at.items()
        }
        if joined:
            # The weights of the temporal stream start at 0, as in guidance. A spatial stream that was trained on single
            # frames then keeps its output.
            nn.init.zeros_(segment_heads[BOTH].project.weight[:, -dim:])
        self.segment_heads = nn.ModuleDict(segment_heads)

    @property
    def backbone(self) -> nn.Module | None:
        """The pre-trained part, which has its own learning-rate factor; None for the temporal stream alone."""
        return None if self.spatial is None else self.spatial.model

    def begin_with(self, *streams: ParallelNetwork) -> None:
        """Copies the weights of streams that were trained alone, each by itself.

        Guidance starts at 0. The output then equals that of the spatial stream. With fusion of scores, the logit of the
        temporal stream is added.

        Args:
            streams: Networks of one stream each, with the same options except ``streams``, ``guidance`` and ``fusion``.
        """
        own = self.state_dict()
        for stream in streams:
            for name, learnt in stream.state_dict().items():
                there = own.get(name, own.get(name.replace(f"heads.{SPATIAL}.", f"heads.{BOTH}.")))
                if there is not None:
                    # In the joint head, the columns of the temporal stream follow those of the spatial stream.
                    (there if there.shape == learnt.shape else there[:, : learnt.shape[1]]).copy_(learnt)

    def forward(self, frames: Float[Tensor, "b t 3 h w"]) -> SegmentOutput:
        """Computes the output for segments of any length.

        For single frames only the spatial stream runs, because they have no temporal information.

        Args:
            frames: RGB in [0, 1]; h and w are multiples of 16. The grid of patches is h / 16 x w / 16.

        Raises:
            TypeError: if ``frames`` is not a floating-point tensor.
            ValueError: if the shape is wrong, or, on a CPU, if values are far outside [0, 1].
        """
        check_frames(frames, 5, kind="floating")
        b, t, _, h, w = frames.shape
        if h % PATCH or w % PATCH:
            raise ValueError(f"height and width of frames must be multiples of {PATCH}, got {h} and {w}")
        maps, tubes = self._streams(frames)
        pooled: dict[str, Tensor] = {}
        embedding, patch_logits = None, None
        if maps is not None and self.frame_head is not None:
            pooled[SPATIAL] = self.norm_spatial(maps.mean(dim=(2, 3))).reshape(b, t, -1)
            embedding = self.frame_head(pooled[SPATIAL])
        if tubes is not None and self.patch_head is not None:
            patch_logits = self.patch_head(tubes) if t > 1 else None
            pooled[TEMPORAL] = pool_tubes(tubes, patch_logits)
        frame_logits = self._frame_logits(pooled)
        return SegmentOutput(frame_logits.mean(dim=1), frame_logits, embedding, patch_logits)

    def _frame_logits(self, pooled: dict[str, Float[Tensor, "b t _"]]) -> Float[Tensor, "b t"]:
        """Returns the logits of frames from the pooled features of the streams that ran."""
        if BOTH not in self.segment_heads:
            return torch.stack([self.segment_heads[name]([seen]) for name, seen in pooled.items()]).sum(dim=0)
        features = list(pooled.values())
        if self.temporal is not None and TEMPORAL not in pooled:
            features.append(features[0].new_zeros(*features[0].shape[:2], self.temporal.dim))
        logits: Tensor = self.segment_heads[BOTH](features)
        return logits

    def _streams(self, frames: Float[Tensor, "b t 3 h w"]) -> tuple[Tensor | None, Tensor | None]:
        """Returns the last feature maps, about ``(b * t, c, h / 32, w / 32)``, and the last tubes, normalised."""
        maps = None if self.spatial is None else self.spatial.normalise(frames.flatten(0, 1))
        alone = frames.shape[1] == 1 and self.spatial is not None
        tubes = None if self.temporal is None or alone else self.temporal.start(frames)
        prefix = None
        for i in range(STAGES):
            if self.spatial is not None and maps is not None:
                maps, prefix = self.spatial.stage(i, maps, prefix)
                maps = self.style_mix(maps, frames=frames.shape[1]) if i == _STYLE_STAGE else maps
            if self.temporal is not None and tubes is not None:
                tubes = self.temporal.stage(i, tubes)
            if self.guidance is not None and tubes is not None:
                maps, tubes = self.guidance[i](maps, tubes)
        return maps, None if self.temporal is None or tubes is None else self.temporal.norm(tubes)
