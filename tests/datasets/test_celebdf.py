"""The layout of Celeb-DF v1 and v2."""

import pytest

from mgst_data.core import LayoutError
from mgst_data.datasets import check_leakage, find_layout, scan_dataset

LIST = "List_of_testing_videos.txt"
LISTED = "1 Celeb-real/id0_0000.mp4\n1 YouTube-real/00170.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n"


def names(youtube="YouTube-real", videos=""):
    return [
        f"Celeb-real/{videos}id0_0000.mp4",
        f"Celeb-real/{videos}id1_0001.mp4",
        f"{youtube}/{videos}00170.mp4",
        f"{youtube}/{videos}00171.mp4",
        f"Celeb-synthesis/{videos}id0_id1_0000.mp4",
        f"Celeb-synthesis/{videos}id1_id0_0001.mp4",
    ]


@pytest.mark.parametrize("youtube", ["YouTube-real", "Youtube-real"])
@pytest.mark.parametrize("videos", ["videos/", ""])
def test_listed_videos_are_test_and_the_others_have_no_split(make_tree, youtube, videos):
    root = make_tree(names(youtube, videos), {LIST: LISTED})
    assert find_layout(root) == "celebdf"
    scan = scan_dataset(root)
    assert not scan.notes
    assert [(record.video, record.split) for record in scan.records if record.split] == [
        (f"Celeb-real/{videos}id0_0000.mp4", "test"),
        (f"Celeb-synthesis/{videos}id0_id1_0000.mp4", "test"),
        (f"{youtube}/{videos}00170.mp4", "test"),
    ]


def test_one_means_real_in_the_list(make_tree):
    scan = scan_dataset(make_tree(names(), {LIST: LISTED}))
    assert {record.video.partition("/")[0]: record.label for record in scan.records} == {
        "Celeb-real": 0, "YouTube-real": 0, "Celeb-synthesis": 1,
    }  # fmt: skip


def test_a_list_in_which_one_means_fake_is_refused(make_tree):
    inverted = LISTED.replace("1 Celeb-real", "0 Celeb-real")
    with pytest.raises(LayoutError, match=r"txt:1: labels a video of celeb-real as fake .*1 means real"):
        scan_dataset(make_tree(names(), {LIST: inverted}))


@pytest.mark.parametrize("line", ["Celeb-real/id0_0000.mp4", "2 Celeb-real/id0_0000.mp4", "1 real/a.mp4", "\x7fELF"])
def test_an_error_in_the_list_names_the_line(make_tree, line):
    with pytest.raises(LayoutError, match=f"{LIST}:4: cannot parse"):
        scan_dataset(make_tree(names(), {LIST: LISTED + line}))


def test_identities_come_from_file_names(make_tree):
    records = {record.video: record for record in scan_dataset(make_tree(names(), {LIST: LISTED})).records}
    fake = records["Celeb-synthesis/id0_id1_0000.mp4"]
    assert (fake.target_key, fake.source_key) == ("celeb_df/id0", "celeb_df/id1")
    assert records["Celeb-real/id1_0001.mp4"].target_key == "celeb_df/id1"
    assert records["YouTube-real/00170.mp4"].target_key != records["YouTube-real/00171.mp4"].target_key


def test_celebrities_in_several_videos_are_not_leakage_because_train_is_empty(make_tree):
    check_leakage(scan_dataset(make_tree(names(), {LIST: LISTED})).records)


def test_a_missing_list_gives_a_note_and_can_be_in_another_folder(make_tree):
    root = make_tree(names())
    scan = scan_dataset(root)
    assert {record.split for record in scan.records} == {""}
    assert [note.reason for note in scan.notes] == ["no_split_files"]
    lists = make_tree([], {LIST: LISTED}, at="lists")
    assert {record.split for record in scan_dataset(root, splits=lists).records} == {"", "test"}
    with pytest.raises(LayoutError, match=LIST):
        scan_dataset(root, splits=root)


def test_missing_videos_and_folders_give_notes(make_tree):
    found = [name for name in names() if "YouTube" not in name]
    scan = scan_dataset(make_tree(found, {LIST: LISTED}))
    assert {(note.where, note.reason) for note in scan.notes} == {
        ("youtube-real", "missing_folder"), ("YouTube-real/00170.mp4", "missing_video"),
    }  # fmt: skip


def test_version_1_is_recognised_by_its_list_or_its_name(make_tree):
    reals = [f"Celeb-real/id0_{number:04}.mp4" for number in range(100)]
    listed = "".join(f"1 {name}\n" for name in reals)
    assert {r.dataset for r in scan_dataset(make_tree(reals, {LIST: listed}, at="a")).records} == {"celeb_df_v1"}
    assert {r.dataset for r in scan_dataset(make_tree(names(), at="Celeb-DF-v1")).records} == {"celeb_df_v1"}
    assert {r.dataset for r in scan_dataset(make_tree(names(), {LIST: LISTED}, at="b")).records} == {"celeb_df_v2"}


def test_videos_next_to_a_folder_of_videos_give_a_note(make_tree):
    scan = scan_dataset(make_tree([*names(videos="videos/"), "Celeb-real/id5_0000.mp4"], {LIST: LISTED}))
    assert len(scan.records) == 6
    assert [(note.where, note.reason) for note in scan.notes] == [("Celeb-real", "beside_videos")]


def test_a_fake_in_the_folder_of_real_videos_gives_a_note(make_tree):
    scan = scan_dataset(make_tree([*names(), "Celeb-real/id0_id1_0000.mp4"], {LIST: LISTED}))
    assert [(note.where, note.reason) for note in scan.notes] == [("Celeb-real/id0_id1_0000.mp4", "unknown_name")]
