"""What a detector said of every video of a test set: kept in files, selected from, handed to metrics."""

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
Names = str | Collection[str]
_TEXT = ("key", "dataset", "method", "split", "compression", "source_key", "target_key")
_NUMBERS = ("segments", "frames")


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoScore:
    """The scores of one video, [0, 1]; higher is more likely fake. They are no probabilities unless calibrated.

    Attributes:
        key: Of its record, unique within its data set; dataset, method, split, compression and label are the record's.
        label: 0 real, 1 fake.
        method: Name of the manipulation; "real" for real videos.
        score: None where no face was found.
        segments: Score of every segment that was looked at.
        frames: Score of every frame that was looked at.
        frame_indices: Their numbers in the video.
        source_key: Identity whose face was taken, or "".
        target_key: Identity that the video shows, or "".
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

    def __post_init__(self) -> None:
        if self.label not in (REAL, FAKE):
            raise ValueError(f"{self.key}: label is 0 (real) or 1 (fake), not {self.label!r}")
        given = (*self.segments, *self.frames, *(() if self.score is None else (self.score,)))
        if not all(0 <= score <= 1 for score in given):
            raise ValueError(f"{self.key}: a score lies outside of [0, 1]")
        if len(self.frames) != len(self.frame_indices):
            raise ValueError(f"{self.key}: {len(self.frames)} frames have {len(self.frame_indices)} indices")
        if self.score is None and (self.segments or self.frames):
            raise ValueError(f"{self.key}: parts of it are scored, but not the whole")


@dataclass(frozen=True, slots=True)
class Predictions:
    """What one detector said of a set of videos.

    Attributes:
        model: Its name, as tables and legends show it.
        videos: In any order; no video twice.
        info: Whatever describes the detector and the test, as JSON has it: lists, no tuples; finite numbers.
    """

    model: str
    videos: tuple[VideoScore, ...]
    info: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seen: set[tuple[str, str]] = set()
        for video in self.videos:
            if (video.dataset, video.key) in seen:
                raise ValueError(f"video {video.key!r} of {video.dataset!r} is there twice")
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
        label: int | None = None,
    ) -> Predictions:
        """Those of the videos that are of one of the names given, for everything that is given."""
        wanted = {"dataset": dataset, "method": method, "split": split, "compression": compression}
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
        """The videos in which no face was found."""
        return tuple(video for video in self.videos if video.score is None)

    def scores(self, missing: Missing = "leave_out") -> Scored:
        """Score and label of every video.

        Args:
            missing: What becomes of videos without a face: they are left out, or score 0.5 ("half"), a detector's
                answer when it does not know. At a threshold of 0.5, that counts as real.
        """
        if missing not in ("leave_out", "half"):
            raise ValueError(f"missing is 'leave_out' or 'half', not {missing!r}")
        kept = [video for video in self.videos if missing == "half" or video.score is not None]
        return Scored.of(
            [0.5 if video.score is None else video.score for video in kept], [video.label for video in kept]
        )

    def frame_scores(self) -> Scored:
        """Score of every frame that was looked at, with the label of its video."""
        labels = [video.label for video in self.videos for _ in video.frames]
        return Scored.of([score for video in self.videos for score in video.frames], labels)

    def pairs(self) -> Scored:
        """Fakes beside the real videos they were made from, for :func:`mgst_model.evaluate.metrics.pair_accuracy`.

        A real video belongs to a fake if it shows the fake's target, in the same data set, at the same compression, and
        if it is the only one; pairs in which a face was not found are left out.

        Returns:
            2 n scores: n of reals, then n of their fakes, with their labels.
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
        """Writes ``predictions.json``, which has everything, and ``predictions.csv``, a row for every video.

        Raises:
            UsageError: if ``info`` holds what JSON cannot.
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
            raise UsageError(f"info of {self.model} does not fit into JSON: {error}", where=folder) from error
        with output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / CSV_NAME, self.csv_text().encode())
        # Last: where it is, both are whole.
        write_atomic(folder / JSON_NAME, text.encode())

    def csv_text(self) -> str:
        """A row for every video, with the number of segments and frames in place of their scores; "" without a face."""
        text = io.StringIO()
        names = [f.name for f in fields(VideoScore) if f.name != "frame_indices"]
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        for video in self.videos:
            row = {name: getattr(video, name) for name in names}
            writer.writerow(row | {name: len(getattr(video, name)) for name in _NUMBERS})
        return text.getvalue()

    @staticmethod
    def load(path: str | Path) -> Predictions:
        """Reads what :meth:`save` wrote.

        Args:
            path: The folder, or its ``predictions.json``.

        Raises:
            UsageError: if it is not there, cannot be read, or is something else.
        """
        file = Path(path)
        file = file / JSON_NAME if file.is_dir() else file
        try:
            document = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse)
        except OSError as error:
            what = (error.strerror or "cannot be read").lower()
            raise UsageError(what, where=file, hint="give a folder of predictions") from error
        except (ValueError, RecursionError) as error:  # no JSON, no UTF-8
            raise UsageError(f"is no valid JSON: {printable(error)}", where=file) from error
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise UsageError("holds no predictions", where=file, hint=f"expected a {JSON_NAME} of this toolkit")
        if document.get("version") != VERSION:
            what = f"has version {document.get('version')!r} of the format, not {VERSION}"
            raise UsageError(what, where=file, hint="evaluate again, or use the toolkit that wrote it")
        return _predictions(document, file)


def _predictions(document: Mapping[str, Any], file: Path) -> Predictions:
    model, info, videos = (document.get(name) for name in ("model", "info", "videos"))
    if not (isinstance(model, str) and isinstance(info, dict) and isinstance(videos, list)):
        raise UsageError("lacks model, info or videos", where=file, hint="the file is damaged; evaluate again")
    try:
        return Predictions(model, tuple(VideoScore(**_checked(video)) for video in videos), info)
    except (ValueError, OverflowError) as error:
        raise UsageError(str(error), where=file, hint="the file is damaged; evaluate again") from error


def _checked(video: object) -> dict[str, Any]:
    """One video's fields, each of its type; raises ValueError otherwise."""
    names = {f.name for f in fields(VideoScore)}
    if not isinstance(video, dict) or video.keys() != names:
        raise ValueError(f"a video is no table of {', '.join(sorted(names))}")
    for name in _TEXT:
        if not isinstance(video[name], str):
            raise ValueError(f"a video's {name} is no text")  # noqa: TRY004 - one kind of error for a bad file
    key = printable(video["key"])
    if type(video["label"]) is not int or type(video["score"]) not in (int, float, NoneType):
        raise ValueError(f"{key}: label or score is no number")
    for name, kinds in (("segments", (int, float)), ("frames", (int, float)), ("frame_indices", (int,))):
        if not (isinstance(video[name], list) and all(type(item) in kinds for item in video[name])):
            raise ValueError(f"{key}: {name} are no list of numbers")
    lists = {name: tuple(float(item) for item in video[name]) for name in _NUMBERS}
    score = None if video["score"] is None else float(video["score"])
    return {**video, **lists, "score": score, "frame_indices": tuple(video["frame_indices"])}


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number of JSON")
