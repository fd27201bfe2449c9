"""The command ``mgst-export``."""

from .command import export, main

__all__ = ["export", "main"]
