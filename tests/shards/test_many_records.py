"""Tables of records and plans: little memory, and the same records, order and bytes as with plain objects."""

from __future__ import annotations

import hashlib
import json
import random
import tracemalloc
from collections import defaultdict
from dataclasses import replace

import pytest
from synthetic_shards import record_of

from mgst_data.core import RecordTable, VideoRecord, record_table
from mgst_data.core.records import SPLITS
from mgst_data.shards import plan, plan_shards
from mgst_data.shards.folder import ShardFolder, open_folder
from mgst_data.shards.plan import Plan, ShardTasks

ODD = VideoRecord(
    "odd", "/data/a\udcff b.mp4", r"a\xff b.mp4", "d\u00e9j\u00e0", "val", 1, "swap", "c23", "d/1", "d/2",
    "/masks/a.mp4", ((0, 1.5), (2.25, 3.1)), "/points/a",
)  # fmt: skip
ELSEWHERE = VideoRecord.unlabelled("https://x.org/a?b=1", key="elsewhere")
LAST_ONLY = replace(record_of("last"), landmarks_path="/p")


def many(number=300, seed=0):
    rng = random.Random(seed)
    made = [
        replace(
            record_of(f"v{i:04d}", label=i % 2, split=rng.choice((*SPLITS, ""))),
            method=rng.choice(("Deepfakes", "NeuralTextures")) if i % 2 else "real",
            compression=rng.choice(("", "c23")),
        )
        for i in range(number)
    ]
    rng.shuffle(made)
    return [*made, ODD, ELSEWHERE, LAST_ONLY]


def test_a_table_is_the_sequence_of_its_records():
    records = many()
    table = RecordTable(records)
    assert table == records
    assert tuple(records) == table
    assert table[-3] == ODD
    assert table[5:9] == records[5:9]
    assert hash(table) == hash(tuple(records))
    assert RecordTable.of(table) is table
    assert list(table.fields("path", "label")) == [(record.path, record.label) for record in records]
    with pytest.raises(IndexError):
        table[len(records)]


def test_selections_and_orders_are_those_of_a_list():
    records = many()
    table = RecordTable(records)
    by_video = sorted(records, key=lambda record: (record.video, record.key))
    assert table.sorted() == by_video
    assert table.sorted().sorted() == by_video
    assert table.where(lambda label, _: label == 1, "label", "key") == [record for record in records if record.label]
    assert table.sorted().take([3, 1]).take([1]) == [by_video[1]]
    with pytest.raises(ValueError, match="selection"):
        table.sorted().append(ODD)


def test_long_tables_are_sorted_in_runs(monkeypatch):
    monkeypatch.setattr(record_table, "_RUN", 7)
    records = many()
    assert RecordTable(records).sorted() == sorted(records, key=lambda record: (record.video, record.key))


@pytest.mark.parametrize("same_hash", [False, True])
def test_keys_are_found_even_if_all_hashes_are_equal(monkeypatch, same_hash):
    if same_hash:
        monkeypatch.setattr(record_table, "hash", lambda _: 0, raising=False)
    records = many(40)
    table = RecordTable(records)
    asked = [record.key for record in records[::3]] + ["nobody"]
    assert list(table.find(asked)) == [*range(0, len(records), 3), -1]
    assert table.repeated() == []
    assert RecordTable([*records, records[4], records[2]]).repeated() == sorted((records[4].key, records[2].key))
    assert list(RecordTable().find(asked)) == [-1] * len(asked)


def test_a_text_with_a_nul_is_refused():
    with pytest.raises(ValueError, match="NUL"):
        RecordTable([replace(ODD, mask_path="a\0b")])


def test_a_table_needs_a_fraction_of_the_memory_of_objects():
    def fresh(i):
        return VideoRecord(
            f"k{i}", f"/data/DFDC/{i:030d}.mp4", f"{i:030d}.mp4", "dfdc", "train", 1, "x", "", "", f"d/{i}"
        )

    tracemalloc.start()
    objects = [fresh(i) for i in range(1_000)]
    needed, _ = tracemalloc.get_traced_memory()
    table = RecordTable(map(fresh, range(1_000)))
    with_table, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert table == objects
    assert with_table - needed < needed / 4


def place(text):
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "little") / 2**48


@pytest.mark.parametrize("tied", [False, True])
def test_the_order_of_a_plan_is_that_of_its_definition(monkeypatch, tied):
    if tied:
        monkeypatch.setattr(plan, "_hashes", lambda texts: plan.np.full(len(list(texts)), 0.5))
    code = (lambda _: 0.5) if tied else place
    records = many()
    for split in (*SPLITS, ""):
        groups = defaultdict(list)
        for record in records:
            if record.split == split:
                groups[record.dataset, record.label, record.method, record.compression].append(record)
        spread = [
            ((i + code(repr(name))) / len(group), record.key, record)
            for name, group in groups.items()
            for i, record in enumerate(sorted(group, key=lambda one: (code(one.key), one.key)))
        ]
        expected = [record.key for *_, record in sorted(spread, key=lambda item: item[:2])]
        planned = [record.key for task in plan_shards(records) for record in task.records if record.split == split]
        assert planned == expected


def test_the_state_of_a_folder_is_plain_indented_json(tmp_path):
    config = {"extract": {"size": 3, "name": "\u00e9"}}
    for records in ([], many(50)):
        out = tmp_path / str(len(records))
        with open_folder(out, config, records, videos_per_shard=7) as folder:
            pass
        text = (out / "dataset.json").read_text()
        state = json.loads(text)
        assert text == json.dumps(state, indent=1) + "\n"
        assert ShardFolder.read(out).plan == folder.plan
        assert [shard["name"] for shard in state["shards"]] == list(folder.plan)
        totals = folder.finish().as_dict()
        if not records:
            text = (out / "dataset.json").read_text()
            assert json.loads(text)["totals"] == json.loads(json.dumps(totals))
            assert text == json.dumps(json.loads(text), indent=1) + "\n"


def test_tasks_are_made_when_they_are_read():
    records = many(20)
    tasks = ShardTasks(["a", "b"], [15, len(records) - 15], RecordTable(records))
    assert (len(tasks), tasks.videos) == (2, len(records))
    assert [task.name for task in tasks] == ["a", "b"]
    assert tasks[-1].records == tuple(records[15:])
    assert [len(task) for task in tasks[:1]] == [15]


def test_a_plan_is_a_mapping():
    made = Plan([("a", ("x", "y")), ("b", ())]).and_also([("c", ("z",))])
    assert made == {"a": ("x", "y"), "b": (), "c": ("z",)}
    assert list(made.videos()) == ["x", "y", "z"]
