"""The parts of ``bench_augment.py``."""
