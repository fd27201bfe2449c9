"""Splits by person, leakage, and the table that holds them."""

import json
from dataclasses import replace

import pytest
from people.people_shards import many, people_of, person_record, splits_of_persons, write_records

from mgst_data.core import ShardError, UsageError
from mgst_data.people import effective_splits, find_leaks, split_by_people
from mgst_data.people.split import connected
from mgst_data.shards import ShardReader
from mgst_data.shards.people import PEOPLE, PeopleTable


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """Forty videos of twenty persons."""
    return people_of(tmp_path_factory.mktemp("crowd") / "shards", *many(40, 20))


def test_a_person_is_in_one_split_only(crowd):
    splits = split_by_people(crowd, val=0.1, test=0.2)
    assert all(len(places) == 1 for places in splits_of_persons(crowd, splits).values())
    counts = [list(splits.values()).count(split) for split in ("train", "val", "test")]
    assert counts == [28, 4, 8]
    assert find_leaks(crowd, splits) == []


def test_the_seed_decides_who_is_where(crowd):
    first, again, other = (split_by_people(crowd, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


def test_fakes_stay_with_the_videos_that_they_are_made_of(tmp_path):
    reals = [person_record(f"r{i}", target=f"set/{i}") for i in range(20)]
    # Every fake shows the face of person i, who is in no real video, in the video of i.
    fakes = [person_record(f"f{i}", label=1, source=f"set/{i + 1}", target=f"set/{i}") for i in range(0, 20, 2)]
    people = people_of(tmp_path / "shards", reals + fakes, [f"p{i}" for i in range(30)])
    splits = split_by_people(people, val=0.2, test=0.2)
    for i in range(0, 20, 2):
        assert splits[0, f"f{i}"] == splits[0, f"r{i}"] == splits[0, f"r{i + 1}"]
    assert {splits[0, fake.key] for fake in fakes} == {"train", "val", "test"}


def test_official_splits_win_and_draw_their_persons_along(tmp_path):
    records, persons = many(20, 10)
    records = [replace(record, split="test") if i < 3 else record for i, record in enumerate(records)]
    people = people_of(tmp_path / "shards", records, persons)
    splits = split_by_people(people, val=0.2, test=0.3)
    assert not {(0, record.key) for record in records[:3]} & set(splits)
    assert [splits[0, f"v{i + 10:03d}"] for i in range(3)] == ["test"] * 3


def test_near_duplicates_stay_together(crowd):
    pairs = [((0, "v000"), (0, f"v{i:03d}")) for i in range(1, 5)]
    splits = split_by_people(crowd, more=pairs)
    assert len({splits[0, f"v{i:03d}"] for i in range(5)}) == 1


@pytest.mark.parametrize(("val", "test"), [(0.6, 0.5), (-0.1, 0.2), (0.5, 0.5)])
def test_impossible_shares_are_refused(crowd, val, test):
    with pytest.raises(UsageError, match="leave a share for train"):
        split_by_people(crowd, val=val, test=test)


def test_a_split_that_stays_empty_is_an_error(tmp_path):
    people = people_of(tmp_path / "shards", *many(10, 1))
    with pytest.raises(UsageError, match="no videos for val and test: 1 groups, the largest has 10 of 10"):
        split_by_people(people)


def test_a_leak_names_the_person_and_a_pair_of_tracks(crowd):
    splits = dict.fromkeys([(0, f"v{i:03d}") for i in range(40)], "train") | {(0, "v003"): "test", (0, "v004"): ""}
    (leak,) = find_leaks(crowd, splits)
    assert (leak.person, leak.splits, leak.pairs) == ("p03", ("train", "test"), 1)
    assert [crowd.faces[0].video[row] for row in leak.rows] == ["v023", "v003"]


def test_readers_use_the_splits_of_the_table(tmp_path):
    records, persons = many(20, 10)
    records[0] = replace(records[0], split="test")
    out = tmp_path / "shards"
    people = people_of(out, records, persons)
    assert len(ShardReader.open(out, split="train")) == 0
    splits = split_by_people(people, val=0.2, test=0.3)
    (table,) = people.tables(splits, {"seed": 0, "val": 0.2, "test": 0.3})
    table.write(out)
    assert PeopleTable.read(out) == table
    effective = effective_splits(people, splits)
    for split in ("train", "val", "test"):
        reader = ShardReader.open(out, split=split)
        assert set(reader.videos) == {key for (_, key), name in effective.items() if name == split}
        assert {chunk.record.split for chunk in reader} == {split}
    assert "v000" in ShardReader.open(out, split="test").videos
    assert len(ShardReader.open(out)) == 20


def test_a_later_run_without_split_keeps_the_splits(tmp_path):
    people = people_of(tmp_path / "shards", *many(20, 10))
    (table,) = people.tables(split_by_people(people), {"seed": 0})
    table.write(tmp_path / "shards")
    assert people.tables() == [table]


def test_a_malformed_table_is_one_line(tmp_path):
    out = write_records(tmp_path / "shards", many(4, 2)[0])
    assert PeopleTable.read(out) is None
    for text in ("{", "[]", '{"schema": 9}', json.dumps({"schema": 1, "network": "", "threshold": 0.5})):
        (out / PEOPLE).write_text(text)
        with pytest.raises(ShardError, match="run mgst-data people again"):
            ShardReader.open(out)


def test_items_are_one_group_if_they_share_a_name_also_through_others():
    names = {"a": ["x"], "b": [], "c": ["y"], "d": ["x", "y"], "x": []}
    assert connected(names) == [["a", "c", "d"], ["b"], ["x"]]
