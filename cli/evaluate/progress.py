"""Shows the progress of scoring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mgst_data.shards.outputs import OutputFolder
from mgst_model.evaluate.cache import ScoreWatcher

from ..common.progress import Display, display
from ..common.show import count

SECONDS_BETWEEN_LINES = 10.0


class Scores:
    """Progress of scoring over all sets of scores."""

    def __init__(self) -> None:
        self.done: float = 0
        self.total: float | None = None
        self.turn = self.turns = self.videos = self.of = 0
        self.label = ""

    def words(self) -> Sequence[str]:
        """The set that is being scored, and how many of its videos are done."""
        if not self.turn:
            return ()
        place = f" ({self.turn:,} of {self.turns:,})" if self.turns > 1 else ""
        return (f"{self.label}{place}: {self.videos:,}/{count(self.of, 'video')}",)


class CourseWatcher(ScoreWatcher):
    """Shows the progress of scoring.

    Args:
        shown: Display on stderr.
        scores: Progress that the display shows.
        out: Folder of the scores.
    """

    def __init__(self, shown: Display, scores: Scores, out: OutputFolder) -> None:
        self._shown, self._scores, self._out = shown, scores, out

    def saved(self) -> None:
        """Uploads the scores of a set, if the folder is behind a URL."""
        self._out.upload()

    def begin(self, todo: int, there: int) -> None:
        """Prints how many sets of scores are reused."""
        self._scores.turns, self._scores.total = todo, todo
        if there:
            what = f"{there:,} of {count(todo + there, 'set')} of scores"
            self._shown.say(f"reusing {what}: same weights, shards and options (--again scores them again)")

    def turn(self, label: str) -> None:
        """Starts the next set of scores."""
        scores = self._scores
        scores.turn, scores.label, scores.videos, scores.of = scores.turn + 1, label, 0, 0
        scores.done = scores.turn - 1

    def saw(self, done: int, of: int) -> None:
        """Updates the progress of the current set of scores.

        Args:
            done: Number of its videos that are done.
            of: Number of its videos.
        """
        scores = self._scores
        scores.videos, scores.of, scores.done = done, of, scores.turn - 1 + done / of
        self._shown.tick()


@contextmanager
def score_watcher(out: OutputFolder, *, interval: float = SECONDS_BETWEEN_LINES) -> Iterator[ScoreWatcher]:
    """Returns a watcher that shows the progress of scoring on stderr.

    Args:
        out: Folder of the scores.
        interval: Seconds between two lines if stderr is not a terminal.
    """
    scores = Scores()
    with display(scores, interval=interval) as shown:
        yield CourseWatcher(shown, scores, out)
