"""The sections of ``bench_extract.py``. Each has ``run(clips, quick=...)``, which returns a :class:`report.Section`."""
