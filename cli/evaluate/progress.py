"""How scoring is watched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mgst_model.evaluate.cache import ScoreWatcher

from ..common.progress import Display, display
from ..common.show import count

SECONDS_BETWEEN_LINES = 10.0


class Scores:
    """How far scoring has come, over all parts."""

    def __init__(self) -> None:
        self.done: float = 0
        self.total: float | None = None
        self.turn = self.turns = self.videos = self.of = 0
        self.label = ""

    def words(self) -> Sequence[str]:
        """Which part is scored, and how many of its videos are."""
        if not self.turn:
            return ()
        place = f" ({self.turn:,} of {self.turns:,})" if self.turns > 1 else ""
        return (f"{self.label}{place}: {self.videos:,}/{count(self.of, 'video')}",)


class CourseWatcher(ScoreWatcher):
    """Shows the course of scoring."""

    def __init__(self, shown: Display, scores: Scores) -> None:
        self._shown, self._scores = shown, scores

    def begin(self, todo: int, there: int) -> None:
        """Says how many parts are there already."""
        self._scores.turns, self._scores.total = todo, todo
        if there:
            what = f"{there:,} of {count(todo + there, 'set')} of scores"
            self._shown.say(f"{what} made before, of the same weights, shards and options (--again makes them anew)")

    def turn(self, label: str) -> None:
        """Says what is scored now."""
        scores = self._scores
        scores.turn, scores.label, scores.videos, scores.of = scores.turn + 1, label, 0, 0
        scores.done = scores.turn - 1

    def saw(self, done: int, of: int) -> None:
        """Counts videos."""
        scores = self._scores
        scores.videos, scores.of, scores.done = done, of, scores.turn - 1 + done / of
        self._shown.tick()


@contextmanager
def score_watcher(*, interval: float = SECONDS_BETWEEN_LINES) -> Iterator[ScoreWatcher]:
    """A watcher that shows scoring on stderr."""
    scores = Scores()
    with display(scores, interval=interval) as shown:
        yield CourseWatcher(shown, scores)
