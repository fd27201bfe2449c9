"""The layout of DeepfakeTIMIT, whose real videos are those of VidTIMIT."""

import pytest

from mgst_data.core import LayoutError
from mgst_data.datasets import DeepfakeTIMIT, find_layout, scan_dataset
from mgst_data.testing import check_layout

FAKES = [
    f"{quality}/{name}"
    for quality in ("higher_quality", "lower_quality")
    for name in ("fadg0/sa1-video-fram1.avi", "fadg0/sx19-video-fram1.avi", "fram1/sa1-video-fadg0.avi")
]
AUDIO = ["higher_quality/fadg0/sa1.wav", "lower_quality/fram1/sa1.wav"]


def test_only_fakes_are_found_without_the_folder_of_vidtimit(make_tree, rows):
    root = make_tree([*FAKES, *AUDIO])
    assert find_layout(root) == "deepfake_timit"
    check_layout(DeepfakeTIMIT(), root)
    scan = scan_dataset(root)
    assert [(note.where, note.reason) for note in scan.notes] == [(".", "no_reals")]
    persons = [("fadg0", "fram1"), ("fadg0", "fram1"), ("fram1", "fadg0")] * 2
    assert rows(scan) == [
        (video, 1, "", video.partition("/")[0], f"vidtimit/{target}", f"vidtimit/{source}")
        for video, (target, source) in zip(FAKES, persons, strict=True)
    ]


def test_real_videos_are_those_that_were_changed(make_tree, rows):
    frames = ["fadg0/video/sa1/001.jpg", "fadg0/video/head/001.jpg", "fram1/video/sa1/001.jpg", "mwbt0/video/sa1/1.jpg"]
    vidtimit = make_tree(frames, at="VidTIMIT")
    scan = scan_dataset(make_tree(FAKES), reals=vidtimit)
    assert not scan.notes
    assert [row for row in rows(scan) if not row[1]] == [
        ("fadg0/video/sa1", 0, "", "real", "vidtimit/fadg0", ""),
        ("fram1/video/sa1", 0, "", "real", "vidtimit/fram1", ""),
    ]
    assert scan.records[0].path == str(vidtimit / "fadg0/video/sa1")


@pytest.mark.parametrize(
    ("frame", "message"),
    [("fadg0/video/sa1/001", "have no suffix.*add the suffix"), ("fadg0/sa1/001.jpg", "none of the changed videos")],
)
def test_unusable_folders_of_vidtimit_are_errors(make_tree, frame, message):
    with pytest.raises(LayoutError, match=message):
        scan_dataset(make_tree(FAKES), reals=make_tree([frame], at="VidTIMIT"))


def test_unknown_names_and_missing_folders_give_notes(make_tree):
    scan = scan_dataset(make_tree([FAKES[0], "higher_quality/fadg0/copy.avi"]))
    found = {(note.where, note.reason) for note in scan.notes}
    assert {("higher_quality/fadg0/copy.avi", "unknown_name"), ("lower_quality", "missing_folder")} <= found
    with pytest.raises(LayoutError, match="lower_quality, higher_quality"):
        DeepfakeTIMIT().scan(make_tree(["a.avi"], at="other"))
