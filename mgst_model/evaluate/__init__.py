"""Evaluation: scores of videos in shards, metrics with confidence intervals, protocols, robustness and plots.

A module is imported when one of its names is first used: importing timm takes longer than importing torch.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
