"""The page of a training: its curves, options and weights, in a browser."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mgst_data.core.errors import printable
from mgst_data.html import Chart, write_page
from mgst_data.html.charts import COLOURS
from mgst_data.html.links import link
from mgst_data.html.page import PLOTLY
from mgst_model.networks.checkpoint import BEST, CARD, SETTINGS, WEIGHTS
from mgst_model.networks.trained_videos import VIDEOS
from mgst_model.train.experiment import Experiment
from mgst_model.train.state import SOURCES, STEPS, VALIDATIONS
from mgst_model.train.trainer import CURVES, LAST

REPORT = "report.html"
# Largest number of points of a curve; more steps are averaged in blocks.
_POINTS = 1500
_SECONDS = "seconds_"
_MEGABYTE = 1e6
_LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
_FILES = (
    (BEST + WEIGHTS, "weights of the best epoch"),
    (BEST + CARD, "description of the network"),
    (BEST + VIDEOS, "videos of the training"),
    (LAST + WEIGHTS, "weights of the last epoch"),
    (STEPS, "losses of every step"),
    (VALIDATIONS, "results of every validation"),
    (SOURCES, "what each source has contributed"),
    (SETTINGS, "options"),
)
Row = dict[str, str]


def write_report(folder: str | Path, *, location: str = "") -> Path:
    """Writes the page of a training as a single file, from the tables in its folder.

    Args:
        folder: Folder of the training.
        location: Path or URL under which users find the folder; "" for its path.

    Returns:
        The page.

    Raises:
        ImportError: if Jinja2 or Plotly is not installed.
        OutputError: if the page cannot be written.
    """
    folder, location = Path(folder), location or str(folder)
    steps, validations, sources = (_rows(folder / name) for name in (STEPS, VALIDATIONS, SOURCES))
    settings = json.loads((folder / SETTINGS).read_bytes())
    # The last row that was saved as best has the weights of "best".
    best = next((row for row in reversed(validations) if row["best"] == "1"), None)
    write_page(
        folder / REPORT,
        "training.html.j2",
        package="mgst_model.train",
        title=f"Training {printable(folder.resolve().name)}",
        scripts=(PLOTLY,),
        inline=True,
        figures=_figures(steps, validations, best),
        charts=[*_loss_charts(steps), *_validation_charts(validations), *_other_charts(steps)],
        contributions=_table(sources),
        next=_next(location, settings),
        advice=_advice(validations, best),
        files=[(name, link(folder / name, folder), what, _size(folder / name))
               for name, what in _FILES if (folder / name).is_file()],
        options=_options(settings),
    )  # fmt: skip
    return folder / REPORT


def _rows(path: Path) -> list[Row]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _figures(steps: Sequence[Row], validations: Sequence[Row], best: Row | None) -> list[tuple[str, Any]]:
    """Returns the key figures, as names and values."""
    seconds = sum(float(row[name] or 0) for row in steps for name in row if name.startswith(_SECONDS))
    made: list[tuple[str, Any]] = []
    if best is not None:
        made += [("best validation AUC", f"{float(best['auc']):.4f}"), ("in epoch", int(best["epoch"]) + 1)]
    epochs = max((int(row["epoch"]) + 1 for row in (*steps, *validations)), default=0)
    hours, rest = divmod(round(seconds), 3600)
    spent = f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
    return [*made, ("epochs", epochs), ("steps", len(steps)), ("time of the steps", spent)]


def _loss_charts(steps: Sequence[Row]) -> list[Chart]:
    """Returns the loss and its parts over the steps."""
    fixed = ("step", "epoch", "rate")
    names = [name for name in (steps[0] if steps else ()) if name not in fixed and not name.startswith(_SECONDS)]
    traces = [_curve(steps, name, number) for number, name in enumerate(names)]
    text = "The loss (total) and its parts in the training; lower is better."
    return [_chart("loss", "Training loss", "step", "loss", traces, text)] if traces else []


def _validation_charts(validations: Sequence[Row]) -> list[Chart]:
    """Returns AUC and loss of every validation; with several sources, also those of each source."""
    made = []
    for kind, title, text in (
        ("auc", "Validation AUC", "Higher is better; 0.5 is chance. A star marks the epochs that were saved as best."),
        ("loss", "Validation loss", "Lower is better. It rises when the network begins to learn videos by heart."),
    ):
        names = [
            name for name in (validations[0] if validations else ()) if name == kind or name.startswith(f"{kind}_")
        ]
        traces = []
        for number, name in enumerate(names):
            label = "mean" if name == kind and len(names) > 1 else name.removeprefix(f"{kind}_")
            trace = _curve(validations, name, number, label=label)
            epochs = [int(row["epoch"]) + 1 for row in validations if row.get(name)]
            symbols = ["star" if row["best"] == "1" else "circle" for row in validations if row.get(name)]
            marker = {"symbol": symbols, "size": 9} if kind == "auc" else {"size": 7}
            hover = f"{label}, epoch %{{x}}: %{{y:.4f}}<extra></extra>"
            traces.append({**trace, "x": epochs, "mode": "lines+markers", "marker": marker, "hovertemplate": hover})
        if traces:
            made.append(
                _chart(f"validation-{kind}", title, "epoch", kind.upper() if kind == "auc" else kind, traces, text)
            )
    return made


def _other_charts(steps: Sequence[Row]) -> list[Chart]:
    """Returns the learning rate, and the time of each phase."""
    if not steps:
        return []
    rate = _chart("rate", "Learning rate", "step", "learning rate", [_curve(steps, "rate", 0)], "")
    phases = {name.removeprefix(_SECONDS): sum(float(row[name] or 0) for row in steps)
              for name in steps[0] if name.startswith(_SECONDS)}  # fmt: skip
    whole = sum(phases.values()) or 1.0
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [round(seconds / whole, 4) for seconds in phases.values()],
        "y": list(phases),
        "marker": {"color": COLOURS[0]},
        "hovertemplate": "%{y}: %{x:.1%}<extra></extra>",
    }
    layout = {
        "xaxis": {"tickformat": ".0%", "title": {"text": "share of the time"}},
        "yaxis": {"autorange": "reversed"},
    }
    text = "If data takes most of the time, raise data.workers."
    return [rate, Chart("time", "Time of the steps", {"data": [bars], "layout": layout}, text)]


def _curve(rows: Sequence[Row], name: str, number: int, *, label: str = "") -> dict[str, Any]:
    """Returns a column over the steps, averaged in blocks if there are many. Steps without a value are left out."""
    points = [(int(row["step"]), float(row[name])) for row in rows if row.get(name)]
    block = -(-len(points) // _POINTS) or 1
    parts = [points[i : i + block] for i in range(0, len(points), block)]
    label = printable(label or name)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label,
        "x": [part[-1][0] for part in parts],
        "y": [float(f"{sum(value for _, value in part) / len(part):.5g}") for part in parts],
        "line": {"color": COLOURS[number % len(COLOURS)], "width": 2},
        "hovertemplate": f"{label}, step %{{x}}: %{{y:.4g}}<extra></extra>",
    }


def _chart(name: str, title: str, x: str, y: str, traces: list[dict[str, Any]], text: str) -> Chart:
    layout = {
        "xaxis": {"title": {"text": x}, "zeroline": False},
        "yaxis": {"title": {"text": y}, "zeroline": False},
        "showlegend": len(traces) > 1,
        "legend": _LEGEND,
    }
    return Chart(name, title, {"data": traces, "layout": layout}, text, 300)


def _table(rows: Sequence[Row]) -> dict[str, Any] | None:
    if not rows:
        return None
    return {"columns": [name.replace("_", " ") for name in rows[0]],
            "rows": [[printable(value) for value in row.values()] for row in rows]}  # fmt: skip


def _options(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the options by table, each with its value and whether it differs from the default."""
    defaults = json.loads(json.dumps(Experiment().as_dict()))
    made = []
    for table, values in settings.items():
        if isinstance(values, Mapping):
            known = defaults.get(table, {})
            rows = [(name, _value(value), name in known and value != known[name]) for name, value in values.items()]
            made.append({"table": table, "rows": rows})
    return made


def _value(value: Any) -> str:
    return printable(value if isinstance(value, str) and value else json.dumps(value))


def _next(folder: str, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns what to run next: what for, and the command."""
    where = printable(folder)
    shards = settings.get("shards")
    named = printable(shards) if isinstance(shards, str) else "SHARDS"
    return [
        ("Measure it on test videos", f"mgst-eval {named} --weights {where}"),
        ("Score a video", f"mgst-predict VIDEO --weights {where}"),
        ("See the curves in TensorBoard", f"tensorboard --logdir {where}/{CURVES}"),
    ]


def _advice(validations: Sequence[Row], best: Row | None) -> str:
    """Returns what the position of the best validation says, or ""."""
    if best is None or len(validations) < 3:
        return ""
    if best is validations[-1]:
        return "The last validation is the best: a longer training (--epochs) may be better."
    if validations.index(best) < len(validations) // 3:
        what = "The best validation is early: later epochs learn the training videos by heart."
        return f"{what} More people, or stronger augmentations, may help."
    return ""


def _size(path: Path) -> str:
    size = path.stat().st_size
    return f"{size / _MEGABYTE:.1f} MB" if size >= _MEGABYTE / 10 else f"{size / 1000:.1f} kB"
