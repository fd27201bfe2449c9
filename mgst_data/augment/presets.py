"""Named sets of options of :class:`mgst_data.augment.SelfBlend`: plain keyword values, to be read and changed."""

from __future__ import annotations

from typing import Any

_ALL_FRAMES = {"all": 1.0}
_FRAME_RANDOM = {"all": 0.5, "run": 0.25, "scatter": 0.15, "single": 0.1}
_ALL_REGIONS = {"hull": 0.25, "extended": 0.25, "inner": 0.2, "parts": 0.15, "lower": 0.15}

PRESETS: dict[str, dict[str, Any]] = {
    # Self-blended images (CVPR 2022): whole faces, nothing varies from frame to frame.
    "sbi": {"mask": {"regions": {"hull": 0.25, "extended": 0.75}}, "gate": _ALL_FRAMES, "drift": 0.0},
    # A coherent video: all regions, one set of parameters for all frames.
    "consistent": {"mask": {"regions": _ALL_REGIONS}, "gate": _ALL_FRAMES, "drift": 0.0},
    # The same with frames that stay real, and noise over time.
    "frame_random": {"mask": {"regions": _ALL_REGIONS}, "gate": _FRAME_RANDOM, "drift": 1.0},
    # Parts of the face that jump from frame to frame, as in video-level blending [StA, CVPR 2025].
    "strong_drift": {
        "mask": {"regions": {"inner": 0.3, "parts": 0.7}},
        "warp": {
            "jump_translation_range": (0.5, 2.5),
            "jump_scale_range": (0.01, 0.05),
            "jump_rotation_range": (1.0, 5.0),
        },
        "gate": _ALL_FRAMES,
        "drift": 1.0,
    },
}
