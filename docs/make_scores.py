"""Draws ``docs/gallery/scores.webp``: what carries the score of a demo video, and the scores of real people.

python docs/make_scores.py             # needs the extra explain, and about two minutes
python docs/make_scores.py --videos demo/videos
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy import ndarray
from PIL import Image

from mgst_data.demo import render_demo
from mgst_model.predict import VideoPrediction, load_detector

PICTURE = Path(__file__).with_name("gallery") / "scores.webp"
# Swaps of the demo, of which the one with the highest score is shown.
FAKES = "manipulated_sequences/Deepfakes/c23/videos/00*.mp4"
MOST, HEIGHT, QUALITY = 4, 420, 85


def main() -> None:
    """Runs the weights of the package on demo videos, and draws one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, help="finished demo videos; default: rendered now")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        videos = arguments.videos or Path(folder)
        if arguments.videos is None:
            render_demo(videos)
        detector = load_detector(device="cpu", explain=True)
        found = [detector.predict(path) for path in sorted(videos.glob(FAKES))[:MOST]]
        shown = max(found, key=lambda one: one.score)
        left, right = _frame(shown), _scores(shown)
    picture = Image.fromarray(np.concatenate((left, right), axis=1))
    picture.save(PICTURE, quality=QUALITY)
    print(PICTURE, "\n".join(shown.meaning().sentences), sep="\n")  # noqa: T201


def _frame(found: VideoPrediction) -> UInt8[ndarray, "h w 3"]:
    """Returns the annotated frame with the highest score, without the strip below it."""
    peak = found.evidence().spans[0].peak
    frame = next(picture for i, (_, picture) in enumerate(found.annotate(threshold=0.0)) if i == peak)
    frame = frame[: found.size[1]]
    return np.asarray(Image.fromarray(frame).resize((round(HEIGHT * frame.shape[1] / frame.shape[0]), HEIGHT)))


def _scores(found: VideoPrediction) -> UInt8[ndarray, "h w 3"]:
    """Draws the scores of the calibration, the threshold and the score of the video."""
    known, meaning = found.calibration, found.meaning()
    figure = Figure(figsize=(6.4, HEIGHT / 100), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    if known is not None:
        heights = [0.12 + 0.76 * (i * 0.618 % 1) for i in range(len(known.real))]
        label = f"{len(known.real)} real videos of {known.people} people"
        axes.plot(known.real, heights, "o", color="#0072B2", markersize=6, alpha=0.7, label=label)
    axes.axvline(meaning.threshold, color="#666666", linestyle="--", label=f"threshold {meaning.threshold:.2f}")
    axes.axvline(meaning.score, color="#D55E00", linewidth=2.5, label=f"this video: {meaning.score:.2f}")
    axes.set(xlim=(-0.02, 1.02), ylim=(0, 1), yticks=[], xlabel="score (higher: more likely fake)")
    axes.set_title("\n".join(meaning.sentences[:1] + meaning.sentences[-2:]), fontsize=9, loc="left", wrap=True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    made = io.BytesIO()
    figure.savefig(made, format="png")
    drawn: UInt8[ndarray, "h w 3"] = np.asarray(Image.open(made).convert("RGB"))
    return drawn


if __name__ == "__main__":
    main()
