"""WildDeepfake and DF40: sets of images."""

import pytest

from mgst_data.core import LayoutError
from mgst_data.datasets import WildDeepfake, find_layout, scan_dataset


def test_wilddeepfake_archives(make_tree):
    names = [
        f"{folder}/{n}.tar.gz" for folder in ("real_train", "real_test", "fake_train", "fake_test") for n in (0, 1)
    ]
    root = make_tree(names)
    assert find_layout(root) == "wilddeepfake"
    scan = scan_dataset(root)
    assert [(r.video, r.label, r.split) for r in scan.records if "0" in r.video] == [
        ("fake_test/0.tar.gz", 1, "test"),
        ("fake_train/0.tar.gz", 1, "train"),
        ("real_test/0.tar.gz", 0, "test"),
        ("real_train/0.tar.gz", 0, "train"),
    ]
    assert [note.reason for note in scan.notes] == ["no_identity"]


def test_wilddeepfake_unpacked_gives_its_sequences_once(make_tree):
    names = ["fake_test/12/fake/3/7.png", "fake_test/12/fake/4/9.png", "fake_test/12.tar.gz", "fake_test/13.tar.gz"]
    scan = scan_dataset(make_tree([*names, "fake_test/14/x.png", "fake_test/15.tar"]))
    assert [record.video for record in scan.records] == [
        "fake_test/12/fake/3", "fake_test/12/fake/4", "fake_test/13.tar.gz",
    ]  # fmt: skip
    told = {(note.where, note.reason) for note in scan.notes}
    assert ("fake_test/14", "not_video") in told
    assert ("fake_test", "not_video") in told
    assert ("real_train", "missing_folder") in told


def test_wilddeepfake_needs_one_of_its_folders(make_tree):
    with pytest.raises(LayoutError, match="real_train"):
        WildDeepfake().scan(make_tree(["real/a.mp4"]))


def test_df40_test_archive(make_tree):
    names = [
        "simswap/ff/frames/000_003/000.png", "simswap/ff/landmarks/000_003/000.npy",
        "simswap/cdf/frames/id0_id1_0000/000.png", "heygen_new/fake/frames/abc/1.png",
        "heygen_new/real/frames/def/1.png", "DiT/cdf/YouTube-real/00043/458.png",
    ]  # fmt: skip
    root = make_tree(names, at="DF40")
    assert find_layout(root) == "df40"
    scan = scan_dataset(root)
    assert [(r.video, r.label, r.method, r.split, r.target_key, r.source_key) for r in scan.records] == [
        ("heygen_new/fake/frames/abc", 1, "heygen_new", "", "", ""),
        ("heygen_new/real/frames/def", 0, "real", "", "", ""),
        ("simswap/cdf/frames/id0_id1_0000", 1, "simswap", "test", "celeb_df/id0", "celeb_df/id1"),
        ("simswap/ff/frames/000_003", 1, "simswap", "test", "ffpp/000", "ffpp/003"),
    ]
    assert scan.records[0].path == str(root / "heygen_new/fake/frames/abc")
    assert [(note.where, note.reason) for note in scan.notes] == [("DiT", "not_video")]


@pytest.mark.parametrize(("name", "split"), [("DF40_train", "train"), ("DF40", "")])
def test_df40_frames_beside_no_domain_are_train_in_the_train_archive_only(make_tree, name, split):
    scan = scan_dataset(make_tree(["blendface/frames/071_054/000.png"], at=name))
    assert [record.split for record in scan.records] == [split]
    assert [note.reason for note in scan.notes] == ["no_reals"]


def test_frames_of_another_set_are_not_taken_for_df40(make_tree):
    root = make_tree(["Celeb-real/frames/id0_0000/000.png", "Celeb-real/videos/id0_0000.mp4"])
    assert find_layout(root) == "celebdf"
