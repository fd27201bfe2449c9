import random
from collections import Counter

import pytest
from synthetic_shards import record_of

from mgst_data.shards import plan_shards

RECORDS = [
    *(record_of(f"real{i:03d}") for i in range(40)),
    *(record_of(f"df{i:03d}", label=1) for i in range(40)),
    *(record_of(f"nt{i:03d}", label=1, method="NeuralTextures") for i in range(80)),
    *(record_of(f"test{i}", split="test") for i in range(5)),
    *(record_of(f"none{i}", split="") for i in range(3)),
]


def test_every_video_is_planned_once_in_any_order_of_the_records():
    tasks = plan_shards(RECORDS)
    assert sorted(r.key for task in tasks for r in task.records) == sorted(r.key for r in RECORDS)
    shuffled = random.Random(0).sample(RECORDS, len(RECORDS))
    assert plan_shards(shuffled) == tasks


def test_shards_never_mix_splits_and_are_named_after_them():
    tasks = plan_shards(RECORDS)
    assert [task.name for task in tasks] == [*(f"train-{i:06d}" for i in range(10)), "test-000000", "all-000000"]
    assert all({r.split or "all" for r in task.records} == {task.name.split("-")[0]} for task in tasks)


def test_every_shard_has_the_same_mix_of_labels_and_methods():
    for task in plan_shards(RECORDS)[:10]:
        counts = Counter(r.method for r in task.records)
        assert abs(counts["real"] - 4) <= 1
        assert abs(counts["Deepfakes"] - 4) <= 1
        assert abs(counts["NeuralTextures"] - 8) <= 1


def test_videos_of_a_method_are_not_in_the_order_of_their_names():
    keys = [r.key for task in plan_shards(RECORDS) for r in task.records if r.key.startswith("nt")]
    assert keys != sorted(keys)


def test_shard_numbers_continue_after_existing_ones():
    tasks = plan_shards(RECORDS[-8:], videos_per_shard=2, taken=["train-000003", "test-000007"])
    assert [t.name for t in tasks] == ["test-000008", "test-000009", "test-000010", "all-000000", "all-000001"]
    assert [len(t) for t in tasks] == [2, 2, 1, 2, 1]


def test_a_duplicate_key_is_an_error():
    with pytest.raises(ValueError, match="share the key 'test0'"):
        plan_shards([*RECORDS, record_of("test0", split="val")])
