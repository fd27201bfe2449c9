"""The page of a scored video: the video with its scores, in a browser."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from mgst_data.core.errors import printable
from mgst_data.core.locations import is_picture
from mgst_data.html import Chart, write_page
from mgst_data.html.links import link
from mgst_data.html.page import PLOTLY
from mgst_data.preview.annotate import HEAT, OPACITY
from mgst_data.preview.scores import ScoredTrack, clock, score_colour, track_colour, verdict
from mgst_data.video.browser import plays_in_browsers
from mgst_model.predict.moments import Moment, MomentPictures

REPORT = "report.html"
# Largest number of cells of heat maps in a page, one byte each. A long video has a heat map for every n-th frame only.
_PATCHES = 6_000_000


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page plays.

    Attributes:
        path: Video or picture; None if there is none that a browser can show.
        drawn: Whether boxes and heat maps are part of it; otherwise the page draws them over it.
        hint: Why it is not the original, or "".
    """

    path: Path | None
    drawn: bool = False
    hint: str = ""

    @staticmethod
    def choose(source: str | None, annotated: Path | None) -> Shown:
        """Returns the original if a browser can show it, else the annotated copy, if there is one.

        Args:
            source: Path or URL of the original; None for frames in memory.
            annotated: Annotated copy; None if it was not written.
        """
        if source is not None and plays_in_browsers(source):
            return Shown(Path(source))
        hint = "Browsers cannot show the original here (it is not a local file, or has another format)."
        return Shown(annotated, True, hint)


def write_report(
    path: Path,
    about: Mapping[str, Any],
    tracks: Sequence[ScoredTrack],
    *,
    shown: Shown,
    found: MomentPictures,
    meaning: Sequence[str],
    files: Sequence[Path],
    assets: Path | None,
) -> None:
    """Writes the page of a scored video. The video itself is another file.

    Args:
        path: File of the page.
        about: Facts about the video, as in ``scores.json``.
        tracks: All faces of the video.
        shown: The video or picture that the page shows.
        found: Frames with the highest and lowest scores.
        meaning: Sentences about what the score means.
        files: Other result files in the same folder.
        assets: Folder of scripts that several pages share; None for a single file.

    Raises:
        ImportError: if Jinja2 or Plotly is not installed.
        OutputError: if the file cannot be written.
    """
    main = next(track for track in tracks if track.id == about["main_track"])
    began = (found.began or 0.0) if shown.drawn else 0.0
    write_page(
        path,
        "prediction.html.j2",
        package="mgst_model.predict",
        title=printable(Path(about["video"]).name),
        scripts=(PLOTLY, "prediction.js") if about["seconds"] else ("prediction.js",),
        styles=("prediction.css",),
        inline=assets is None,
        assets=assets,
        about=about,
        main=main,
        faces=[_face(track, number, about) for number, track in enumerate(tracks)],
        media=None if shown.path is None else link(shown.path, path.parent),
        is_picture=shown.path is not None and is_picture(shown.path.name),
        shown=shown,
        data=_data(about, tracks, overlay=shown.path is not None and not shown.drawn, began=began),
        heat="maps"
        if any(track.maps is not None for track in tracks)
        else "patches" * any(track.patches is not None for track in tracks),
        curve=_curve(about, tracks) if about["seconds"] else None,
        moments=_moments(tracks, found),
        meaning=meaning,
        files=[(file.name, link(file, path.parent)) for file in files],
        facts=[
            (name.replace("_", " "), f"{value:.4g}" if isinstance(value, float) else str(value))
            for name, value in about["model"].items()
            if isinstance(value, str | int | float) and value != ""
        ],
    )


