"""Measures where the processor time of an extraction goes, by stage, and draws it as stacked bars."""

from __future__ import annotations

import functools
import pkgutil
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from extraction.clips import GROUPS, Clips
from extraction.pipelines import Ours
from extraction.report import Figure, Section, alone

FRAMES = 250
REPEATS = 3
DECODING, REST = "decoding, conversion to RGB", "the rest"
# Functions of each stage. A stage that runs inside another one is not counted there.
STAGES = {
    "reduction of key frames": ("mgst_data.faces.track.reduce_frames",),
    "shot changes": ("mgst_data.faces.cuts.CutFinder.__call__",),
    "key frames: P-Net": ("mgst_data.faces.detect.MTCNNDetector._propose", "mgst_data.faces.detect.integral_image"),
    "key frames: R-Net, O-Net": (
        "mgst_data.faces.detect.MTCNNDetector._reject",
        "mgst_data.faces.detect.MTCNNDetector._refine",
    ),
    "between key frames: O-Net": ("mgst_data.faces.refine.BoxRefiner.__call__",),
    "landmarks: greyscale": ("mgst_data.faces.landmarks.DlibLandmarks.__call__",),
    "landmarks: regression trees": ("mgst_data.faces.trees.RegressionTrees.__call__",),
    "crops": ("mgst_data.extract.cutter.TrackCutter.add", "mgst_data.extract.cutter.TrackCutter.finish"),
    "JPEG": ("mgst_data.extract.cutter.encode_image",),
}
NAMES = (DECODING, *STAGES, REST)
_SHOWN = ("512", "720p", "1080p")


def run(clips: Clips, *, quick: bool) -> Section:
    """Measures the stages on one core, clip by clip."""
    chosen = {group: GROUPS[group][:1] if quick else GROUPS[group] for group in _SHOWN}
    rows = [
        {"group": group, **row}
        for group, names in chosen.items()
        for row in alone(measure, [clips.trimmed(clips.real(name), 24 if quick else FRAMES) for name in names], quick)
    ]
    medians = {
        group: {name: statistics.median(row["ms"][name] for row in rows if row["group"] == group) for name in NAMES}
        for group in _SHOWN
    }
    figures = tuple(
        Figure(f"{group}: {name}", 100 * medians[group][name] / sum(medians[group].values()), "% of the time")
        for group in _SHOWN
        for name in NAMES
    )
    return Section(figures, {"milliseconds_per_frame": medians, "clips": rows})


def measure(paths: list[Path], quick: bool) -> list[dict[str, Any]]:
    """Extracts clips with timed stages. Returns milliseconds per frame by stage, medians over the repetitions."""
    ours = Ours()
    ours(paths[0])
    rows = []
    for path in paths:
        runs = [_one(ours, path) for _ in range(1 if quick else REPEATS)]
        row = {"clip": path.name, "ms": {name: statistics.median(run[name] for run in runs) for name in NAMES}}
        rows.append(row)
        print(f"{path.name:40} {sum(row['ms'].values()):.2f} ms per frame", flush=True)
    return rows


def _one(ours: Ours, path: Path) -> dict[str, float]:
    spent: Counter[str] = Counter()
    with timed_stages(spent):
        whole, mine = time.process_time(), time.thread_time()
        frames, _ = ours(path)
        whole, mine = time.process_time() - whole, time.thread_time() - mine
    # The decoder has threads of its own; all other stages run in this one.
    spent[DECODING] = whole - mine
    spent[REST] = mine - sum(spent[name] for name in STAGES)
    return {name: 1000 * spent[name] / frames for name in NAMES}


@contextmanager
def timed_stages(spent: Counter[str]) -> Iterator[None]:
    """Adds the processor time of this thread in each stage to a counter, in seconds, while the block runs.

    Args:
        spent: The counter.
    """
    running: list[str] = []
    since = time.thread_time()

    def turn() -> None:
        nonlocal since
        now = time.thread_time()
        if running:
            spent[running[-1]] += now - since
        since = now

    def wrap(function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            turn()
            running.append(stage)
            try:
                return _exhausted(function(*arguments, **options))
            finally:
                turn()
                running.pop()

        return timed

    with ExitStack() as stack:
        for stage, places in STAGES.items():
            for place in places:
                owner, _, name = place.rpartition(".")
                found = pkgutil.resolve_name(owner)
                stack.enter_context(mock.patch.object(found, name, wrap(getattr(found, name), stage)))
        yield


def _exhausted(result: Any) -> Any:
    """Runs a generator to its end, so that its time belongs to the stage that made it."""
    return iter(list(result)) if isinstance(result, Iterator) else result


def draw(section: Section, path: Path) -> None:
    """Draws the milliseconds per frame by stage as stacked bars.

    Args:
        section: Result of :func:`run`.
        path: PNG file.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    medians = section.details["milliseconds_per_frame"]
    made, axes = plt.subplots(figsize=(9, 2.9))
    colours = plt.get_cmap("tab20").colors
    left = [0.0] * len(_SHOWN)
    for colour, name in zip(colours, NAMES, strict=False):
        widths = [medians[group][name] for group in _SHOWN]
        axes.barh(_SHOWN, widths, left=left, color=colour, label=name, edgecolor="white", linewidth=0.5)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set(xlabel="processor time per frame, ms")
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.02), frameon=False)
    made.tight_layout()
    made.savefig(path, dpi=110)
    plt.close(made)
