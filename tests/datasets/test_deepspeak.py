"""The layout of DeepSpeak, whose tables list videos by file name."""

import pytest

from mgst_data.core import LayoutError
from mgst_data.datasets import DeepSpeak, find_layout, scan_dataset
from mgst_data.testing import check_layout

HEADER = (
    "video-file,kind,engine,identity-source,identity-target,recording-source,recording-target,"
    "audio-config,gen-config,gesture-type,script-type\n"
)
V1 = {
    "annotations-real.csv": "video-file,identity\n11-4897.mp4,11\n10-4100.mp4,10\n",
    "annotations-fake.csv": f"{HEADER}facefusion--10-11--4100-4897--0.mp4,face-swap,facefusion,10,11,4100,4897,,,,\n",
    "annotations-split-def.csv": ",identity,split\n0,10,train\n1,11,train\n",
}
V2 = {
    "annotations-real.csv": "video-file,identity\n87-0.mp4,87\n",
    "annotations-fake.csv": (
        f"{HEADER}diff2lip-3-0-playht.mp4,lip-sync,diff2lip,12,87,3,0,playht,,no-gesture,scripted\n"
        "memo-4-1-real.mp4,avatar,memo,88,88,4,1,real,,,\n"
    ),
    "annotations-split-def.csv": "identity,split\n12,train\n87,test\n88,test\n",
}
V1_VIDEOS = ["deepspeak-v1-0/real/11-4897.mp4", "deepspeak-v1-1/real/10-4100.mp4"]
V1_VIDEOS += ["deepspeak-v1-1/fake/facefusion--10-11--4100-4897--0.mp4"]
V2_VIDEOS = ["videos/87-0.mp4", "videos/diff2lip-3-0-playht.mp4", "videos/memo-4-1-real.mp4"]


def test_version_one(make_tree, rows):
    root = make_tree(V1_VIDEOS, V1)
    assert find_layout(root) == "deepspeak"
    check_layout(DeepSpeak(), root)
    scan = scan_dataset(root)
    assert not scan.notes
    assert rows(scan) == [
        (V1_VIDEOS[0], 0, "train", "real", "deepspeak_v1/11", ""),
        (V1_VIDEOS[2], 1, "train", "facefusion", "deepspeak_v1/11", "deepspeak_v1/10"),
        (V1_VIDEOS[1], 0, "train", "real", "deepspeak_v1/10", ""),
    ]
    assert {record.dataset for record in scan.records} == {"deepspeak_v1"}


def test_version_two_and_a_fake_of_persons_in_two_splits(make_tree, rows):
    scan = scan_dataset(make_tree(V2_VIDEOS, V2))
    assert rows(scan) == [
        (V2_VIDEOS[0], 0, "test", "real", "deepspeak_v2/87", ""),
        (V2_VIDEOS[1], 1, "", "diff2lip", "deepspeak_v2/87", "deepspeak_v2/12"),
        (V2_VIDEOS[2], 1, "test", "memo", "deepspeak_v2/88", "deepspeak_v2/88"),
    ]
    assert {record.dataset for record in scan.records} == {"deepspeak_v2"}
    assert [(note.where, note.reason) for note in scan.notes] == [(V2_VIDEOS[1], "no_split")]


def test_missing_unlisted_and_repeated_videos_give_notes(make_tree):
    scan = scan_dataset(make_tree(["a/87-0.mp4", "b/87-0.mp4", "b/x.mp4"], V2))
    assert [record.video for record in scan.records] == ["a/87-0.mp4"]
    assert {(note.where, note.reason) for note in scan.notes} == {
        ("b/87-0.mp4", "same_name"),
        ("b/x.mp4", "no_label"),
        ("diff2lip-3-0-playht.mp4", "missing_video"),
        ("memo-4-1-real.mp4", "missing_video"),
    }


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("annotations-real.csv", "file,identity\na.mp4,1\n", r"annotations-real\.csv: has no column video-file"),
        ("annotations-split-def.csv", "identity,split\n87,evaluation\n", r"split-def\.csv:2: unknown split"),
    ],
)
def test_an_error_in_a_table_names_it(make_tree, name, text, message):
    with pytest.raises(LayoutError, match=message):
        scan_dataset(make_tree(V2_VIDEOS, V2 | {name: text}))
