"""The layout of Celeb-DF++, which has a folder for every method."""

import pytest

from mgst_data.core import LayoutError
from mgst_data.datasets import CelebDFPP, find_layout, scan_dataset
from mgst_data.testing import check_layout

SWAP, SWAP2 = (f"Celeb-synthesis/FaceSwap/{method}/id0_id1_0000.mp4" for method in ("BlendFace", "SimSwap"))
REENACTED, TALKING = (
    "Celeb-synthesis/FaceReenact/LIA/id2_id3_0005.mp4", "Celeb-synthesis/TalkingFace/FLOAT/id0_0000_test_12.mp4",
)  # fmt: skip
REALS = ["Celeb-real/id0_0000.mp4", "YouTube-real/00011.mp4"]
VIDEOS = [*REALS, SWAP, SWAP2, REENACTED, TALKING]
LIST = {"List_of_testing_videos.txt": f"1 {REALS[1]}\n0 {SWAP2}\n0 {TALKING}\n"}


@pytest.mark.parametrize("inner", ["", "videos/"])
def test_the_method_is_the_folder_and_listed_videos_are_test(make_tree, rows, inner):
    names = [name.rpartition("/")[0] + f"/{inner}" + name.rpartition("/")[2] for name in VIDEOS]
    root = make_tree(names, LIST)
    assert find_layout(root) == "celebdf_pp"
    check_layout(CelebDFPP(), root)
    scan = scan_dataset(root)
    assert not scan.notes
    assert [row[1:] for row in rows(scan)] == [
        (0, "", "real", "celeb_df/id0", ""),
        (1, "", "LIA", "celeb_df/id2", "celeb_df/id3"),
        (1, "", "BlendFace", "celeb_df/id0", "celeb_df/id1"),
        (1, "test", "SimSwap", "celeb_df/id0", "celeb_df/id1"),
        (1, "test", "FLOAT", "celeb_df/id0", ""),
        (0, "test", "real", "celeb_df/youtube_00011", ""),
    ]
    assert [record.video for record in scan.records] == sorted(names)
    assert {record.dataset for record in scan.records} == {"celeb_df_pp"}


def test_the_digit_of_a_line_is_not_used(make_tree):
    inverted = {name: text.replace("0 Celeb", "1 Celeb") for name, text in LIST.items()}
    scan = scan_dataset(make_tree(VIDEOS, inverted))
    assert [record.label for record in scan.records if record.split] == [1, 1, 0]


def test_missing_videos_folders_and_lists_give_notes(make_tree):
    scan = scan_dataset(make_tree([SWAP, "Celeb-synthesis/FaceSwap/GHOST/x.mp4"]))
    assert {(note.where, note.reason) for note in scan.notes} == {
        ("celeb-real", "missing_folder"),
        ("youtube-real", "missing_folder"),
        ("List_of_testing_videos.txt", "no_split_files"),
        ("Celeb-synthesis/FaceSwap/GHOST/x.mp4", "no_identity"),
    }
    notes = scan_dataset(make_tree([*REALS, SWAP], LIST, at="b")).notes
    assert {note.where for note in notes if note.reason == "missing_video"} == {SWAP2, TALKING}


def test_a_missing_or_malformed_list_is_an_error(make_tree, tmp_path):
    root = make_tree(VIDEOS, {"List_of_testing_videos.txt": "0 other/a.mp4\n"})
    with pytest.raises(LayoutError, match=r"List_of_testing_videos\.txt:1: cannot parse"):
        scan_dataset(root)
    with pytest.raises(LayoutError, match=r"List_of_testing_videos\.txt not found"):
        scan_dataset(root, splits=tmp_path)
    with pytest.raises(LayoutError, match=r"contains no folder of Celeb-DF\+\+"):
        CelebDFPP().scan(make_tree(["a.mp4"], at="other"))
