"""The sections of ``bench_augment.py``."""
