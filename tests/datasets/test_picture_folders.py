"""The layout ``images``: labels, splits and persons by folder and by pattern; what it does not take for photos."""

from __future__ import annotations

import pytest

from mgst_data.core import LayoutError, UsageError
from mgst_data.datasets import Images, find_layout, scan_dataset
from mgst_data.testing import check_layout


def reasons(scan):
    return [(note.where, note.reason) for note in scan.notes]


def test_a_collection_of_photos_is_real(make_tree, rows):
    root = make_tree(["b.JPG", "album/a.png", "album/deep/c.heic", "album/readme.txt"], at="photos")
    assert find_layout(root) == "images"
    scan = scan_dataset(root)
    assert rows(scan) == [
        ("album/a.png", 0, "", "real", "", ""),
        ("album/deep/c.heic", 0, "", "real", "", ""),
        ("b.JPG", 0, "", "real", "", ""),
    ]
    assert {record.dataset for record in scan.records} == {"photos"}
    assert reasons(scan) == [(".", "all_real")]
    assert "all 3 pictures are taken as real" in scan.notes[0].what


def test_real_and_fake_folders_and_splits(make_tree, rows):
    names = [
        "train/real/x/1.jpg", "train/Fake/swap/1.jpg", "train/Fake/2.jpg", "validation/real/3.webp", "test/real/4.tiff",
        "other/5.jpg", "train/6.jpg",
    ]  # fmt: skip
    scan = scan_dataset(make_tree(names))
    assert rows(scan) == [
        ("test/real/4.tiff", 0, "test", "real", "", ""),
        ("train/Fake/2.jpg", 1, "train", "fake", "", ""),
        ("train/Fake/swap/1.jpg", 1, "train", "swap", "", ""),
        ("train/real/x/1.jpg", 0, "train", "real", "", ""),
        ("validation/real/3.webp", 0, "val", "real", "", ""),
    ]
    assert reasons(scan) == [(".", "no_identity"), ("other", "no_label"), ("train", "no_label")]


def test_splits_without_labels(make_tree, rows):
    scan = scan_dataset(make_tree(["train/a/1.jpg", "val/b/2.jpg"]), identity="folder")
    assert rows(scan) == [
        ("train/a/1.jpg", 0, "train", "real", "set/a", ""),
        ("val/b/2.jpg", 0, "val", "real", "set/b", ""),
    ]


def test_persons_by_folder(make_tree, rows):
    names = ["real/ann/1.jpg", "real/ann/2020/2.jpg", "real/3.jpg", "fake/swap/bob/4.jpg", "fake/swap/5.jpg"]
    scan = scan_dataset(make_tree(names), identity="folder")
    assert {(row[0], row[4]) for row in rows(scan)} == {
        ("real/ann/1.jpg", "set/ann"), ("real/ann/2020/2.jpg", "set/ann"), ("real/3.jpg", ""),
        ("fake/swap/bob/4.jpg", "set/bob"), ("fake/swap/5.jpg", ""),
    }  # fmt: skip
    assert reasons(scan) == [("fake/swap/5.jpg", "no_person"), ("real/3.jpg", "no_person")]


@pytest.mark.parametrize("pattern", [r"([^/]+)_\d+\.jpg$", r"(?P<person>[^/\d]+)_(\d+)"])
def test_persons_by_pattern(make_tree, rows, pattern):
    scan = scan_dataset(make_tree(["x/Ann_Lee_0001.jpg", "Ann_Lee_0002.jpg", "Bob_7.jpg", "0.jpg"]), identity=pattern)
    assert [(row[0], row[4]) for row in rows(scan)] == [
        ("0.jpg", ""), ("Ann_Lee_0002.jpg", "set/Ann_Lee"), ("Bob_7.jpg", "set/Bob"),
        ("x/Ann_Lee_0001.jpg", "set/Ann_Lee"),
    ]  # fmt: skip
    assert reasons(scan) == [(".", "all_real"), ("0.jpg", "no_person")]


@pytest.mark.parametrize("pattern", ["no group", "(open", "[^/]+"])
def test_a_wrong_pattern_is_an_error(pattern):
    with pytest.raises(UsageError, match="identity"):
        Images(identity=pattern)


def test_files_that_are_not_pictures_are_noted(make_tree):
    scan = scan_dataset(make_tree(["a/1.jpg", "a/2.gif", "a/labels.csv"]))
    assert ("a", "not_picture") in reasons(scan)
    with pytest.raises(LayoutError, match=r"no video found with the layout 'images'; .*2\.gif"):
        scan_dataset(make_tree(["2.gif"], at="other"), layout="images")


@pytest.mark.parametrize(
    "names",
    [
        ["000_003/000.png", "000_003/001.png", "000_003/002.png", "004_001/000.png", "004_001/001.png", "004_001/2.png",
         "004_001/002.png", "005/000.png", "005/001.png", "005/002.png"],
        ["a/frame_1.jpg", "a/frame_2.jpg", "a/frame_3.jpg", "b/frame_1.jpg", "b/frame_2.jpg", "b/frame_3.jpg"],
        ["x/frames/1.png"],
        ["real/frames/000/5.png"],
    ],
)  # fmt: skip
def test_frames_of_videos_are_not_photos_unless_the_user_says_so(make_tree, names):
    root = make_tree(names)
    assert not Images().recognises(root)
    if not (root / "real").exists():
        with pytest.raises(LayoutError, match="frames of videos"):
            find_layout(root)
    assert len(scan_dataset(root, layout="images").records) == len(names)


@pytest.mark.parametrize(
    "names",
    [
        [f"{person}/{person}_{i:04d}.jpg" for person in ("Ann", "Bob") for i in (1, 2, 3)],  # as in LFW
        [f"{i // 3:02d}000/{i:05d}.png" for i in range(9)],  # as in FFHQ
        [f"{i:06d}.jpg" for i in range(9)],  # as in CelebA
    ],
)
def test_numbered_photos_are_photos(make_tree, names):
    assert find_layout(make_tree(names)) == "images"


def test_videos_win_over_pictures(make_tree):
    assert find_layout(make_tree(["real/a.mp4", "real/a.jpg", "fake/b.mp4"])) == "folder"
    assert not Images().recognises(make_tree(["a.mp4", "a.jpg"], at="clips"))
    assert not Images().recognises(make_tree([], at="empty"))


def test_the_contract(make_tree):
    check_layout(Images(), make_tree(["real/ann/1.jpg", "fake/swap/2.png"]))
