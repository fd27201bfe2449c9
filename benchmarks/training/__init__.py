"""The sections of ``bench_train.py``: speed of training and prediction."""
