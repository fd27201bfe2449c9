"""The sections of ``bench_extract.py``: each has ``run(clips, quick=...)``, which gives a :class:`report.Section`."""
