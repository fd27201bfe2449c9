"""The multi-grained parallel network: a spatial stream of frames beside a temporal stream of patches."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from mgst_model.networks.config import NetworkConfig
from mgst_model.networks.guidance import CrossGuidance
from mgst_model.networks.heads import FrameHead, PatchHead, SegmentHead
from mgst_model.networks.output import SegmentOutput
from mgst_model.networks.spatial import StagedBackbone, build_backbone
from mgst_model.networks.temporal import PATCH, TemporalStream

STAGES = 3
# The stage after which feature maps have the stride of the patches, or are next to it: the middle one.
_CROSS_STAGE = 1


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
        widths: list[int] = []
        if config.streams != "temporal":
            self.spatial = build_backbone(config.backbone, pretrained=config.pretrained, adapters=config.adapters)
            widths.append(self.spatial.channels[-1])
            self.norm_spatial = nn.LayerNorm(widths[-1])
            self.frame_head = FrameHead(widths[-1], config.embedding)
        if config.streams != "spatial":
            self.temporal = TemporalStream(
                dim, blocks=config.blocks, heads=heads, mlp_ratio=config.mlp_ratio, drop_path=config.drop_path
            )
            widths.append(dim)
            self.patch_head = PatchHead(dim)
        self.guidance: nn.ModuleList | None = None
        if self.spatial is not None and self.temporal is not None and config.guidance != "none":
            self.guidance = nn.ModuleList(
                CrossGuidance(channels, dim, way=config.guidance, heads=heads if i == _CROSS_STAGE else 0)
                for i, channels in enumerate(self.spatial.channels)
            )
        self.segment_head = SegmentHead(widths, dim, heads=heads, mlp_ratio=config.mlp_ratio)
        if self.spatial is not None and self.temporal is not None:
            # The temporal stream joins as guidance does, from 0: what single frames have taught goes on as it is.
            nn.init.zeros_(self.segment_head.project.weight[:, -dim:])

    @property
    def backbone(self) -> nn.Module | None:
        """What came pre-trained and learns more slowly than the rest; None for the temporal stream alone."""
        return None if self.spatial is None else self.spatial.model

    def begin_with(self, spatial: ParallelNetwork) -> None:
        """Takes over what the spatial stream alone has learnt: each frame is then judged as it judges it.

        Args:
            spatial: A network of the same options but for ``streams`` and ``guidance``.
        """
        own = self.state_dict()
        for name, learnt in spatial.state_dict().items():
            # The segment head has columns for the temporal stream after those for the spatial one.
            (own[name][:, : learnt.shape[1]] if own[name].shape != learnt.shape else own[name]).copy_(learnt)

    def forward(self, frames: Float[Tensor, "b t 3 h w"]) -> SegmentOutput:
        """Judges segments of any length. Of a single frame, the spatial stream judges alone: it has no time to look at.

        Args:
            frames: RGB in [0, 1]; h and w are multiples of 16. The grid of patches is h / 16 x w / 16.

        Raises:
            ValueError: if the size does not fit.
        """
        b, t, _, h, w = frames.shape
        if h % PATCH or w % PATCH:
            raise ValueError(f"height and width of frames are multiples of {PATCH}, not {h} and {w}")
        maps, tubes = self._streams(frames)
        pooled: list[Tensor] = []
        embedding, patch_logits = None, None
        if maps is not None and self.frame_head is not None:
            pooled.append(self.norm_spatial(maps.mean(dim=(2, 3))).reshape(b, t, -1))
            embedding = self.frame_head(pooled[-1])
        if tubes is not None and self.patch_head is not None:
            pooled.append(tubes.mean(dim=(1, 2)))
            patch_logits = self.patch_head(tubes) if t > 1 else None
        elif self.temporal is not None:
            pooled.append(pooled[-1].new_zeros(b, t, self.temporal.dim))
        frame_logits = self.segment_head(pooled)
        return SegmentOutput(frame_logits.mean(dim=1), frame_logits, embedding, patch_logits)

    def _streams(self, frames: Float[Tensor, "b t 3 h w"]) -> tuple[Tensor | None, Tensor | None]:
        """Last feature maps ``(b * t, c, h / 32, w / 32)`` or so, last tubes ``(b, gh, gw, t, d)``, normed."""
        maps = None if self.spatial is None else self.spatial.normalise(frames.flatten(0, 1))
        alone = frames.shape[1] == 1 and self.spatial is not None
        tubes = None if self.temporal is None or alone else self.temporal.start(frames)
        prefix = None
        for i in range(STAGES):
            if self.spatial is not None and maps is not None:
                maps, prefix = self.spatial.stage(i, maps, prefix)
            if self.temporal is not None and tubes is not None:
                tubes = self.temporal.stage(i, tubes)
            if self.guidance is not None and tubes is not None:
                maps, tubes = self.guidance[i](maps, tubes)
        return maps, None if self.temporal is None or tubes is None else self.temporal.norm(tubes)
