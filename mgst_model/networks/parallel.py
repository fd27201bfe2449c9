"""The multi-grained parallel network: a spatial stream of frames beside a temporal stream of patches."""

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
# The stage after which feature maps have the stride of the patches, or are next to it: the middle one.
_CROSS_STAGE = 1
# The stage after which feature maps still tell the style of a picture.
_STYLE_STAGE = 0
# What segment heads look at.
SPATIAL, TEMPORAL, BOTH = "spatial", "temporal", "both"


class ParallelNetwork(nn.Module):
    """Both streams, or one of them, with guidance after each of three stages. The numbers are ours.

    Args:
        config: What to build; its ``kind`` is not looked at.

    Raises:
        UsageError: if the backbone or its weights cannot be had.
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
            # The temporal stream joins as guidance does, from 0: what single frames have taught goes on as it is.
            nn.init.zeros_(segment_heads[BOTH].project.weight[:, -dim:])
        self.segment_heads = nn.ModuleDict(segment_heads)

    @property
    def backbone(self) -> nn.Module | None:
        """What came pre-trained and learns more slowly than the rest; None for the temporal stream alone."""
        return None if self.spatial is None else self.spatial.model

    def begin_with(self, *streams: ParallelNetwork) -> None:
        """Takes over what streams have learnt alone, each by itself.

        As guidance begins at 0, segments are then judged as the spatial stream judges their frames; where scores are
        fused, the temporal stream's judgement is added.

        Args:
            streams: Networks of one stream each, of the same options but for ``streams``, ``guidance`` and ``fusion``.
        """
        own = self.state_dict()
        for stream in streams:
            for name, learnt in stream.state_dict().items():
                there = own.get(name, own.get(name.replace(f"heads.{SPATIAL}.", f"heads.{BOTH}.")))
                if there is not None:
                    # The joint head has columns for the temporal stream after those for the spatial one.
                    (there if there.shape == learnt.shape else there[:, : learnt.shape[1]]).copy_(learnt)

    def forward(self, frames: Float[Tensor, "b t 3 h w"]) -> SegmentOutput:
        """Judges segments of any length. Of a single frame, the spatial stream judges alone: it has no time to look at.

        Args:
            frames: RGB in [0, 1]; h and w are multiples of 16. The grid of patches is h / 16 x w / 16.

        Raises:
            TypeError: for anything but a tensor of floating-point numbers.
            ValueError: if the shape does not fit; on a CPU also for values far outside [0, 1].
        """
        check_frames(frames, 5, kind="floating")
        b, t, _, h, w = frames.shape
        if h % PATCH or w % PATCH:
            raise ValueError(f"height and width of frames are multiples of {PATCH}, not {h} and {w}")
        maps, tubes = self._streams(frames)
        pooled: dict[str, Tensor] = {}
        embedding, patch_logits = None, None
        if maps is not None and self.frame_head is not None:
            pooled[SPATIAL] = self.norm_spatial(maps.mean(dim=(2, 3))).reshape(b, t, -1)
            embedding = self.frame_head(pooled[SPATIAL])
        if tubes is not None and self.patch_head is not None:
            patch_logits = self.patch_head(tubes) if t > 1 else None
            pooled[TEMPORAL] = pool_tubes(tubes, patch_logits)
        frame_logits = self._judge(pooled)
        return SegmentOutput(frame_logits.mean(dim=1), frame_logits, embedding, patch_logits)

    def _judge(self, pooled: dict[str, Float[Tensor, "b t _"]]) -> Float[Tensor, "b t"]:
        """Logits of frames, from the features of the streams that have looked."""
        if BOTH not in self.segment_heads:
            return torch.stack([self.segment_heads[name]([seen]) for name, seen in pooled.items()]).sum(dim=0)
        features = list(pooled.values())
        if self.temporal is not None and TEMPORAL not in pooled:
            features.append(features[0].new_zeros(*features[0].shape[:2], self.temporal.dim))
        logits: Tensor = self.segment_heads[BOTH](features)
        return logits

    def _streams(self, frames: Float[Tensor, "b t 3 h w"]) -> tuple[Tensor | None, Tensor | None]:
        """Last feature maps ``(b * t, c, h / 32, w / 32)`` or so, last tubes ``(b, gh, gw, t, d)``, normed."""
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
