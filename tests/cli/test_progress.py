import io
import re

import pytest
from mgst_cli.common import progress
from mgst_cli.common.progress import Display, Work, display
from mgst_cli.data.progress import ExtractWatcher, Pace, beginning, extract_watcher
from rich.console import Console

from mgst_data.core import VideoRecord
from mgst_data.shards import ShardReport, ShardTask, VideoReport


def record_of(number):
    path = f"videos/{number}.mp4"
    return VideoRecord(f"v{number}", f"/data/{path}", path, dataset="set", split="train", label=0, method="real")


def report_of(number, reason="", notes=()):
    about = {"key": f"v{number}", "video": f"videos/{number}.mp4", "dataset": "set", "split": "train", "label": 0}
    status = "skipped" if reason else "done"
    message = f"videos/{number}.mp4: no face" if reason else ""
    return VideoReport(**about, method="real", status=status, reason=reason, message=message, frames=250, notes=notes)


NOTE = (("truncated", "videos/5.mp4: the video is damaged; 17 frames were decoded"),)
TASKS = [ShardTask("train-000000", tuple(map(record_of, range(10))))]


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when ``clock(seconds)`` is called."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])

    def move(seconds):
        now[0] += seconds

    return move


def told(course):
    return "  ".join(course.words())


def test_rates_count_finished_videos_and_the_time_left_counts_down(clock):
    pace = Pace()
    pace.begin(TASKS, 0)
    assert told(pace) == "0/10 videos  starting"
    clock(4)
    pace.add(report_of(0))
    pace.add(report_of(1, "no_face"))
    assert told(pace) == "2/10 videos  0.5/s  125 frames/s  0:00:16 left  1 skipped"
    clock(6)
    assert told(pace) == "2/10 videos  0.5/s  125 frames/s  0:00:10 left  1 skipped"
    clock(60)
    assert "0:00:00 left" in told(pace)


def test_videos_of_an_earlier_run_count_as_done_but_not_for_the_rates(clock):
    pace = Pace()
    pace.begin(TASKS, 4)
    assert told(pace) == "4/10 videos  starting"
    clock(4)
    pace.add(report_of(4, notes=NOTE))
    assert told(pace) == "5/10 videos  0.2/s  62 frames/s  0:00:20 left  1 noted"


def test_without_a_terminal_there_are_regular_lines_and_one_per_skip_or_note(clock):
    file = io.StringIO()
    pace = Pace()
    watcher = ExtractWatcher(Display(pace, Console(file=file, width=20), None, 5), pace)
    watcher.begin(TASKS, 3, 0)
    for number in range(10):
        clock(2)
        watcher.see(report_of(number, "no_face" if number == 3 else "", NOTE if number == 5 else ()))
    watcher.see(ShardReport("train-000000", ()))
    assert file.getvalue().splitlines() == [
        "extracting 10 videos into 1 shard; 2 of 3 shards are complete",
        "3/10 videos  0.5/s  125 frames/s  0:00:14 left",
        "skipped (no_face): videos/3.mp4: no face",
        "kept, with a note (truncated): videos/5.mp4: the video is damaged; 17 frames were decoded",
        "6/10 videos  0.5/s  125 frames/s  0:00:08 left  1 skipped  1 noted",
        "9/10 videos  0.5/s  125 frames/s  0:00:02 left  1 skipped  1 noted",
    ]


@pytest.mark.parametrize(
    ("planned", "kept", "words"),
    [
        (1, 0, "extracting 10 videos into 1 shard"),
        (
            3,
            4,
            "extracting 6 videos into 1 shard; 2 of 3 shards are complete; 4 videos of this shard already extracted",
        ),
    ],
)
def test_first_line_has_planned_and_finished_work(planned, kept, words):
    assert beginning(TASKS, planned, kept) == words


@pytest.mark.parametrize("width", [60, 120])
def test_the_bar_fits_the_terminal(monkeypatch, clock, width):
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=width, legacy_windows=False)
    monkeypatch.setattr(progress, "Console", lambda **_: console)
    with extract_watcher() as watcher:
        watcher.begin([ShardTask("train-000000", TASKS[0].records * 12_000)], 1, 0)
        for number in range(9000):
            clock(0.9)
            watcher.see(report_of(number, "no_face" if number % 10 == 0 else ""))
        watcher._shown._live.refresh()
    shown = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line) for line in re.split(r"[\r\n]", file.getvalue())]
    assert max(map(len, shown)) <= width
    last = next(line for line in reversed(shown) if "videos" in line)
    assert "9,000/120,000 videos  1.1/s  278 frames/s  27:45:00 left  900 skipped".startswith(last.strip().rstrip("…"))
    assert not any("skipped (no_face)" in line for line in shown)


def test_without_a_terminal_and_interval_nothing_is_shown(capsys):
    work = Work("scoring", unit="frames")
    with display(work, interval=None) as shown:
        work.tell("scoring", done=3, total=8)
        shown.tick()
    assert capsys.readouterr().err == ""
    assert work.words()[0].startswith("scoring 3/8 frames  ")
