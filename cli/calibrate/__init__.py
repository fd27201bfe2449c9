"""The command ``mgst-calibrate``."""

from .command import calibrate, main

__all__ = ["calibrate", "main"]
