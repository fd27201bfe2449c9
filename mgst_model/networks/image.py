"""The baseline: a classifier of single frames."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mgst_data.core.checks import check_frames
from mgst_model.networks import weights
from mgst_model.networks.heads import full_precision
from mgst_model.networks.network_config import NetworkConfig
from mgst_model.networks.output import SegmentOutput
from mgst_model.networks.spatial import is_vision_transformer


class ImageNetwork(nn.Module):
    """A timm model that classifies every frame separately. The logit of a segment is the mean over its frames.

    Args:
        config: Configuration; only ``backbone``, ``pretrained`` and ``drop_path_rate`` are used.

    Raises:
        UsageError: if the backbone is unknown or its weights are not available.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        options: dict[str, object] = {"dynamic_img_size": True} if is_vision_transformer(config.backbone) else {}
        if config.drop_path_rate:
            options["drop_path_rate"] = config.drop_path_rate
        model: Any = weights.create(config.backbone, pretrained=config.pretrained, num_classes=0, **options)
        self.backbone: nn.Module = model
        self.head = nn.Linear(model.head_hidden_size, 1)
        mean, std = weights.statistics(model)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, frames: Float[Tensor, "b t 3 h w"]) -> SegmentOutput:
        """Returns logits of segments and frames. There are no embeddings and no patch logits.

        Args:
            frames: RGB in [0, 1].

        Raises:
            TypeError: if ``frames`` is not a floating-point tensor.
            ValueError: if the shape is wrong, or, on a CPU, if values are far outside [0, 1].
        """
        check_frames(frames, 5, kind="floating")
        rows = ((frames.flatten(0, 1) - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        logits = full_precision(self.head(self.backbone(rows))).reshape(frames.shape[:2])
        return SegmentOutput(logits.mean(dim=1), logits, None, None)
