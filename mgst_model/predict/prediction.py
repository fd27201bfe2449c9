"""The result of a detector for one video: scores of faces over time, as numbers, files and pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from mgst_data.core.errors import printable
from mgst_data.preview.annotate import Annotator
from mgst_data.preview.scores import ScoredTrack, timeline, verdict
from mgst_data.preview.stream import write_video
from mgst_data.shards import encode_image
from mgst_data.shards.storage import output_errors, write_atomic
from mgst_data.video.batches import ahead
from mgst_model.networks.calibration import Calibration
from mgst_model.networks.checkpoint import FALSE_POSITIVES
from mgst_model.predict.faces import Source, name_of, open_source
from mgst_model.predict.moments import MomentPictures
from mgst_model.predict.report import REPORT, Shown, write_report

SCORES, TIMELINE = "scores.json", "timeline.png"
# Assumed frames per second of a video without times.
USUAL_FPS = 25.0
_BATCH = 32
# Pictures that a thread draws while another one is encoded.
_AHEAD = 4
Saw = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class WindowScore:
    """Score of one window: consecutive frames that the network saw together.

    Attributes:
        first: Number of the first frame in the video.
        last: Number of the last frame.
        score: Score of the window, [0, 1]; higher means more likely fake.
        patches: Score of each of g x g patches; None if the network has no patch logits.
    """

    first: int
    last: int
    score: float
    patches: Float[Tensor, "g g"] | None


@dataclass(frozen=True, slots=True, eq=False)
class TrackPrediction(ScoredTrack):
    """One face of a video, with its scores.

    Attributes:
        windows: Scores of the windows, in order.
    """

    windows: tuple[WindowScore, ...] = ()


@dataclass(slots=True, kw_only=True)
class VideoPrediction:
    """The result for one video. A score is in [0, 1]; higher means more likely fake. It is not a probability.

    Attributes:
        source: The scored video, as it was given.
        tracks: Faces in order of first appearance, at least one.
        main: Position of the main face in ``tracks``: the face with the largest sum of areas over its frames.
        frames: Number of frames of the video.
        fps: Frames per second; 0 if unknown.
        size: Width and height of the video, in pixels.
        seconds: Length of the video; 0 for a picture.
        model: Facts about the network: training, input, number format.
        calibration: Scores of real videos that the network has not seen, or of pictures if this is one; None if they
            are not known.
        threshold: Score above which a video counts as fake, unless a method is given another one.
        caution: Warning about the use of the scores, or "".
        unscored: Number of frames with a face that no window covers, because they have no neighbour with the same crop.
        notes: Defects of the video.
    """

    source: Source
    tracks: list[TrackPrediction]
    main: int
    frames: int
    fps: float
    size: tuple[int, int]
    seconds: float
    model: Mapping[str, Any] = field(default_factory=dict)
    calibration: Calibration | None = None
    threshold: float = 0.5
    caution: str = ""
    unscored: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def video(self) -> str:
        """Name of the video for messages."""
        return name_of(self.source)

    @property
    def score(self) -> float:
        """Score of the main face: the mean over its windows."""
        return self.tracks[self.main].overall

    @property
    def false_positive_rate(self) -> float | None:
        """Share of real videos of unseen people that have at least this score; None without a calibration."""
        return None if self.calibration is None else self.calibration.false_positive_rate(self.score)

    @property
    def highest(self) -> int:
        """Position of the face with the highest score."""
        return max(range(len(self.tracks)), key=lambda i: self.tracks[i].overall)

    def __repr__(self) -> str:
        faces = f"{len(self.tracks)} {'face' if len(self.tracks) == 1 else 'faces'}"
        caution = ", see its caution" if self.caution else ""
        return f"VideoPrediction({self.video!r}, score {self.score:.3f}, {faces} in {self.frames} frames{caution})"

    @property
    def comparison(self) -> str:
        """How many real videos score at least as high, in words; "" without a calibration."""
        rate, known = self.false_positive_rate, self.calibration
        if rate is None or known is None:
            return ""
        kind = "videos" if self.seconds else "pictures"
        people = f"{known.people:,} {'person' if known.people == 1 else 'people'}"
        high = f"{round(rate * len(known.real)):,} of {len(known.real):,}"
        return f"{high} real {kind} of {people} that the network has not seen score at least as high"

    def meaning(self, *, threshold: float | None = None) -> list[str]:
        """Returns sentences about what the score means, and what it does not mean.

        Args:
            threshold: A score above it counts as fake; None for that of the network.
        """
        threshold = self.threshold if threshold is None else threshold
        of_card = self.calibration is not None and threshold == self.threshold and self.seconds
        said = [
            "A score is in [0, 1]; higher means more likely fake. It is not a probability and not a proof.",
            f"The score {self.score:.3f} is that of the main face, the largest over time: the mean over all windows."
            if self.seconds
            else f"The score {self.score:.3f} is that of the main face, the largest.",
            f"{self.comparison}. This is not the probability that it is real: that also depends on how many of the "
            "videos that you look at are fakes."
            if self.comparison
            else "How many real videos score as high is not known for this network.",
            f"A score above {threshold:.2f} counts as fake."
            + (f" {100 * FALSE_POSITIVES:.0f} % of the real validation videos lie above it." if of_card else ""),
            "A low score does not prove that a video is real: the network knows only the kinds of fakes that it was "
            "trained on.",
            "Compression, small faces, make-up and filters move scores. A curve that jumps up and down means that the "
            "network is not sure.",
            "Do not base decisions on it: not on a person, not on a video. Take it as a reason to look closer.",
        ]
        if self.highest != self.main:
            highest = self.tracks[self.highest]
            said.insert(2, f"Face {highest.id} has a higher score, {highest.overall:.3f}: look at all faces.")
        if self.unscored:
            said.append(
                f"{self.unscored:,} frames with a face are not scored: they have no neighbour with the same crop."
            )
        return said

    def about(self, *, threshold: float | None = None) -> dict[str, Any]:
        """Returns the facts about the video and its score, as JSON values.

        Args:
            threshold: A score above it counts as fake; None for that of the network.
        """
        threshold = self.threshold if threshold is None else threshold
        main = self.tracks[self.main]
        return {
            "video": printable(self.video),
            "frames": self.frames,
            "fps": round(self.fps, 4),
            "seconds": round(self.seconds, 3),
            "size": list(self.size),
            "model": dict(self.model),
            "caution": self.caution,
            "threshold": threshold,
            "score": rounded(main.overall),
            "false_positive_rate": None if self.false_positive_rate is None else rounded(self.false_positive_rate),
            "verdict": verdict(main.overall, threshold),
            "main_track": main.id,
            "highest_track": self.tracks[self.highest].id,
            "unscored_frames": self.unscored,
            "notes": [printable(note) for note in self.notes],
        }

    def to_json(self, *, threshold: float | None = None) -> str:
        """Returns all scores as JSON, with one line per window and per list of a track.

        Args:
            threshold: A score above it counts as fake; None for that of the network.
        """
        threshold = self.threshold if threshold is None else threshold
        about = self.about(threshold=threshold)
        lines = [f" {json.dumps(name)}: {json.dumps(value, allow_nan=False)},\n" for name, value in about.items()]
        tracks = (_track_json(track, threshold) for track in self.tracks)
        return "{\n" + "".join(lines) + ' "tracks": [\n' + ",\n".join(tracks) + "\n ]\n}\n"

    def plot(self, *, threshold: float | None = None) -> UInt8[np.ndarray, "h w 3"]:
        """Draws the scores of every face over time, as an RGB picture.

        Args:
            threshold: Threshold, drawn as a dashed line; None for that of the network.
        """
        threshold = self.threshold if threshold is None else threshold
        title = f"{Path(self.video).name}: score over time (higher: more likely fake)"
        if self.caution:
            title += "; not reliable, see caution in scores.json"
        return timeline(self.tracks, seconds=self.seconds, threshold=threshold, title=title)

    def annotate(
        self, *, threshold: float | None = None, saw: Saw = lambda _: None
    ) -> Generator[tuple[float, UInt8[np.ndarray, "h w 3"]]]:
        """Yields every frame with boxes, patch heat maps and score curves. The video is read a second time.

        Args:
            threshold: A score above it counts as fake; None for that of the network.
            saw: Called at intervals with the number of frames that have been drawn.

        Yields:
            The time of the frame in seconds, and the RGB picture. The memory of a picture is reused for a later one as
                soon as no reference to it is left.

        Raises:
            VideoError: while iterating, if the video can no longer be read.
        """
        yield from self._annotate(self.threshold if threshold is None else threshold, saw, None)

    def _annotate(
        self, threshold: float, saw: Saw, found: MomentPictures | None
    ) -> Generator[tuple[float, UInt8[np.ndarray, "h w 3"]]]:
        """Yields the annotated frames; shows the plain ones to ``found``."""
        draw: Annotator | None = None
        for picture, index, time in self._frames(saw):
            if found is not None:
                found.see(picture, index, time)
            if draw is None:
                height, width = picture.shape[:2]
                draw = Annotator(self.tracks, size=(height, width), seconds=self.seconds, threshold=threshold)
            yield time, draw(picture, index, time)

    def _frames(self, saw: Saw) -> Generator[tuple[UInt8[np.ndarray, "h w 3"], int, float]]:
        """Reads the video a second time. Yields picture, number and time of each frame."""
        done = 0
        for batch in open_source(self.source, _BATCH):
            pictures = batch.frames.permute(0, 2, 3, 1).numpy()
            yield from zip(pictures, batch.index.tolist(), batch.pts.tolist(), strict=True)
            done += len(batch)
            saw(done)

    def save(
        self,
        folder: str | Path,
        *,
        stem: str = "",
        threshold: float | None = None,
        video: bool = True,
        report: bool = True,
        saw: Saw = lambda _: None,
    ) -> list[Path]:
        """Writes ``scores.json`` and ``report.html``; for a video also ``timeline.png`` and ``STEM.mp4``.

        For a picture, the annotated copy is ``STEM.png``.

        Args:
            folder: Folder to write to. It is created if needed.
            stem: Name of the annotated file without suffix; "" for the name of the video.
            threshold: A score above it counts as fake; None for that of the network.
            video: Whether to write the annotated video or picture.
            report: Whether to write the page. It plays the video, so it is only complete beside the original.
            saw: Called at intervals with the number of frames that have been drawn.

        Returns:
            The written files.

        Raises:
            OutputError: if the folder cannot be written.
            ImportError: if Jinja2 or Plotly is not installed.
        """
        folder = Path(folder)
        threshold = self.threshold if threshold is None else threshold
        with output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        files = [folder / SCORES]
        write_atomic(files[0], self.to_json(threshold=threshold).encode())
        if self.seconds:
            files.append(folder / TIMELINE)
            write_atomic(files[-1], encode_image(self.plot(threshold=threshold), image_format="png"))
        found = MomentPictures(self.tracks if report and self.seconds else [])
        if video:
            files.append(folder / f"{stem or Path(self.video).stem}.{'mp4' if self.seconds else 'png'}")
            # A thread draws frames while others are encoded.
            drawn = ahead(self._annotate(threshold, saw, found), _AHEAD)
            if self.seconds:
                write_video(files[-1], drawn, fps=self.fps or USUAL_FPS)
            else:
                for _, picture in drawn:
                    write_atomic(files[-1], encode_image(picture, image_format="png"))
        if report:
            annotated = files[-1] if video else None
            files.append(self._report(folder, files, annotated, threshold, found, saw))
        return files

    def _report(
        self,
        folder: Path,
        files: Sequence[Path],
        annotated: Path | None,
        threshold: float,
        found: MomentPictures,
        saw: Saw,
    ) -> Path:
        """Writes the page, and returns its path. Without an annotated copy, the video is read for the pictures."""
        if annotated is None and found.moments:
            with closing(self._frames(saw)) as frames:
                for picture, index, time in frames:
                    found.see(picture, index, time)
                    if index >= found.last:
                        break
        write_report(
            folder / REPORT,
            self.about(threshold=threshold),
            self.tracks,
            shown=Shown.choose(self.source if isinstance(self.source, str) else None, annotated),
            found=found,
            meaning=self.meaning(threshold=threshold),
            files=files,
        )
        return folder / REPORT


def rounded(score: float, digits: int = 4) -> float:
    """Rounds a score for files.

    Args:
        score: Score, [0, 1].
        digits: Number of decimal places.
    """
    return round(score, digits)


def _track_json(track: TrackPrediction, threshold: float) -> str:
    spans = [
        {
            "frames": [int(track.frame[begin]), int(track.frame[end - 1])],
            "seconds": [round(float(track.time[begin]), 3), round(float(track.time[end - 1]), 3)],
        }
        for begin, end in track.spans()
    ]
    about = {
        "track": track.id,
        "score": rounded(track.overall),
        "verdict": verdict(track.overall, threshold),
        "spans": spans,
        "frame": track.frame.tolist(),
        "time": [round(time, 3) for time in track.time.tolist()],
        "frame_score": [rounded(score) for score in track.score.tolist()],
    }
    head = "".join(f"   {json.dumps(name)}: {json.dumps(value, allow_nan=False)},\n" for name, value in about.items())
    body = ",\n".join("    " + json.dumps(_window_json(window), allow_nan=False) for window in track.windows)
    return "  {\n" + head + '   "windows": [\n' + body + "\n   ]\n  }"


def _window_json(window: WindowScore) -> dict[str, Any]:
    about: dict[str, Any] = {"frames": [window.first, window.last], "score": rounded(window.score)}
    if window.patches is not None:
        about["patch_score"] = [[rounded(score, 3) for score in row] for row in window.patches.tolist()]
    return about
