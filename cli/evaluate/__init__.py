"""The command ``mgst-eval``."""

from .command import evaluate, main

__all__ = ["evaluate", "main"]
