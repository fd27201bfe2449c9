"""Selection of videos, its errors, and the leakage check."""

import dataclasses
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgst_data.core import LeakageError, UsageError, VideoRecord
from mgst_data.datasets import Scan, check_leakage, select
from mgst_data.datasets.layout import Note
from mgst_data.datasets.selection import even_shares


def record(number, *, method="real", split="", compression="c23", source="", target=""):
    return VideoRecord(
        key=f"{method}-{number:03}", path="", video=f"{method}/{number:03}.mp4", dataset="set", split=split,
        label=int(method != "real"), method=method, compression=compression, source_key=source, target_key=target,
    )  # fmt: skip


@pytest.fixture
def scan():
    methods = {"real": 40, "Deepfakes": 40, "FaceSwap": 40, "Face2Face": 2}
    return Scan.of(
        record(number, method=method, split="train" if number % 4 else "test")
        for method, count in methods.items()
        for number in range(count)
    )


def test_filters_combine_and_keep_the_order(scan):
    chosen = select(scan, split=("test",), method=("Deepfakes", "real")).records
    assert {(r.split, r.method) for r in chosen} == {("test", "Deepfakes"), ("test", "real")}
    assert list(chosen) == [r for r in scan.records if r in chosen]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"method": ("DeepFake",)}, r"method 'DeepFake' \(did you mean 'Deepfakes'\? available: Deepfakes \(40\)"),
        ({"method": ("real", "xyz")}, r"available: Deepfakes \(40\), Face2Face \(2\), FaceSwap \(40\), real \(40\)"),
        ({"split": ("val",)}, r"no video has the split 'val' \(.*available: test \(31\), train \(91\)"),
        ({"compression": ("c40",)}, r"c23 \(122\)"),
        ({"dataset": ("dfd",)}, r"set \(122\)"),
        ({"limit": 0}, "limit must be at least 1, got 0"),
    ],
)
def test_the_error_for_a_missing_value_lists_the_available_values(scan, wanted, message):
    with pytest.raises(UsageError, match=message):
        select(scan, **wanted)


def test_a_filter_is_checked_after_the_other_filters(scan):
    records = [r for r in scan.records if r.method != "FaceSwap" or r.split == "train"]
    with pytest.raises(UsageError, match=r"'FaceSwap' .*available: Deepfakes \(10\), Face2Face \(1\), real \(10\)"):
        select(Scan.of(records), split=("test",), method=("FaceSwap",))


def test_a_limit_is_distributed_over_labels_then_methods_then_videos(scan):
    chosen = select(scan, limit=24).records
    assert Counter(r.method for r in chosen) == {"real": 12, "Deepfakes": 5, "FaceSwap": 5, "Face2Face": 2}
    numbers = [int(r.video[-7:-4]) for r in chosen if r.method == "real"]
    assert numbers == sorted(numbers)
    assert numbers[0] < 4
    assert numbers[-1] >= 36


@settings(deadline=None)
@given(st.integers(1, 130))
def test_a_limit_gives_this_number_of_videos_and_is_deterministic(limit):
    made = Scan.of(record(n, method=method) for method in ("real", "A", "B") for n in range(40))
    chosen = select(made, limit=limit).records
    assert len({r.key for r in chosen}) == min(limit, 120)
    assert chosen == select(Scan.of(reversed(made.records)), limit=limit).records


@settings(deadline=None)
@given(st.integers(0, 60), st.lists(st.integers(0, 12), max_size=6))
def test_shares_are_even_and_complete(total, sizes):
    shares = even_shares(total, sizes)
    assert sum(shares) == min(total, sum(sizes))
    assert all(share <= size for share, size in zip(shares, sizes, strict=True))
    unfilled = [share for share, size in zip(shares, sizes, strict=True) if share < size]
    assert not unfilled or max(unfilled) - min(unfilled) <= 1
    assert not unfilled or max(shares) <= max(unfilled) + 1


def test_a_selection_keeps_the_notes(scan):
    noted = dataclasses.replace(scan, notes=())
    assert select(noted, limit=3).notes is noted.notes


def test_identities_in_one_split_are_not_leakage():
    check_leakage(
        [record(1, split="train", target="x/1"), record(2, split="test", target="x/2"), record(3, target="x/1")]
    )


def test_the_leakage_error_names_identity_splits_and_videos():
    records = [
        record(1, split="train", target="x/1"),
        record(2, method="Swap", split="test", target="x/2", source="x/1"),
        record(3, split="val", target="x/3"),
    ]
    with pytest.raises(LeakageError) as caught:
        check_leakage(records)
    assert "1 identity is in more than one split: x/1 (train: real/001.mp4, test: Swap/002.mp4)" in str(caught.value)
    assert "x/2" not in str(caught.value)
    assert "x/3" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_the_leakage_error_counts_many_identities():
    records = [
        record(n, method=split, split=split, target=f"x/{n:02}") for n in range(20) for split in ("train", "test")
    ]
    with pytest.raises(LeakageError, match=r"20 identities are in more than one split: x/00 .*; and 15 more"):
        check_leakage(records)


def test_a_split_without_videos_is_explained_by_missing_split_files_only(scan):
    other, missing = Note("real/", "no train split", "no_reals"), Note("splits/", "get the lists", "no_split_files")
    with pytest.raises(UsageError, match="get the lists") as caught:
        select(dataclasses.replace(scan, notes=(other, missing)), split=("val",))
    assert caught.value.where == "splits/"
    with pytest.raises(UsageError, match=r"test \(31\), train \(91\)"):
        select(dataclasses.replace(scan, notes=(other,)), split=("val",))
    with pytest.raises(UsageError, match=r"c23 \(122\)"):
        select(dataclasses.replace(scan, notes=(missing,)), compression=("c40",))
