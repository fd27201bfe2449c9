"""The layout of UADFV, which has one fake of every real video."""

import pytest

from mgst_data.core import LayoutError
from mgst_data.datasets import UADFV, find_layout, scan_dataset
from mgst_data.testing import check_layout

VIDEOS = ["real/0000.mp4", "real/0001.mp4", "fake/0000_fake.mp4", "fake/0001_fake.mp4"]


@pytest.mark.parametrize("inner", ["", "videos/"])
def test_a_fake_has_the_identity_of_its_real_video(make_tree, rows, inner):
    names = [name.replace("/", f"/{inner}") for name in VIDEOS]
    root = make_tree([*names, "real/frames/0000/000.png"], at="UADFV")
    assert find_layout(root) == "uadfv"
    check_layout(UADFV(), root)
    scan = scan_dataset(root)
    assert not scan.notes
    assert rows(scan) == [
        (f"fake/{inner}0000_fake.mp4", 1, "", "UADFV", "uadfv/0000", ""),
        (f"fake/{inner}0001_fake.mp4", 1, "", "UADFV", "uadfv/0001", ""),
        (f"real/{inner}0000.mp4", 0, "", "real", "uadfv/0000", ""),
        (f"real/{inner}0001.mp4", 0, "", "real", "uadfv/0001", ""),
    ]


def test_the_same_names_in_another_folder_are_the_general_layout(make_tree):
    root = make_tree(VIDEOS, at="mine")
    assert find_layout(root) == "folder"
    assert len(scan_dataset(root, layout="uadfv").records) == 4


def test_unknown_names_and_missing_folders_give_notes(make_tree):
    root = make_tree(["fake/0000_fake.mp4", "fake/x.mp4"], at="uadfv")
    scan = scan_dataset(root)
    assert {(note.where, note.reason) for note in scan.notes} == {
        ("fake/x.mp4", "unknown_name"), ("real", "missing_folder"),
    }  # fmt: skip
    with pytest.raises(LayoutError, match="none of the folders real, fake"):
        UADFV().scan(make_tree(["a.mp4"], at="other"))
