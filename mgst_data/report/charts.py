"""Charts of a report: how tracks and videos are distributed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from mgst_data.html import Chart, figure_chart
from mgst_data.html.charts import COLOURS
from mgst_data.report.tracks import TrackFacts

_BINS = 30
# Name of the number, title, unit, and whether the axis is logarithmic.
_NUMBERS = (
    ("face", "Face size", "side of the face box, pixels of the video", True),
    ("frames", "Length of tracks", "frames", True),
    ("score", "Face probability", "median over the track", False),
    ("sharpness", "Sharpness", "mean absolute Laplacian of the face at 160 px", True),
    ("yaw", "Yaw", "degrees, positive to the left of the picture", False),
    ("pitch", "Pitch", "degrees, positive downwards", False),
    ("doubt", "Landmark doubt", "share of invalid landmarks", False),
    ("jitter", "Landmark jitter", "moved by smoothing, relative to the face box", False),
)
_NAMES = (("fps", "Frame rate", "frames per second"), ("compression", "Compression", ""))
_LABELS = ("real", "fake")


def track_charts(tracks: Sequence[TrackFacts]) -> list[Chart]:
    """Makes histograms of the numbers of tracks, real and fake ones stacked, and bars of frame rate and compression.

    Args:
        tracks: Tracks, at least one.

    Raises:
        ImportError: if Plotly is not installed.
    """
    made = [_histogram(tracks, *number) for number in _NUMBERS]
    return [chart for chart in (*made, *(_bars(tracks, *name) for name in _NAMES)) if chart is not None]


def _histogram(tracks: Sequence[TrackFacts], name: str, title: str, unit: str, log: bool) -> Chart | None:
    known = [track for track in tracks if getattr(track, name) is not None]
    if not known:
        return None
    values = np.array([getattr(track, name) for track in known], dtype=float)
    labels = np.array([track.label for track in known])
    # The bins are made here, so that the page does not hold every value.
    scale = np.log10(np.maximum(values, 1e-3)) if log else values
    edges = np.histogram_bin_edges(scale, bins=min(_BINS, max(5, len(known) // 4)))
    limits = 10**edges if log else edges
    traces = []
    for label in np.unique(labels).tolist():
        counts = np.histogram(scale[labels == label], bins=edges)[0]
        spans = [f"{_short(a)} to {_short(b)}" for a, b in pairwise(limits)]
        places = 10 ** ((edges[:-1] + edges[1:]) / 2) if log else (edges[:-1] + edges[1:]) / 2
        traces.append(_trace(label, places.tolist(), counts.tolist(), spans, np.diff(limits).tolist()))
    low, middle, high = (float(np.percentile(values, share)) for share in (5, 50, 95))
    text = f"Median {_short(middle)}; 90 % of {len(known):,} tracks from {_short(low)} to {_short(high)}."
    return _chart(name, title, unit, traces, text, kind="log" if log else "linear")


def _bars(tracks: Sequence[TrackFacts], name: str, title: str, unit: str) -> Chart | None:
    names = [_named(getattr(track, name)) for track in tracks]
    counts = Counter(names)
    if set(counts) == {"unknown"}:
        return None
    order = [value for value, _ in counts.most_common(12)]
    traces = []
    for label in sorted({track.label for track in tracks}):
        mine = Counter(value for value, track in zip(names, tracks, strict=True) if track.label == label)
        traces.append(_trace(label, order, [mine[value] for value in order], order, None))
    text = "; ".join(f"{value}: {counts[value]:,}" for value in order[:4]) + ("; ..." if len(counts) > 4 else ".")
    return _chart(name, title, unit, traces, text, kind="category")


def _named(value: float | str) -> str:
    return (value if isinstance(value, str) else f"{value:g}" if value else "") or "unknown"


def _trace(label: int, x: list[Any], y: list[int], spans: list[str], widths: list[float] | None) -> Any:
    try:
        import plotly.graph_objects as go
    except ImportError as error:
        raise ImportError("charts need Plotly: pip install 'mgst[report]'") from error
    hover = f"%{{customdata}}: %{{y:,}} {_LABELS[label]} tracks<extra></extra>"
    return go.Bar(
        x=x, y=y, width=widths, name=_LABELS[label], customdata=spans, hovertemplate=hover, marker_color=COLOURS[label]
    )


def _chart(name: str, title: str, unit: str, traces: list[Any], text: str, *, kind: str) -> Chart:
    import plotly.graph_objects as go

    layout = {
        "barmode": "stack",
        "bargap": 0.05,
        "showlegend": len(traces) > 1,
        "legend": {"orientation": "h", "y": 1.2, "x": 0, "traceorder": "normal"},
        "xaxis": {"title": {"text": unit}, "type": kind},
        "yaxis": {"title": {"text": "tracks"}},
    }
    return figure_chart(f"chart-{name}", title, go.Figure(traces, layout), text=text)


def _short(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    # Probabilities close to 1 would all become 1.
    return f"{value:.5g}" if 0.99 <= value < 1 else f"{value:.3g}"
