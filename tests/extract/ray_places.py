"""A work that reports where it runs and what Ray has reserved for it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from fakes import report_of

from mgst_data.shards import ShardReport


@dataclass(frozen=True)
class Places:
    """Reports, as the message of each video, the machine and the reserved resources.

    Attributes:
        pause: Seconds for each video.
    """

    pause: float = 0.0

    def __call__(self, task, lost):
        import ray

        context = ray.get_runtime_context()
        reports = []
        for record in task.records:
            time.sleep(self.pause)
            place = {"machine": context.get_node_id(), **context.get_assigned_resources()}
            reports.append(report_of(record, message=json.dumps(place)))
            yield reports[-1]
        yield ShardReport(task.name, tuple(reports))