def _face(track: ScoredTrack, number: int, about: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the row of a face in the table."""
    return {
        "id": track.id,
        "colour": _hex(track_colour(number)),
        "main": track.id == about["main_track"],
        "time": f"{clock(float(track.time[0]))} to {clock(float(track.time[-1]))}" if about["seconds"] else "",
        "frames": len(track),
        "score": f"{track.overall:.3f}",
        "verdict": verdict(track.overall, about["threshold"], track.doubts),
    }


def _data(about: Mapping[str, Any], tracks: Sequence[ScoredTrack], *, overlay: bool, began: float) -> dict[str, Any]:
    """Returns what the script draws over the video.

    Args:
        about: Facts about the video.
        tracks: All faces of the video.
        overlay: Whether the script draws at all; if not, it moves only the cursor of the curve.
        began: Time of the video at which the shown file begins, seconds.
    """
    # One number per frame and cell.
    total = sum(maps.size for track in tracks if (maps := _maps(track)) is not None)
    step = max(1, -(-total // _PATCHES))
    return {
        "size": about["size"],
        "fps": about["fps"],
        "began": round(began, 4),
        "overlay": overlay,
        "threshold": about["threshold"],
        "colours": [_hex(score_colour(level / 255, about["threshold"])) for level in range(256)],
        "heat": {"colour": list(HEAT), "opacity": OPACITY, "step": step},
        "tracks": [
            _drawn(track, number, step if overlay else 0, about["threshold"]) for number, track in enumerate(tracks)
        ],
    }


def _maps(track: ScoredTrack) -> Float[np.ndarray, "n g g"] | None:
    return track.patches if track.maps is None else track.maps


def _drawn(track: ScoredTrack, number: int, step: int, threshold: float) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": track.id,
        "colour": _hex(track_colour(number)),
        "time": track.time.round(4).tolist(),
        "score": track.score.round(3).tolist(),
    }
    if step:
        made["boxes"] = track.boxes.round(1).tolist()
    heat = track.heat(slice(0, None, step), threshold) if step else None
    if heat is not None:
        made["squares"] = track.squares[::step].round(1).tolist()
        made["grid"] = heat.shape[-1]
        made["heat"] = base64.b64encode(np.round(heat * 255).astype(np.uint8).tobytes()).decode()
    return made


def _curve(about: Mapping[str, Any], tracks: Sequence[ScoredTrack]) -> Chart:
    traces = []
    for number, track in enumerate(tracks):
        x: list[float | None] = []
        y: list[float | None] = []
        for begin, end in track.spans():
            x += [*track.time[begin:end].round(3).tolist(), None]
            y += [*track.score[begin:end].round(3).tolist(), None]
        main = " (main)" if track.id == about["main_track"] and len(tracks) > 1 else ""
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if len(track) == 1 else "lines",
                "name": f"face {track.id}{main}",
                "x": x[:-1],
                "y": y[:-1],
                "line": {"color": _hex(track_colour(number)), "width": 2},
                "hovertemplate": f"face {track.id}: %{{y:.2f}} at %{{x:.2f}} s<extra></extra>",
            }
        )
    threshold = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": about["threshold"], "y1": about["threshold"],
                 "line": {"dash": "dash", "width": 1, "color": "#808080"}}  # fmt: skip
    cursor = {"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1,
              "line": {"width": 2, "color": "#808080"}}  # fmt: skip
    layout = {
        "shapes": [threshold, cursor],
        "hovermode": "x",
        "hoverdistance": -1,
        "xaxis": {"title": {"text": "time, seconds"}, "range": [0, about["seconds"]], "zeroline": False},
        "yaxis": {"title": {"text": "score"}, "range": [-0.02, 1.02], "zeroline": False, "fixedrange": True},
        "showlegend": len(tracks) > 1,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
    }
    rule = f"The dashed line is the threshold {about['threshold']:.2f}."
    text = f"Higher means more likely fake. {rule} A click shows that moment of the video."
    return Chart("curve", "Score of each frame", {"data": traces, "layout": layout}, text, 280)


def _moments(tracks: Sequence[ScoredTrack], found: MomentPictures) -> list[dict[str, Any]]:
    """Returns the pictures of each face: those with the highest scores, and those with the lowest."""
    groups: dict[int, dict[str, Any]] = {}
    for moment in found.moments:
        if moment in found.pictures:
            group = groups.setdefault(moment.face, {"id": tracks[moment.face].id, "high": [], "low": []})
            group["high" if moment.high else "low"].append(_moment(tracks[moment.face], moment, found.pictures[moment]))
    return list(groups.values())


def _moment(track: ScoredTrack, moment: Moment, jpeg: bytes) -> dict[str, Any]:
    time = float(track.time[moment.row])
    return {
        "time": round(time, 4),
        "clock": f"{time:.2f} s" if time < 60 else clock(time),
        "score": f"{float(track.score[moment.row]):.2f}",
        "source": f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}",
    }


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
