"""Layers as functions of tensors: attention over time, tubes of patches, adapters."""
