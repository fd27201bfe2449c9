"""Parts: several runs into one folder, on any machines, give the folder of one run."""

import multiprocessing
import re

import pytest
from fakes import FakeExtractor, record_of

from mgst_data.core import OutputError, UsageError
from mgst_data.datasets import Note, Scan
from mgst_data.extract import ExtractConfig, extract, job
from mgst_data.shards import Part, ShardFolder

SCAN = Scan(tuple(map(record_of, [*"abcdefg", "empty", "noface"])), (Note("a note", "here", "there"),))


pytestmark = pytest.mark.usefixtures("fake_extractor")


def go(out, part="", *, scan=SCAN, **options):
    options = {"executor": "serial", "device": "cpu", "videos_per_shard": 2, **options}
    return extract(scan, ExtractConfig(), out, part=Part.parse(part) if part else None, **options)


def files(out):
    """Bytes of all files; of reports, without their times."""
    return {path.name: re.sub(rb'"seconds": [0-9.e-]+', b"", path.read_bytes()) for path in out.iterdir()}


@pytest.fixture
def whole(tmp_path):
    go(tmp_path / "whole")
    return files(tmp_path / "whole")


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_parts_in_any_order_give_the_folder_of_one_run(tmp_path, whole, order):
    out = tmp_path / "parts"
    made = [go(out, f"{number}/3") for number in order]
    assert [summary.complete for summary in made] == [False, False, True]
    assert [summary.part for summary in made] == [f"{number}/3" for number in order]
    assert sum(summary.videos for summary in made) == len(SCAN.records)
    assert files(out) == whole
    assert go(out, "2/3").videos == 0


def test_a_part_makes_its_own_shards_only_and_more_parts_than_shards_are_fine(tmp_path):
    out = tmp_path / "parts"
    summary = go(out, "2/4")
    plan = tuple(ShardFolder.read(out).plan)
    assert {path.stem for path in out.glob("*.tar")} == set(Part(2, 4).shards(plan)) == {plan[1]}
    assert summary.part_shards == 1
    assert go(out, f"{len(plan) + 1}/{len(plan) + 1}").part_shards == 0


@pytest.mark.parametrize("of", [1, 2, 3, 7, 40])
def test_every_shard_is_in_one_part(of):
    plan = [f"train-{number:06d}" for number in range(20)]
    dealt = [name for number in range(1, of + 1) for name in Part(number, of).shards(plan)]
    assert sorted(dealt) == plan
    assert max(len(Part(number, of).shards(plan)) for number in range(1, of + 1)) == -(-20 // of)


def test_parts_at_the_same_time_give_the_folder_of_one_run(tmp_path, whole):
    out = tmp_path / "parts"
    context = multiprocessing.get_context("fork")
    team = [context.Process(target=go, args=(out, f"{number}/4")) for number in range(1, 5)]
    for one in team:
        one.start()
    for one in team:
        one.join(60)
    assert [one.exitcode for one in team] == [0] * 4
    assert files(out) == whole


def hold(out, part, ready, end):
    """Runs a part that waits at its first video."""

    class Slow(FakeExtractor):
        def __call__(self, record):
            ready.set()
            end.wait(60)
            return super().__call__(record)

    job._load.cache_clear()
    job.Extractor = Slow
    go(out, part)


def test_runs_that_would_write_the_same_shards_are_refused(tmp_path, whole):
    out = tmp_path / "parts"
    context = multiprocessing.get_context("fork")
    ready, end = context.Event(), context.Event()
    other = context.Process(target=hold, args=(out, "1/2", ready, end))
    other.start()
    assert ready.wait(60)
    for part, what in (("", "makes part 1/2"), ("1/3", "makes part 1/2"), ("1/2", "in use by another run")):
        with pytest.raises(OutputError, match=what) as caught:
            go(out, part)
        assert caught.value.reason == "locked"
    unfinished = {path.name for path in out.glob("*.tar.part")}
    go(out, "2/2")
    assert unfinished <= {path.name for path in out.iterdir()}
    end.set()
    other.join(60)
    assert other.exitcode == 0
    assert files(out) == whole


def test_a_part_needs_the_videos_of_the_plan_and_cannot_change_it(tmp_path):
    out = tmp_path / "parts"
    go(out, "1/2")
    more = Scan((*SCAN.records, record_of("new")))
    with pytest.raises(UsageError, match=r"1 videos are not in the plan .* for example new"):
        go(out, "2/2", scan=more)
    with pytest.raises(UsageError, match="a part cannot plan videos again"):
        go(out, "2/2", retry="all")


@pytest.mark.parametrize("text", ["3", "0/4", "5/4", "1/0", "-1/3", "a/b", "1/2/3", ""])
def test_a_malformed_part_is_refused(text):
    with pytest.raises(UsageError, match="K/N"):
        Part.parse(text)
