"""Augmentations of whole segments."""
