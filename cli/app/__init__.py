"""The command ``mgst-app``."""

from .command import app, main

__all__ = ["app", "main"]
