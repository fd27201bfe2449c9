"""The layout of SynthForensics, which has only generated videos."""

from dataclasses import replace

import pytest

from mgst_data.core import LayoutError, LeakageError
from mgst_data.datasets import SynthForensics, check_leakage, find_layout, scan_dataset
from mgst_data.testing import check_layout

VIDEOS = [
    "T2V/videos/raw/cogvideox/000_cogvideox_t2v.mp4",
    "T2V/videos/crf23/daVinci-MagiHuman/000_daVinci-MagiHuman_t2v.mp4",
    "I2V/videos/raw/wan2-1/01__exit_phone_room_wan2-1_i2v.mp4",
]


def test_method_compression_and_paired_video_come_from_the_tree(make_tree, rows):
    root = make_tree([*VIDEOS, "T2V/metadata/cogvideox/000_cogvideox_t2v.json", "README.md"])
    assert find_layout(root) == "synthforensics"
    check_layout(SynthForensics(), root)
    scan = scan_dataset(root)
    assert rows(scan) == [
        (VIDEOS[2], 1, "", "wan2-1_i2v", "dfd/01", ""),
        (VIDEOS[1], 1, "", "daVinci-MagiHuman_t2v", "ffpp/000", ""),
        (VIDEOS[0], 1, "", "cogvideox_t2v", "ffpp/000", ""),
    ]
    assert [record.compression for record in scan.records] == ["raw", "crf23", "raw"]
    assert {record.dataset for record in scan.records} == {"synthforensics"}
    found = {(note.where, note.reason) for note in scan.notes}
    assert found == {(".", "no_reals")} | {
        (f"{mode}/videos/{version}", "missing_folder")
        for mode, versions in (("T2V", ("canonical", "crf40")), ("I2V", ("canonical", "crf23", "crf40")))
        for version in versions
    }


def test_leakage_from_faceforensics_is_found(make_tree):
    splits = {f"splits/{split}.json": [] for split in ("val", "test")} | {"splits/train.json": [["000", "003"]]}
    ffpp = scan_dataset(make_tree(["original_sequences/youtube/c23/videos/000.mp4"], splits, at="ffpp"))
    fakes = scan_dataset(make_tree(VIDEOS[:1])).records
    assert {record.target_key for record in fakes} == {"ffpp/000"}
    with pytest.raises(LeakageError, match="ffpp/000"):
        check_leakage([*ffpp.records, *(replace(record, split="test") for record in fakes)])


def test_other_names_are_kept_without_identity(make_tree):
    scan = scan_dataset(make_tree(["T2V/videos/raw/helios/clip_helios_t2v.mp4"]))
    assert [(record.target_key, record.method) for record in scan.records] == [("", "helios_t2v")]
    assert ("T2V/videos/raw/helios/clip_helios_t2v.mp4", "no_identity") in {(n.where, n.reason) for n in scan.notes}


def test_the_layout_needs_one_of_its_folders(make_tree):
    with pytest.raises(LayoutError, match="T2V/, I2V/"):
        SynthForensics().scan(make_tree(["a.mp4"]))
