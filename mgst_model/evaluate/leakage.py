"""Finds test videos that a network was trained on, whatever their folder or name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mgst_data.core import UsageError
from mgst_data.shards import ShardFolder, VideoReport
from mgst_data.shards.report import latest
from mgst_model.evaluate.predictions import Predictions
from mgst_model.networks.checkpoint import weights_file
from mgst_model.networks.trained_videos import PERSON, TRAINED, VALIDATED, KnownVideo, TrainedVideos

_WORDS = {
    VALIDATED: "test videos were used in its validation, which chose the weights",
    PERSON: "test videos show persons that it was trained on",
}


@dataclass(frozen=True, slots=True)
class Leakage:
    """What a network knows of the videos of a test.

    Attributes:
        known: "trained", "validated" or "person" for every video that the network knows, by data set and key.
        notes: What is known and not refused, and what could not be checked: one line each.
    """

    known: Mapping[tuple[str, str], str]
    notes: tuple[str, ...]

    def mark(self, predictions: Predictions) -> Predictions:
        """Returns the predictions with ``seen`` set for the videos that the network knows."""
        videos = (replace(video, seen=self.known.get((video.dataset, video.key), "")) for video in predictions.videos)
        return replace(predictions, videos=tuple(videos))


def find_leakage(
    weights: str | Path | None, locations: Sequence[str], split: str | None, *, allow_trained_on: bool = False
) -> Leakage:
    """Compares the videos of a test with those that a network was trained and validated on.

    Files are compared by their hash, so neither their name nor their folder matters. A file that was encoded again or
    cut has another hash.

    Args:
        weights: Weights of the network, see :func:`mgst_model.networks.checkpoint.read_card`; None for a detector of
            others, whose training is not known.
        locations: Folders of shards of the test, by path or URL.
        split: Only videos of this split; None for all.
        allow_trained_on: Whether videos that the network was trained on are allowed.

    Raises:
        UsageError: if the network was trained on a test video, and that is not allowed; or if the list of its videos is
            damaged.
    """
    trained = None if weights is None else TrainedVideos.load(weights_file(weights))
    if trained is None:
        what = "it is not known which videos this {} was trained on, so test videos are not checked for leakage"
        if weights is None:
            return Leakage({}, (what.format("detector"),))
        return Leakage({}, (f"{what.format('network')} (there is no list of videos beside the weights)",))
    tested = [(location, video) for location in locations for video in _videos(location, split)]
    known: dict[tuple[str, str], str] = {}
    for location, report in tested:
        found = trained.find(KnownVideo.of(report))
        if found is None:
            continue
        known[report.dataset, report.key] = found[0]
        if found[0] == TRAINED and not allow_trained_on:
            count = sum((trained.find(KnownVideo.of(video)) or ("",))[0] == TRAINED for _, video in tested)
            what = f"the network was trained on {count:,} of {len(tested):,} test videos, for example {report.video}"
            hint = "leave them out, or use --allow-trained-on, which marks them in the tables"
            raise UsageError(f"{what} (as {found[1].key} of {found[1].dataset})", where=location, hint=hint)
    counts = Counter(known.values())
    notes = [f"{counts[name]:,} of {len(tested):,} {words}" for name, words in _WORDS.items() if counts[name]]
    if counts[TRAINED]:
        notes.insert(0, f"{counts[TRAINED]:,} of {len(tested):,} test videos were trained on; the table marks them")
    unhashed = sum(not report.content for _, report in tested)
    if unhashed or not trained.hashed:
        lacking = f"{unhashed:,} test videos" if unhashed else "some training videos"
        notes.append(
            f"{lacking} have no hash of their file (extract them again): a copy under another name is not found"
        )
    return Leakage(known, tuple(notes))


def _videos(location: str, split: str | None) -> list[VideoReport]:
    reports = latest(ShardFolder.read(location).reports()).values()
    return [video for video in reports if video.chunks and split in (None, video.split)]
