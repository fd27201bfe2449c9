"""The command ``mgst-predict``."""

from .command import main, predict

__all__ = ["main", "predict"]
