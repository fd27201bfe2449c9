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
from mgst_data.preview.scores import ScoredTrack, timeline
from mgst_data.preview.stream import write_video
from mgst_data.shards import encode_image
from mgst_data.shards.storage import output_errors, write_atomic
from mgst_data.video.batches import ahead
from mgst_model.networks.calibration import ASSUMPTION, Calibration
from mgst_model.predict.evidence import GRADIENTS, PATCH_SCORES, SPANS, Evidence, Span, hottest, top_windows
from mgst_model.predict.faces import Source, name_of, open_source
from mgst_model.predict.meaning import LIMITS, Meaning, meaning_of
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
        conditions: Face size, sharpness and other properties, by name, see
            :data:`mgst_model.networks.conditions.CONDITIONS`.
    """

    windows: tuple[WindowScore, ...] = ()
    conditions: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class VideoPrediction:
    """The result for one video. A score is in [0, 1]; higher means more likely fake. See :meth:`meaning`.

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
        label: What the results call the video; "" for its path or URL.
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
    label: str = ""

    @property
    def video(self) -> str:
        """Name of the video for messages and results."""
        return self.label or name_of(self.source)

    @property
    def score(self) -> float:
        """Score of the main face: the mean over its windows."""
        return self.tracks[self.main].overall

    @property
    def false_positive_rate(self) -> float | None:
        """Share of real videos of unseen people that have at least this score; None without a calibration."""
        return None if self.calibration is None else self.calibration.false_positive_rate(self.score)

    @property
    def kind(self) -> str:
        """What it is: "videos" or "pictures", as in the calibration of a network."""
        return "videos" if self.seconds else "pictures"

    def meaning(self, track: int | None = None, *, threshold: float | None = None) -> Meaning:
        """Says what the score of a face means: verdict, how often real videos score as high, and p-value.

        Args:
            track: Position of the face in ``tracks``; None for the main face.
            threshold: A score above it is called fake; None for that of the network.
        """
        one = self.tracks[self.main if track is None else track]
        threshold = self.threshold if threshold is None else threshold
        return meaning_of(one.overall, threshold, self.calibration, doubts=one.doubts, kind=self.kind)

    def evidence(self, track: int | None = None, *, spans: int = SPANS) -> Evidence:
        """Returns what carries the score of a face: the windows with the highest scores, and where their score is from.

        Args:
            track: Position of the face in ``tracks``; None for the main face.
            spans: Largest number of windows. Those that follow one another are joined.
        """
        one = self.tracks[self.main if track is None else track]
        maps = one.patches if one.maps is None else one.maps
        kind = "" if maps is None else PATCH_SCORES if one.maps is None else GRADIENTS
        places = top_windows([(each.first, each.last, each.score) for each in one.windows], spans)
        return Evidence(one.id, kind, tuple(_span(one, maps, some) for some in places))

    @property
    def highest(self) -> int:
        """Position of the face with the highest score."""
        return max(range(len(self.tracks)), key=lambda i: self.tracks[i].overall)

    def __repr__(self) -> str:
        faces = f"{len(self.tracks)} {'face' if len(self.tracks) == 1 else 'faces'}"
        caution = ", see its caution" if self.caution else ""
        return f"VideoPrediction({self.video!r}, score {self.score:.3f}, {faces} in {self.frames} frames{caution})"

    def _explained(self, threshold: float) -> list[str]:
        """Returns the sentences of the page about what the score means, and what it does not mean."""
        said = [
            f"The score {self.score:.3f} is that of the main face, the largest"
            + (" over time: the mean over all windows." if self.seconds else "."),
            *(f"{sentence[0].upper()}{sentence[1:]}." for sentence in self.meaning(threshold=threshold).sentences),
            *LIMITS,
        ]
        if self.highest != self.main:
            highest = self.tracks[self.highest]
            said.insert(1, f"Face {highest.id} has a higher score, {highest.overall:.3f}: look at all faces.")
        if self.unscored:
            what = f"{self.unscored:,} frames with a face are not scored"
            said.append(f"{what}: they have no neighbour with the same crop.")
        return said

    def about(self, *, threshold: float | None = None) -> dict[str, Any]:
        """Returns the facts about the video and its score, as JSON values.

        Args:
            threshold: A score above it counts as fake; None for that of the network.
        """
        threshold = self.threshold if threshold is None else threshold
        main = self.tracks[self.main]
        meaning = self.meaning(threshold=threshold)
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
            **meaning.as_dict(),
            "p_value_is": "" if meaning.p_value is None else ASSUMPTION,
            "meaning": list(meaning.sentences),
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
        tracks = (self._track_json(i, threshold) for i in range(len(self.tracks)))
        return "{\n" + "".join(lines) + ' "tracks": [\n' + ",\n".join(tracks) + "\n ]\n}\n"

    def _track_json(self, position: int, threshold: float) -> str:
        track = self.tracks[position]
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
            **self.meaning(position, threshold=threshold).as_dict(),
            "conditions": dict(track.conditions),
            "evidence": self.evidence(position).as_dict(),
            "spans": spans,
            "frame": track.frame.tolist(),
            "time": [round(time, 3) for time in track.time.tolist()],
            "frame_score": [rounded(score) for score in track.score.tolist()],
        }
        lines = (f"   {json.dumps(name)}: {json.dumps(value, allow_nan=False)},\n" for name, value in about.items())
        body = ",\n".join("    " + json.dumps(_window_json(window), allow_nan=False) for window in track.windows)
        return "  {\n" + "".join(lines) + '   "windows": [\n' + body + "\n   ]\n  }"

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
        assets: Path | None = None,
        linked: bool = True,
        saw: Saw = lambda _: None,
    ) -> list[Path]:
        """Writes ``scores.json`` and ``report.html``; for a video also ``timeline.png`` and ``STEM.mp4``.

        For a picture, the annotated copy is ``STEM.png``.

        Args:
            folder: Folder to write to. It is created if needed.
            stem: Name of the annotated file without suffix; "" for the name of the video.
            threshold: A score above it counts as fake; None for that of the network.
            video: Whether to write the annotated video or picture.
            report: Whether to write the page. It plays the original where a browser can, from where it is now.
            assets: Folder of scripts that the pages of several videos share; None for a page in a single file, 5 MB.
            linked: Whether the page may play the original. Not if the folder is to be copied to another machine.
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
            original = self.source if linked and isinstance(self.source, str) else None
            shown = Shown.choose(original, annotated)
            files.append(self._report(folder, files, shown, annotated, threshold, found, assets, saw))
        return files

    def _report(
        self,
        folder: Path,
        files: Sequence[Path],
        shown: Shown,
        annotated: Path | None,
        threshold: float,
        found: MomentPictures,
        assets: Path | None,
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
            shown=shown,
            found=found,
            meaning=self._explained(threshold),
            files=files,
            assets=assets,
        )
        return folder / REPORT


def rounded(score: float, digits: int = 4) -> float:
    """Rounds a score for files.

    Args:
        score: Score, [0, 1].
        digits: Number of decimal places.
    """
    return round(score, digits)


def _span(track: TrackPrediction, maps: Float[np.ndarray, "n g g"] | None, places: Sequence[int]) -> Span:
    """Describes a span of windows, given their places."""
    some = [track.windows[i] for i in places]
    first, last = some[0].first, some[-1].last
    inside = ((track.frame >= first) & (track.frame <= last)).nonzero()[0]
    peak = int(inside[track.score[inside].argmax()])
    region, heat = (None, None) if maps is None else hottest(maps[peak], track.squares[peak])
    total = sum(window.score for window in track.windows)
    return Span(
        frames=(first, last),
        seconds=(float(track.time[inside[0]]), float(track.time[inside[-1]])),
        score=sum(window.score for window in some) / len(some),
        share=sum(window.score for window in some) / max(total, 1e-9),
        of_frames=len(inside) / len(track),
        peak=int(track.frame[peak]),
        region=region,
        map=heat,
    )


def _window_json(window: WindowScore) -> dict[str, Any]:
    about: dict[str, Any] = {"frames": [window.first, window.last], "score": rounded(window.score)}
    if window.patches is not None:
        about["patch_score"] = [[rounded(score, 3) for score in row] for row in window.patches.tolist()]
    return about
