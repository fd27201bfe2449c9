"""The layout of FakeAVCeleb, which has four categories of real and fake faces and voices."""

import pytest

from mgst_data.core import LayoutError
from mgst_data.datasets import FakeAVCeleb, find_layout, scan_dataset
from mgst_data.testing import check_layout

# The published table: the header ends in a comma, and the last column contains the folder.
TABLE = """\
source,target1,target2,method,category,type,race,gender,path,
id00076,-,-,real,A,RealVideo-RealAudio,African,men,00109.mp4,FakeAVCeleb/RealVideo-RealAudio/African/men/id00076
id00076,-,-,rtvc,B,RealVideo-FakeAudio,African,men,00109_fake.mp4,FakeAVCeleb/RealVideo-FakeAudio/African/men/id00076
id00076,id00166,-,faceswap,C,FakeVideo-RealAudio,Asian (East),men,00109_id00166_0.mp4,\
FakeAVCeleb/FakeVideo-RealAudio/Asian (East)/men/id00076
id00076,3,-,fsgan,C,FakeVideo-RealAudio,African,men,00109_3.mp4,FakeAVCeleb/FakeVideo-RealAudio/African/men/id00076
id00076,id00476,10,wav2lip,D,FakeVideo-FakeAudio,African,men,00109_10_id00476_wavtolip.mp4,\
FakeAVCeleb/FakeVideo-FakeAudio/African/men/id00076
"""
VIDEOS = [
    "RealVideo-RealAudio/African/men/id00076/00109.mp4",
    "RealVideo-FakeAudio/African/men/id00076/00109_fake.mp4",
    "FakeVideo-RealAudio/Asian (East)/men/id00076/00109_id00166_0.mp4",
    "FakeVideo-RealAudio/African/men/id00076/00109_3.mp4",
    "FakeVideo-FakeAudio/African/men/id00076/00109_10_id00476_wavtolip.mp4",
]


def test_every_category_has_its_label_method_and_persons(make_tree, rows):
    root = make_tree(VIDEOS, {"meta_data.csv": TABLE})
    assert find_layout(root) == "fakeavceleb"
    check_layout(FakeAVCeleb(), root)
    scan = scan_dataset(root)
    assert not scan.notes
    person = "voxceleb2/id00076"
    assert rows(scan) == [
        ("FakeVideo-FakeAudio/African/men/id00076/00109_10_id00476_wavtolip.mp4", 1, "", "wav2lip", person, ""),
        ("FakeVideo-RealAudio/African/men/id00076/00109_3.mp4", 1, "", "fsgan", person, ""),
        (VIDEOS[2], 1, "", "faceswap", person, "voxceleb2/id00166"),
        ("RealVideo-FakeAudio/African/men/id00076/00109_fake.mp4", 0, "", "real", person, ""),
        ("RealVideo-RealAudio/African/men/id00076/00109.mp4", 0, "", "real", person, ""),
    ]
    assert {record.dataset for record in scan.records} == {"fakeavceleb"}


def test_missing_and_unlisted_videos_give_notes(make_tree):
    names = [VIDEOS[0], "RealVideo-RealAudio/African/men/id00076/1.mp4"]
    notes = scan_dataset(make_tree(names, {"meta_data.csv": TABLE})).notes
    found = {(note.where, note.reason) for note in notes}
    assert (names[1], "no_label") in found
    assert {(video, "missing_video") for video in VIDEOS[1:]} <= found
    assert ("FakeVideo-FakeAudio", "missing_folder") in found


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("source,path,\nid1,a.mp4,b\n", r"meta_data\.csv: columns are missing"),
        (TABLE.replace("id00076,-,-,real", ",-,-,real"), r"meta_data\.csv:2: no source"),
    ],
)
def test_an_error_in_the_table_names_it(make_tree, table, message):
    with pytest.raises(LayoutError, match=message):
        scan_dataset(make_tree(VIDEOS, {"meta_data.csv": table}))


def test_a_missing_table_is_an_error(make_tree):
    with pytest.raises(LayoutError, match=r"meta_data\.csv: no such file"):
        scan_dataset(make_tree(VIDEOS))
