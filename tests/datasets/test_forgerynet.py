"""The layout of the videos of ForgeryNet, whose lists give labels and parts."""

import pytest

from mgst_data.core import LayoutError
from mgst_data.datasets import ForgeryNet, find_layout, scan_dataset
from mgst_data.testing import check_layout

WHOLE, PARTLY, REAL, VAL = "5/1e97/df59/video.mp4", "12/4fd7/8026/video.mp4", "19/a713/video.mp4", "16/8d3f/video.mp4"
LISTS = {
    "Training/video_list.txt": f"1 train_video_release/{WHOLE} 0 120 1 1 1 5\n"
    f"3 train_video_release/{PARTLY} 0 40 0 40 30 1 70 50 0 1 2 12\n"
    f"1 train_video_release/{REAL} 0 90 0 0 0 0\n",
    "Validation/video_list.txt": f"1 val_video_release/{VAL} 0 90 0 0 0 0\n",
}
VIDEOS = [f"Training/video/train_video_release/{name}" for name in (PARTLY, REAL, WHOLE)]
VIDEOS += [f"Validation/video/val_video_release/{VAL}"]


def test_label_and_method_come_from_the_list_and_the_split_from_the_folder(make_tree, rows):
    root = make_tree([*VIDEOS, "Training/image/train_image_release/1/a.jpg", "Test/video/x.mp4"], LISTS)
    assert find_layout(root) == "forgerynet"
    check_layout(ForgeryNet(), root)
    scan = scan_dataset(root)
    assert rows(scan) == [
        (VIDEOS[0], 1, "train", "method_12", "", ""),
        (VIDEOS[1], 0, "train", "real", "", ""),
        (VIDEOS[2], 1, "train", "method_5", "", ""),
        (VIDEOS[3], 0, "val", "real", "", ""),
    ]
    assert {record.dataset for record in scan.records} == {"forgerynet"}


def test_a_fake_in_parts_gives_a_note_because_the_frame_rate_is_unknown(make_tree):
    scan = scan_dataset(make_tree([*VIDEOS, "Test/video/x.mp4"], LISTS))
    assert {record.fake_spans for record in scan.records} == {()}
    notes = {note.reason: note for note in scan.notes}
    assert notes.keys() == {"partly_fake", "no_label", "no_identity"}
    assert notes["partly_fake"].what.startswith("videos that are fake only in parts: 1;")
    assert notes["no_label"].where == "Test"


def test_names_in_a_list_may_leave_out_the_folder_of_the_release(make_tree):
    lists = {name: text.replace("train_video_release/", "") for name, text in LISTS.items()}
    assert len(scan_dataset(make_tree(VIDEOS, lists)).records) == 4


def test_missing_and_unlisted_videos_give_notes(make_tree):
    names = [*VIDEOS[1:3], "Training/video/train_video_release/1/x/video.mp4"]
    contents = {name: text for name, text in LISTS.items() if name.startswith("Training")}
    found = {(note.where, note.reason) for note in scan_dataset(make_tree(names, contents)).notes}
    assert found == {(VIDEOS[0], "missing_video"), (names[2], "no_label"), ("Validation", "missing_folder")}


@pytest.mark.parametrize(
    "line", ["2 a.mp4 0 9 1 1 1 5", "1 a.mp4 0 9 1 1 1", "x a.mp4 1 1 5", "1 a.mp4 0 9 1 0 1 5", "1 a.mp4 0 9 1 2 1 5"]
)
def test_an_error_in_a_list_names_the_line(make_tree, line):
    contents = {"Training/video_list.txt": f"{LISTS['Training/video_list.txt']}\n{line}\n"}
    with pytest.raises(LayoutError, match=r"video_list\.txt:5: "):
        scan_dataset(make_tree(VIDEOS, contents), layout="forgerynet")
