"""Is imported by the server process of the workers: watches all of them."""

from __future__ import annotations

import os
from pathlib import Path

from broken_watch import Watch

if log := os.environ.get("MGST_BROKEN_LOG"):
    watch = Watch(Path(log))
    watch.allowed = (str(Path(log).parent.resolve()),)
    watch.own = ("multiprocessing.", "mgst_data.", "pathlib")
    watch.active = True
