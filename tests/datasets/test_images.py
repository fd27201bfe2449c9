"""The layouts of WildDeepfake and DF40, which are stored as images."""

import pytest

from mgst_data.core import LayoutError
from mgst_data.datasets import WildDeepfake, find_layout, scan_dataset
from mgst_data.testing import check_layout


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


def test_unpacked_archives_of_wilddeepfake_are_found_once(make_tree):
    names = ["fake_test/12/fake/3/7.png", "fake_test/12/fake/4/9.png", "fake_test/12.tar.gz", "fake_test/13.tar.gz"]
    scan = scan_dataset(make_tree([*names, "fake_test/14/x.png", "fake_test/15.tar"]))
    assert [record.video for record in scan.records] == [
        "fake_test/12/fake/3", "fake_test/12/fake/4", "fake_test/13.tar.gz",
    ]  # fmt: skip
    noted = {(note.where, note.reason) for note in scan.notes}
    assert ("fake_test/14", "not_video") in noted
    assert ("fake_test", "not_video") in noted
    assert ("real_train", "missing_folder") in noted


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


def test_wilddeepfake_folders_may_have_a_space_in_their_name(make_tree):
    root = make_tree(["real train/0.tar.gz", "fake train/0.tar.gz", "fake test/1/fake/2/3.png", "real test/0.tar.gz"])
    assert find_layout(root) == "wilddeepfake"
    scan = scan_dataset(root)
    assert [(r.video, r.label, r.split) for r in scan.records] == [
        ("fake test/1/fake/2", 1, "test"),
        ("fake train/0.tar.gz", 1, "train"),
        ("real test/0.tar.gz", 0, "test"),
        ("real train/0.tar.gz", 0, "train"),
    ]
    assert [note.reason for note in scan.notes] == ["no_identity"]
    check_layout(WildDeepfake(), make_tree(["real train/0.tar.gz"], at="archives"))


@pytest.mark.parametrize(("name", "split"), [("DF40_train", "train"), ("DF40", "")])
def test_df40_frames_directly_in_a_method_are_train_only_in_the_train_archive(make_tree, name, split):
    scan = scan_dataset(make_tree(["blendface/frames/071_054/000.png"], at=name))
    assert [record.split for record in scan.records] == [split]
    assert [note.reason for note in scan.notes] == ["no_reals"]


def test_df40_train_archive_may_have_subfolders(make_tree):
    names = ["uniface/ff/frames/001_870/000.png", "uniface/cdf/frames/id0_id1_0000/000.png"]
    assert {record.split for record in scan_dataset(make_tree(names, at="DF40_train")).records} == {"train"}
    names = [
        name.replace("uniface", "heygen") for name in ("uniface/fake/frames/a/1.png", "uniface/real/frames/b/1.png")
    ]
    assert {record.split for record in scan_dataset(make_tree(names, at="b/DF40_train")).records} == {""}


def frames(*paths):
    """One video in the JSON files of DF40."""
    return {"label": "x", "frames": [f"deepfakes_detection_datasets/{path}" for path in paths]}


DF40_JSON = {
    "dataset_json/simswap_ff.json": {
        "simswap_ff": {
            "simswap_Real": {
                "test": {"000": frames("FaceForensics++/original_sequences/youtube/c23/frames/000/0.png")}
            },
            "simswap_Fake": {
                "train": {"993_989": frames("DF40_train/simswap/frames/993_989/131.png")},
                "val": {"000_003": frames("DF40/simswap/ff/frames/000_003/000.png")},
                "test": {"000_003": frames("DF40/simswap/ff/frames/000_003/000.png"), "empty": frames()},
            },
        }
    },
    "dataset_json/heygen.json": {
        "heygen": {
            "heygen_Fake": {"train": {"a": frames("DF40/heygen/fake/frames/a/1.png")}},
            "heygen_Real": {"test": {"a": frames("DF40\\heygen\\real\\frames\\a\\1.png")}},
            "other": {"test": {"b": frames("DF40/heygen/fake/frames/b/1.png"), "i": frames("DF40/DiT/cdf/1.png")}},
            "more": {"train": {"b": frames("DF40/heygen/fake/frames/b/1.png")}},
        }
    },
}


def test_df40_splits_are_read_from_the_json_files(make_tree):
    names = [
        "simswap/ff/frames/000_003/000.png", "heygen/fake/frames/a/1.png", "heygen/real/frames/a/1.png",
        "heygen/fake/frames/b/1.png", "simswap/ff/frames/003_000/000.png",
    ]  # fmt: skip
    scan = scan_dataset(make_tree(names, DF40_JSON, at="DF40"))
    assert [(record.video, record.split) for record in scan.records] == [
        ("heygen/fake/frames/a", "train"),
        ("heygen/fake/frames/b", ""),
        ("heygen/real/frames/a", "test"),
        ("simswap/ff/frames/000_003", "test"),
        ("simswap/ff/frames/003_000", ""),
    ]
    unsplit = {note.where for note in scan.notes if note.reason == "no_split"}
    assert unsplit == {"heygen/fake/frames/b", "simswap/ff/frames/003_000"}


def test_df40_json_files_may_be_in_another_folder(make_tree, tmp_path):
    root = make_tree(["simswap/ff/frames/993_989/131.png"], at="DF40_train")
    given = make_tree([], DF40_JSON, at="lists") / "dataset_json"
    assert [record.split for record in scan_dataset(root, splits=given).records] == ["train"]
    with pytest.raises(LayoutError, match="contains no JSON file"):
        scan_dataset(root, splits=tmp_path)


@pytest.mark.parametrize("content", [[], {"a": {"b": {"test": {"v": {}}}}}, {"a": []}])
def test_an_error_in_a_json_file_of_df40_names_it(make_tree, content):
    root = make_tree(["simswap/ff/frames/000_003/000.png"], {"dataset_json/bad.json": content})
    with pytest.raises(LayoutError, match=r"bad\.json: not a JSON file of DF40"):
        scan_dataset(root)


def test_frames_of_another_data_set_are_not_recognised_as_df40(make_tree):
    root = make_tree(["Celeb-real/frames/id0_0000/000.png", "Celeb-real/videos/id0_0000.mp4"])
    assert find_layout(root) == "celebdf"
