"""The layout of DeeperForensics-1.0, whose targets and real videos are those of FaceForensics++."""

import pytest

from mgst_data.core import LayoutError, LeakageError, UsageError
from mgst_data.datasets import check_leakage, find_layout, scan_dataset, select

VARIANTS = (
    "end_to_end", "reenact_postprocess", "end_to_end_level_1", "end_to_end_level_2", "end_to_end_level_3",
    "end_to_end_level_4", "end_to_end_level_5", "end_to_end_random_level", "end_to_end_mix_2_distortions",
    "end_to_end_mix_3_distortions", "end_to_end_mix_4_distortions",
)  # fmt: skip
SPLITS = {
    "lists/splits/train.txt": "000_M101.mp4\n",
    "lists/splits/val.txt": "071_W005.mp4\n",
    "lists/splits/test.txt": "720_M004.mp4\n",
}
FFPP_SPLITS = {
    "splits/train.json": [["720", "672"]],
    "splits/val.json": [["071", "054"]],
    "splits/test.json": [["000", "003"]],
}


def fakes(variants=VARIANTS):
    return [f"manipulated_videos/{v}/{name}.mp4" for v in variants for name in ("000_M101", "071_W005", "720_M004")]


def originals(compression="c23"):
    return [f"original_sequences/youtube/{compression}/videos/{name}.mp4" for name in ("000", "071", "720", "999")]


def test_only_fakes_are_found_without_the_folder_of_real_videos(make_tree):
    root = make_tree([*fakes(), "source_videos/M101/BlendShape/camera_front/x.mp4"], SPLITS)
    assert find_layout(root) == "deeperforensics"
    scan = scan_dataset(root)
    assert len(scan.records) == 33
    assert {record.label for record in scan.records} == {1}
    assert {record.method for record in scan.records} == set(VARIANTS)
    assert [(note.where, note.reason) for note in scan.notes] == [(".", "no_reals")]


def test_real_videos_are_the_c23_targets_in_the_split_of_their_fakes(make_tree):
    ffpp = make_tree([*originals(), *originals("c40")], FFPP_SPLITS, at="ffpp")
    scan = scan_dataset(make_tree(fakes(), SPLITS), reals=ffpp)
    assert not scan.notes
    reals = [record for record in scan.records if not record.label]
    assert [(r.target_key, r.split, r.dataset, r.compression) for r in reals] == [
        ("ffpp/000", "train", "deeperforensics", "c23"),
        ("ffpp/071", "val", "deeperforensics", "c23"),
        ("ffpp/720", "test", "deeperforensics", "c23"),
    ]
    assert reals[0].path == str(ffpp / "original_sequences/youtube/c23/videos/000.mp4")
    check_leakage(scan.records)


def test_targets_seen_in_training_on_faceforensics_are_found(make_tree):
    ffpp = scan_dataset(make_tree(originals(), FFPP_SPLITS, at="ffpp"))
    deeper = scan_dataset(make_tree(fakes(), SPLITS))
    with pytest.raises(LeakageError, match="ffpp/720") as caught:
        check_leakage([*select(ffpp, split=("train",)).records, *select(deeper, split=("test",)).records])
    assert "ffpp/000" not in str(caught.value)


def test_a_folder_without_c23_originals_is_an_error(make_tree):
    with pytest.raises(LayoutError, match="c23"):
        scan_dataset(make_tree(fakes(), SPLITS), reals=make_tree(originals("c40"), FFPP_SPLITS, at="ffpp"))


def test_missing_variants_and_videos_give_notes(make_tree):
    root = make_tree(fakes(["end_to_end"])[1:], SPLITS)
    notes = scan_dataset(root).notes
    assert {note.where for note in notes if note.reason == "missing_video"} == {
        "manipulated_videos/end_to_end/000_M101.mp4"
    }
    assert len([note for note in notes if note.reason == "missing_folder"]) == 10


def test_fakes_outside_the_lists_and_unknown_names_give_notes(make_tree):
    odd = ["manipulated_videos/end_to_end/999_M101.mp4", "manipulated_videos/end_to_end/source.mp4"]
    notes = scan_dataset(make_tree([*fakes(), *odd], SPLITS)).notes
    assert {(note.where, note.reason) for note in notes if note.where in odd} == {
        (odd[0], "no_split"), (odd[1], "unknown_name"),
    }  # fmt: skip


def test_missing_and_malformed_lists(make_tree):
    scan = scan_dataset(make_tree(fakes(), at="a"))
    assert "no_split_files" in {note.reason for note in scan.notes}
    assert {record.split for record in scan.records} == {""}
    with pytest.raises(LayoutError, match=r"val\.txt: cannot parse '071'"):
        scan_dataset(make_tree(fakes(), SPLITS | {"lists/splits/val.txt": "071.mp4\n"}, at="b"))


def test_lists_may_leave_out_the_suffix(make_tree):
    contents = {name: text.replace(".mp4", "") for name, text in SPLITS.items()}
    assert {r.split for r in scan_dataset(make_tree(fakes(), contents)).records} == {"train", "val", "test"}


def test_a_compression_level_that_leaves_out_all_fakes_is_an_error(make_tree):
    ffpp = make_tree(originals(), FFPP_SPLITS, at="ffpp")
    scan = scan_dataset(make_tree(fakes(), SPLITS), reals=ffpp)
    with pytest.raises(UsageError, match=r"no fake video has the compression 'c23'.*leave out the compression"):
        select(scan, compression=("c23",))
    assert {record.label for record in select(scan, method=("real",), compression=("c23",)).records} == {0}
