"""The page of an evaluation: tables, charts and the worst errors, in a browser."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mgst_data.core.errors import printable
from mgst_data.core.locations import is_url, join
from mgst_data.html import Chart, write_page
from mgst_data.html.links import link
from mgst_data.html.page import PLOTLY
from mgst_model.evaluate.charts import auc_chart, difference_chart, histogram_chart, robustness_charts, roc_chart
from mgst_model.evaluate.predictions import VideoScore
from mgst_model.evaluate.reliable import tables
from mgst_model.evaluate.results import Results, of_all_groups
from mgst_model.evaluate.robustness import robustness_rows
from mgst_model.evaluate.tables import Row, comparison, group_rows, text
from mgst_model.evaluate.worst import CropFinder, worst_videos
from mgst_model.networks.checkpoint import caution_of

REPORT = "report.html"
# Of so many detectors, the page shows the worst errors.
_DETECTORS = 4


def write_report(path: Path, results: Results, *, videos: Sequence[str | Path] = ()) -> None:
    """Writes the page of an evaluation as a single file.

    Pictures come from the shards that the scores were made from. If these are gone, the page says so.

    Args:
        path: File of the page.
        results: The results.
        videos: Folders of the data sets, by path or https:// URL, for links to the videos.

    Raises:
        ImportError: if Jinja2, Plotly or scikit-learn is not installed.
        OutputError: if the file cannot be written.
    """
    names = [printable(one.model) for one in results.predictions]
    first = results.predictions[0]
    title, curves = results.curves()
    write_page(
        path,
        "evaluation.html.j2",
        package="mgst_model.evaluate",
        title=f"Evaluation of {', '.join(names)}",
        scripts=(PLOTLY,),
        styles=("evaluation.css",),
        inline=True,
        results=results,
        figures=[
            ("detectors" if names[1:] else "detector", len(names) if names[1:] else names[0]),
            ("videos", len(first)),
            ("real", len(first.select(label=0))),
            ("fake", len(first.select(label=1))),
            ("without a face", len(first.faceless())),
            ("threshold", f"{results.threshold:g}"),
        ],
        cautions=[
            (printable(one.model), caution)
            for one in results.predictions
            if isinstance(known := one.info.get("network"), Mapping) and (caution := caution_of(known))
        ],
        seen=any(group.seen for some in results.evaluations.values() for one in some for group in one.groups),
        protocols=[_protocol(results, number) for number in range(len(results.protocols))],
        scores=[roc_chart(title, curves)] * bool(curves) + _histograms(results),
        robustness=robustness_charts(results.robustness),
        robustness_table=_table("AUC by kind and severity", robustness_rows(results.robustness))
        if results.robustness
        else None,
        reliability=[(note, _table(caption, rows)) for caption, note, rows in tables(results.reliable)],
        errors=_errors(results, path.parent, videos),
        shown=_DETECTORS,
    )


def _protocol(results: Results, number: int) -> dict[str, Any]:
    """Returns tables and charts of one protocol."""
    protocol = results.protocols[number]
    made, charts = [], []
    for way in results.ways:
        evaluations = results.evaluations[protocol.name, way]
        caption = results.caption(protocol, way)
        if len(evaluations) > 1:
            made.append(_table(f"AUC: {caption}", comparison(evaluations)))
        made += [_table(f"{printable(one.model)}: {caption}", group_rows(one)) for one in evaluations]
        differences = results.differences(protocol, way)
        if differences:
            made.append(_table(results.differences_are, differences))
        if way == results.ways[0]:
            name = f"AUC: protocol {protocol.name}"
            charts += [auc_chart(f"auc-{number}", name, evaluations)]
            charts += [difference_chart(f"difference-{number}", results.differences_are, differences)]
    return {
        "name": printable(protocol.name),
        "description": printable(protocol.description),
        "tables": made,
        "charts": [chart for chart in charts if chart is not None],
    }


def _histograms(results: Results) -> list[Chart]:
    charts = []
    for number, one in enumerate(results.predictions):
        scored = results.scores(of_all_groups(one, results.protocols[0]))
        if len(scored.scores):
            charts.append(histogram_chart(f"scores-{number}", one.model, scored, results.threshold))
    return charts


def _table(caption: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Returns a table of texts. A column is numeric if it has no text."""
    names = list(rows[0])
    return {
        "caption": caption,
        "columns": [(printable(name), not all(isinstance(row[name], str) for row in rows)) for name in names],
        "rows": [[printable(text(row[name])) for name in names] for row in rows],
    }


def _errors(results: Results, folder: Path, videos: Sequence[str | Path]) -> list[dict[str, Any]]:
    """Returns the worst errors of each detector, with their pictures."""
    made = []
    for one in results.predictions[:_DETECTORS]:
        finder = CropFinder.of(one)
        real, fake = worst_videos(of_all_groups(one, results.protocols[0]))
        made.append(
            {
                "model": printable(one.model),
                "problem": finder.problem,
                "real": [_error(video, finder, results.threshold, folder, videos) for video in real],
                "fake": [_error(video, finder, results.threshold, folder, videos) for video in fake],
            }
        )
    return made


def _error(
    video: VideoScore, finder: CropFinder, threshold: float, folder: Path, videos: Sequence[str | Path]
) -> dict[str, Any]:
    crop = finder(video)
    score = video.score or 0.0
    places = (
        [] if crop is None else [place for root in (*videos, Path()) if (place := _place(root, crop.video, folder))]
    )
    return {
        "name": video.key if crop is None else printable(crop.video),
        "about": ", ".join(filter(None, (video.dataset, video.method if video.label else "", video.compression))),
        "score": f"{score:.3f}",
        "wrong": (score > threshold) != bool(video.label),
        "seen": video.seen,
        "picture": "" if crop is None else f"data:image/jpeg;base64,{base64.b64encode(crop.jpeg).decode()}",
        "at": "" if crop is None else f"frame {crop.frame:,}, {crop.seconds:.2f} s",
        # Browsers begin to play at the time after "#t=".
        "link": f"{places[0]}#t={crop.seconds:.2f}" if crop is not None and places else "",
    }


def _place(root: str | Path, video: str, folder: Path) -> str:
    """Returns the link to a video of a data set; "" if a local folder does not have it. A URL is not asked."""
    if is_url(str(root)):
        return join(str(root), quote(video))
    path = Path(root, video)
    return link(path, folder) if path.is_file() else ""
