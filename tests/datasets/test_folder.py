"""The general layout with real/ and fake/, and difficult file names."""

import os
from pathlib import Path

import pytest

from mgst_data.core import LayoutError
from mgst_data.datasets import Folder, find_layout, scan_dataset


def test_files_directly_and_at_any_depth(make_tree):
    names = ["real/a.mp4", "real/x/y/b.MOV", "fake/c.mp4", "fake/Deepfakes/d.mp4", "fake/Deepfakes/x/e.webm"]
    root = make_tree(names, at="my set")
    assert find_layout(root) == "folder"
    scan = scan_dataset(root)
    assert [(r.video, r.label, r.method) for r in scan.records] == [
        ("fake/Deepfakes/d.mp4", 1, "Deepfakes"),
        ("fake/Deepfakes/x/e.webm", 1, "Deepfakes"),
        ("fake/c.mp4", 1, "fake"),
        ("real/a.mp4", 0, "real"),
        ("real/x/y/b.MOV", 0, "real"),
    ]
    assert {(record.dataset, record.split) for record in scan.records} == {("my set", "")}
    assert not scan.notes


def test_split_folders_above_and_names_in_any_case(make_tree):
    names = ["Train/Real/a.mp4", "Train/FAKE/b.mp4", "valid/real/a.mp4", "test/fake/videos/b.mp4"]
    scan = scan_dataset(make_tree(names))
    assert [(r.video, r.split, r.method) for r in scan.records] == [
        ("Train/FAKE/b.mp4", "train", "fake"),
        ("Train/Real/a.mp4", "train", "real"),
        ("test/fake/videos/b.mp4", "test", "fake"),
        ("valid/real/a.mp4", "val", "real"),
    ]
    assert [note.reason for note in scan.notes] == ["no_identity"]


def test_a_missing_class_gives_a_note(make_tree):
    assert [(n.where, n.reason) for n in scan_dataset(make_tree(["fake/a.mp4"])).notes] == [("real", "missing_folder")]


def test_files_outside_the_class_folders_give_notes(make_tree):
    names = ["real/a.mp4", "fake/b.mp4", "odd/c.mp4", "d.mp4", "train/real/e.mp4", "train/f.mp4", "train/x/g.mp4"]
    scan = scan_dataset(make_tree(names))
    assert len(scan.records) == 3
    assert {(note.where, note.reason) for note in scan.notes} == {
        ("odd", "unknown_folder"), ("d.mp4", "no_label"), ("train/f.mp4", "no_label"), ("train/x", "unknown_folder"),
    }  # fmt: skip


def test_videos_with_similar_names_have_different_keys(make_tree):
    names = [
        f"{top}{name}" for top in ("real/", "fake/", "fake/x/") for name in ("a.mp4", "a.avi", "A.mp4", "a.mp4.mp4")
    ]
    records = scan_dataset(make_tree(names)).records
    assert len({record.key for record in records}) == len(names)


def test_names_that_are_not_utf8_can_be_opened_and_printed(make_tree):
    root = make_tree(["real/ok.mp4"])
    (root / "real" / os.fsdecode(b"caf\xe9\n.mp4")).write_bytes(b"content")
    odd = next(record for record in scan_dataset(root).records if record.video != "real/ok.mp4")
    assert odd.video == "real/caf\\xe9\\n.mp4"
    assert odd.video.encode("utf-8")
    assert Path(odd.path).read_bytes() == b"content"


def test_very_long_names_and_names_full_of_dots(make_tree):
    names = [f"real/{'x' * 240}.mp4", f"real/{'y/' * 100}a.mp4", "real/v1.0.final..mp4", "fake/a b/ä/.../c.mp4"]
    root = make_tree(names)
    scan = scan_dataset(root)
    assert {record.video for record in scan.records} == {name for name in names if "/.../" not in name}
    assert all(len(record.key) <= 120 for record in scan.records)


def test_circular_links_are_followed_once(make_tree):
    root = make_tree(["real/a.mp4", "fake/b.mp4"])
    (root / "real" / "again").symlink_to(root / "real")
    scan = scan_dataset(root)
    assert [record.video for record in scan.records] == ["fake/b.mp4", "real/a.mp4"]
    assert [(note.where, note.reason) for note in scan.notes] == [("real/again", "same_folder")]


def test_order_does_not_depend_on_the_file_system(make_tree, monkeypatch):
    root = make_tree([f"{label}/{number}.mp4" for label in ("real", "fake") for number in range(20)])
    forward = scan_dataset(root)
    scandir = os.scandir

    class Reversed:
        def __init__(self, path):
            self.entries = reversed([*scandir(path)])

        def __enter__(self):
            return self.entries

        def __exit__(self, *error):
            return None

    monkeypatch.setattr(os, "scandir", Reversed)
    assert Folder().scan(root) == forward


def test_an_unreadable_folder_is_an_error(make_tree, monkeypatch):
    root = make_tree(["real/a.mp4", "fake/b.mp4"])
    scandir = os.scandir

    def guarded(path):
        if str(path).endswith("fake"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(LayoutError, match=r"fake: permission denied \(check its permissions\)"):
        Folder().scan(root)


def test_a_pipe_named_as_a_video_is_listed_and_not_opened(make_tree):
    root = make_tree(["real/a.mp4"])
    os.mkfifo(root / "real" / "pipe.mp4")
    assert [record.video for record in scan_dataset(root).records] == ["real/a.mp4", "real/pipe.mp4"]
