"""The command ``mgst-train``."""

from .command import main, train

__all__ = ["main", "train"]
