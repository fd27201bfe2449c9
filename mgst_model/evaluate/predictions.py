"""Predictions: the scores of one detector for the videos of a test set; reading, writing and selecting them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import NoneType
from typing import Any, Literal

from mgst_data.core import FAKE, REAL, UsageError
from mgst_data.core.errors import printable
from mgst_data.shards.storage import output_errors, write_atomic
from mgst_model.evaluate.metrics import Scored

JSON_NAME, CSV_NAME = "predictions.json", "predictions.csv"
FORMAT = "mgst-predictions"
VERSION = 1
Missing = Literal["leave_out", "half"]
Level = Literal["video", "segment", "frame"]
Names = str | Collection[str]
_TEXT = ("key", "dataset", "method", "split", "compression", "source_key", "target_key", "source", "seen")
_NUMBERS = ("segments", "frames")
_LABELS = ("segment_labels", "frame_labels")
# Fields that files of earlier versions do not have.
_CAME_LATER: dict[str, Any] = {"segment_labels": [], "frame_labels": [], "source": "", "seen": "", "conditions": {}}


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoScore:
    """The scores of one video, in [0, 1]. Higher means more likely fake.

    A score is not a probability.

    Attributes:
        key: Key of the video record, unique within its data set.
        dataset: Data set of the record.
        method: Method of the record, for example "Deepfakes"; "real" for real videos.
        label: 0 real, 1 fake.
        score: Score of the video; None if no face was found.
        split: Split of the record.
        compression: Compression of the record.
        segments: Score of every segment.
        frames: Score of every frame.
        frame_indices: Frame numbers in the video, one per entry of ``frames``.
        source_key: Source identity (whose face is shown), or "".
        target_key: Target identity (whose video it was), or "".
        segment_labels: Label of each segment of a video that is fake in parts: 1 if any of its frames is fake. Empty if
            all are like ``label``.
        frame_labels: Label of each frame of a video that is fake in parts. Empty if all are like ``label``.
        source: Name of the folder of shards that the video is from, if there are several.
        seen: How the network knows the video: "trained", "validated", "person" (it was trained on another video of the
            same person), or "".
        conditions: Face size, sharpness and other properties by name, see
            :data:`mgst_model.networks.conditions.CONDITIONS`; empty if they are not known.
    """

    key: str
    dataset: str
    method: str
    label: int
    score: float | None
    split: str = ""
    compression: str = ""
    segments: tuple[float, ...] = ()
    frames: tuple[float, ...] = ()
    frame_indices: tuple[int, ...] = ()
    source_key: str = ""
    target_key: str = ""
    segment_labels: tuple[int, ...] = ()
    frame_labels: tuple[int, ...] = ()
    source: str = ""
    seen: str = ""
    conditions: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.label not in (REAL, FAKE):
            raise ValueError(f"{self.key}: label must be 0 (real) or 1 (fake), got {self.label!r}")
        given = (*self.segments, *self.frames, *(() if self.score is None else (self.score,)))
        if not all(0 <= score <= 1 for score in given):
            raise ValueError(f"{self.key}: scores must be in [0, 1]")
        if len(self.frames) != len(self.frame_indices):
            what = f"got {len(self.frames)} and {len(self.frame_indices)}"
            raise ValueError(f"{self.key}: frames and frame_indices must have the same length, {what}")
        for name, count in (("segment_labels", len(self.segments)), ("frame_labels", len(self.frames))):
            labels = getattr(self, name)
            if labels and (len(labels) != count or not set(labels) <= {REAL, FAKE} or self.label == REAL):
                raise ValueError(f"{self.key}: {name} must be one 0 or 1 for each score of a fake video")
        if self.score is None and (self.segments or self.frames):
            raise ValueError(f"{self.key}: segments or frames have scores, but the video has none")


@dataclass(frozen=True, slots=True)
class Predictions:
    """The scores of one detector for a set of videos.

    Attributes:
        model: Name of the detector in tables and legends.
        videos: Videos in any order. No video appears twice.
        info: Description of the detector and of the test, as JSON values: lists, no tuples; finite numbers.
    """

    model: str
    videos: tuple[VideoScore, ...]
    info: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seen: set[tuple[str, str]] = set()
        for video in self.videos:
            if (video.dataset, video.key) in seen:
                raise ValueError(f"video {video.key!r} of {video.dataset!r} appears twice")
            seen.add((video.dataset, video.key))

    def __len__(self) -> int:
        return len(self.videos)

    def __repr__(self) -> str:
        return f"Predictions({self.model!r}, {len(self)} videos, {len(self.faceless())} of them without a face)"

    def select(
        self,
        *,
        dataset: Names | None = None,
        method: Names | None = None,
        split: Names | None = None,
        compression: Names | None = None,
        source: Names | None = None,
        label: int | None = None,
    ) -> Predictions:
        """Returns the videos that match all given conditions. A condition of None matches every video.

        Args:
            dataset: One or several data sets.
            method: One or several methods.
            split: One or several splits.
            compression: One or several compressions.
            source: One or several folders of shards, by name.
            label: 0 real, 1 fake.
        """
        wanted = {"dataset": dataset, "method": method, "split": split, "compression": compression, "source": source}
        names = {
            key: {value} if isinstance(value, str) else set(value) for key, value in wanted.items() if value is not None
        }
        kept = [
            video
            for video in self.videos
            if (label is None or video.label == label) and all(getattr(video, key) in names[key] for key in names)
        ]
        return replace(self, videos=tuple(kept))

    def faceless(self) -> tuple[VideoScore, ...]:
        """Returns the videos in which no face was found."""
        return tuple(video for video in self.videos if video.score is None)

    def scores(self, missing: Missing = "leave_out") -> Scored:
        """Returns the score and the label of every video.

        Args:
            missing: How to count videos without a face. "leave_out" leaves them out. "half" gives them the score 0.5,
                which means that the detector does not know; at a threshold of 0.5 it counts as real.

        Raises:
            ValueError: if ``missing`` is neither "leave_out" nor "half".
        """
        if missing not in ("leave_out", "half"):
            raise ValueError(f"missing must be 'leave_out' or 'half', got {missing!r}")
        kept = [video for video in self.videos if missing == "half" or video.score is not None]
        return Scored.of(
            [0.5 if video.score is None else video.score for video in kept], [video.label for video in kept]
        )

    def frame_scores(self) -> Scored:
        """Returns the score of every scored frame with its label: that of its video, unless it is fake in parts."""
        labels = [label for v in self.videos for label in v.frame_labels or (v.label,) * len(v.frames)]
        return Scored.of([score for video in self.videos for score in video.frames], labels)

    def at(self, level: Level, missing: Missing = "leave_out") -> Scored:
        """Returns scores and labels of videos, segments or frames.

        Args:
            level: "video", "segment" or "frame".
            missing: How to count videos without a face, see :meth:`scores`; for videos only.
        """
        if level == "video":
            return self.scores(missing)
        return self.segment_scores() if level == "segment" else self.frame_scores()

    def segment_scores(self) -> Scored:
        """Returns the score of every scored segment with its label. A segment is fake if one of its frames is."""
        labels = [label for v in self.videos for label in v.segment_labels or (v.label,) * len(v.segments)]
        return Scored.of([score for video in self.videos for score in video.segments], labels)

    def pairs(self) -> Scored:
        """Returns scores of real-fake pairs of videos, for :func:`mgst_model.evaluate.metrics.pair_accuracy`.

        A fake is paired with the only real video that shows its target identity, in the same data set and at the same
        compression. If there are several such videos, the fake has no pair. Pairs in which a face was not found are
        left out.

        Returns:
            2 n scores with labels: first the n real videos, then their n fakes in the same order.
        """
        reals: dict[tuple[str, str, str], list[VideoScore]] = {}
        for video in self.videos:
            if video.label == REAL and video.target_key:
                reals.setdefault((video.dataset, video.target_key, video.compression), []).append(video)
        both = [
            (originals[0].score, fake.score)
            for fake in self.videos
            if fake.label == FAKE
            and len(originals := reals.get((fake.dataset, fake.target_key, fake.compression), [])) == 1
        ]
        known = [(real, fake) for real, fake in both if real is not None and fake is not None]
        scores = [real for real, _ in known] + [fake for _, fake in known]
        return Scored.of(scores, [REAL] * len(known) + [FAKE] * len(known))

    def save(self, folder: str | Path) -> None:
        """Writes ``predictions.json``, which has everything, and ``predictions.csv``, with one row per video.

        Args:
            folder: Folder to write to. It is created if needed.

        Raises:
            UsageError: if ``info`` has values that JSON cannot represent.
            OutputError: if the folder cannot be written.
        """
        folder = Path(folder)
        document = {
            "format": FORMAT,
            "version": VERSION,
            "model": self.model,
            "info": self.info,
            "videos": [asdict(video) for video in self.videos],
        }
        try:
            text = json.dumps(document, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError) as error:
            raise UsageError(f"info of {self.model} cannot be written as JSON: {error}", where=folder) from error
        with output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / CSV_NAME, self.csv_text().encode())
        # Written last: if this file exists, both files are complete.
        write_atomic(folder / JSON_NAME, text.encode())

    def csv_text(self) -> str:
        """Returns a CSV row per video, with the numbers of segments and frames. The score is empty without a face."""
        text = io.StringIO()
        names = [f.name for f in fields(VideoScore) if f.name not in ("frame_indices", "conditions", *_LABELS)]
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        for video in self.videos:
            row = {name: getattr(video, name) for name in names}
            writer.writerow(row | {name: len(getattr(video, name)) for name in _NUMBERS})
        return text.getvalue()

    @staticmethod
    def load(path: str | Path) -> Predictions:
        """Reads predictions that :meth:`save` wrote.

        Args:
            path: The folder, or its ``predictions.json``.

        Raises:
            UsageError: if the file is missing, cannot be read, or is not a predictions file.
        """
        file = Path(path)
        file = file / JSON_NAME if file.is_dir() else file
        try:
            document = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse)
        except OSError as error:
            what = (error.strerror or "cannot be read").lower()
            raise UsageError(what, where=file, hint="give a folder of predictions") from error
        except (ValueError, RecursionError) as error:  # no JSON, no UTF-8
            raise UsageError(f"not valid JSON: {printable(error)}", where=file) from error
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise UsageError("not a predictions file", where=file, hint=f"expected a {JSON_NAME} of mgst-evaluate")
        if document.get("version") != VERSION:
            what = f"format version must be {VERSION}, got {document.get('version')!r}"
            raise UsageError(what, where=file, hint="evaluate again, or use the version of mgst that wrote it")
        return _predictions(document, file)


def _predictions(document: Mapping[str, Any], file: Path) -> Predictions:
    model, info, videos = (document.get(name) for name in ("model", "info", "videos"))
    if not (isinstance(model, str) and isinstance(info, dict) and isinstance(videos, list)):
        raise UsageError("model, info or videos is missing", where=file, hint="the file is damaged; evaluate again")
    try:
        return Predictions(model, tuple(VideoScore(**_checked(video)) for video in videos), info)
    except (ValueError, OverflowError) as error:
        raise UsageError(str(error), where=file, hint="the file is damaged; evaluate again") from error


def _checked(video: object) -> dict[str, Any]:
    """Returns the fields of one video with their expected types.

    Raises:
        ValueError: if a field is missing, unknown, or of another type.
    """
    names = {f.name for f in fields(VideoScore)}
    video = _CAME_LATER | video if isinstance(video, dict) else video
    if not isinstance(video, dict) or video.keys() != names:
        raise ValueError(f"a video must be an object with the keys {', '.join(sorted(names))}")
    for name in _TEXT:
        if not isinstance(video[name], str):
            raise ValueError(f"{name} of a video must be a string")  # noqa: TRY004 - one error type for a bad file
    key = printable(video["key"])
    if type(video["label"]) is not int or type(video["score"]) not in (int, float, NoneType):
        raise ValueError(f"{key}: label and score must be numbers")
    numbers = dict.fromkeys(_NUMBERS, (int, float)) | dict.fromkeys(("frame_indices", *_LABELS), (int,))
    for name, kinds in numbers.items():
        if not (isinstance(video[name], list) and all(type(item) in kinds for item in video[name])):
            raise ValueError(f"{key}: {name} must be a list of numbers")
    conditions = video["conditions"]
    if not isinstance(conditions, dict) or not all(type(value) in (int, float) for value in conditions.values()):
        raise ValueError(f"{key}: conditions must be numbers by name")
    lists = {name: tuple(float(item) for item in video[name]) for name in _NUMBERS}
    score = None if video["score"] is None else float(video["score"])
    whole = {name: tuple(video[name]) for name in ("frame_indices", *_LABELS)}
    return {**video, **lists, **whole, "score": score}


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not a JSON number")
