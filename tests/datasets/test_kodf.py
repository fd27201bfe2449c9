"""The layout of KoDF, whose persons are in the file names."""

import pytest

from mgst_data.core import LayoutError
from mgst_data.datasets import KoDF, find_layout, scan_dataset
from mgst_data.testing import check_layout

REAL = "original_videos/5deca2f8a1b3c4d5e6f7/5deca2f8a1b3c4d5e6f7_012.mp4"
STUDIO = "original_videos/200715/200715_003.mp4"
FAKE = "synthesized_videos/dfl/20200816/200715/200715_5deca2f8a1b3c4d5e6f7_1_0004.mp4"
LIP = "synthesized_videos/audio-driven/20201001/200715/200715_200715_5_0001.mp4"
VIDEOS = [REAL, STUDIO, FAKE, LIP]
TABLES = {
    "원본영상_training_메타데이터.csv": "영상ID,인물성별\n200715_003.mp4,M\n",
    "변조영상_training_메타데이터.csv": (
        "영상ID,타겟영상,변조모델\n"
        "200715_5deca2f8a1b3c4d5e6f7_1_0004.mp4,200715_003.mp4,dfl\n"
        "200715_200715_5_0001,200715_003.mp4,audio-driven\n"
    ),
    "원본영상_validation_메타데이터.csv": "영상ID,인물성별\n5deca2f8a1b3c4d5e6f7_012.mp4,F\n",
}


def test_persons_and_method_come_from_the_path_and_splits_from_the_tables(make_tree, rows):
    root = make_tree(VIDEOS, TABLES)
    assert find_layout(root) == "kodf"
    check_layout(KoDF(), root)
    scan = scan_dataset(root)
    assert not scan.notes
    first, second = "kodf/5deca2f8a1b3c4d5e6f7", "kodf/200715"
    assert rows(scan) == [
        (STUDIO, 0, "train", "real", second, ""),
        (REAL, 0, "val", "real", first, ""),
        (LIP, 1, "train", "audio-driven", second, second),
        (FAKE, 1, "train", "dfl", second, first),
    ]
    assert {record.dataset for record in scan.records} == {"kodf"}


def test_without_tables_no_video_has_a_split(make_tree):
    scan = scan_dataset(make_tree(VIDEOS))
    assert {record.split for record in scan.records} == {""}
    assert [note.reason for note in scan.notes] == ["no_split_files"]


def test_the_tables_may_be_in_another_folder(make_tree, tmp_path):
    root, tables = make_tree(VIDEOS), make_tree([], TABLES, at="tables")
    assert {record.split for record in scan_dataset(root, splits=tables).records} == {"train", "val"}
    with pytest.raises(LayoutError, match="contains none of the tables"):
        scan_dataset(root, splits=tmp_path)


def test_other_names_are_kept_without_identities(make_tree):
    scan = scan_dataset(make_tree(["original_videos/a.mp4", "synthesized_videos/fo/b.mp4"], TABLES))
    assert [record.identities for record in scan.records] == [frozenset(), frozenset()]
    assert sorted(note.reason for note in scan.notes) == ["no_identity", "no_identity", "no_split", "no_split"]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"원본영상_training_메타데이터.csv": "id\nx\n"}, "has no column"),
        (TABLES | {"원본영상_validation_메타데이터.csv": "영상ID\n200715_003.mp4\n"}, "is also in"),
    ],
)
def test_an_error_in_a_table_names_it(make_tree, contents, message):
    with pytest.raises(LayoutError, match=message):
        scan_dataset(make_tree(VIDEOS, contents))


def test_the_layout_needs_one_of_its_folders(make_tree):
    assert find_layout(make_tree([FAKE], at="fakes")) == "kodf"
    with pytest.raises(LayoutError, match="original_videos, synthesized_videos"):
        KoDF().scan(make_tree(["a.mp4"]))
