"""A scoring work for Ray: some inputs kill their workers."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path

from mgst_cli.predict.workers import ScoreWork

from mgst_data.extract.executors import Ending, Opening


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlyWork(ScoreWork):
    """Scores inputs. One whose name begins with "die" kills the process."""

    def __call__(self, task, lost):
        for job in task.records:
            if Path(job.item.path).name.startswith("die") and job.key not in lost:
                yield Opening(job.key)
                time.sleep(0.3)  # a decoder works before it crashes; Ray sends the event in the background
                os.kill(os.getpid(), signal.SIGKILL)
            alone = ScoreWork.__call__(self, replace(task, records=(job,)), lost)
            yield from (event for event in alone if not isinstance(event, Ending))
        yield Ending(task.name)
