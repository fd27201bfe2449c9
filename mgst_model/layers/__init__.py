"""Tensors in, tensors out: attention over time, tubes of patches, adapters."""
