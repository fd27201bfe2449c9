"""Earlier names of training options. Files with earlier names can still be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Earlier name: current name.
RENAMED = {
    "network.embedding": "network.embedding_dim",
    "network.drop_path": "network.drop_path_rate",
    "network.style_mix": "network.style_mix_p",
    "network.adapters": "network.adapter_dim",
    "data.batch": "data.batch_size",
    "data.per_video": "data.draws_per_video",
    "data.val_per_video": "data.val_draws_per_video",
    "augment.blend": "augment.blend_preset",
    "augment.donor": "augment.donor_p",
    "augment.temporal": "augment.temporal_p",
    "loss.patch": "loss.patch_weight",
    "loss.frame": "loss.frame_weight",
    "loss.ramp": "loss.ramp_epochs",
    "loss.gamma": "loss.focal_gamma",
    "loss.margin": "loss.frame_margin",
    "loss.paired": "loss.paired_weight",
    "loss.change": "loss.change_threshold",
    "train.backbone": "train.backbone_lr_scale",
    "train.guidance": "train.guidance_lr_scale",
    "train.warmup": "train.warmup_epochs",
    "train.clip": "train.clip_norm",
    "train.accumulate": "train.accumulate_batches",
    "train.ema": "train.ema_decay",
    "train.sam": "train.sam_radius",
    "train.save": "train.save_every",
    "train.validate": "train.validate_every",
    "train.start": "train.init_from",
}


def present_names(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Replaces earlier names of options by the current names.

    Args:
        tables: Tables of options of any version. A value that is not a table stays unchanged.
    """

    def name(table: str, option: str) -> str:
        return RENAMED.get(f"{table}.{option}", f"{table}.{option}").removeprefix(f"{table}.")

    return {
        table: {name(table, option): value for option, value in options.items()}
        if isinstance(options, Mapping)
        else options
        for table, options in tables.items()
    }
