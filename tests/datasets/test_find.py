"""Finding the layout, and what is said where there is none."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from mgst_data.core import LayoutError, Registry, UsageError, VideoRecord
from mgst_data.datasets import LAYOUTS, Layout, Scan, find, find_layout, make_layout, scan_dataset

ONE_OF_EACH = {
    "faceforensics": ["original_sequences/youtube/c23/videos/000.mp4"],
    "celebdf": ["Celeb-real/id0_0000.mp4"],
    "dfdc": ["dfdc_train_part_0/a.mp4", "dfdc_train_part_0/metadata.json"],
    "dfdc_preview": ["original_videos/1/1_A_001.mp4", "dataset.json"],
    "deeperforensics": ["manipulated_videos/end_to_end/000_M101.mp4"],
    "wilddeepfake": ["real_train/0.tar.gz"],
    "df40": ["fomm/ff/frames/000_003/000.png"],
    "folder": ["real/a.mp4"],
    "manifest": ["list.csv"],
}


def test_every_layout_recognises_its_own_tree_and_no_other(make_tree):
    assert set(ONE_OF_EACH) == set(LAYOUTS)
    for owner, names in ONE_OF_EACH.items():
        root = make_tree(names, at=owner)
        root = root / "list.csv" if owner == "manifest" else root
        assert [name for name in LAYOUTS if make_layout(name).recognises(root)] == [owner]


def test_every_layout_keeps_the_contract():
    for name in LAYOUTS:
        layout = make_layout(name)
        assert isinstance(layout, Layout)
        assert layout.looks_for


@pytest.mark.parametrize("layout", ["auto", *ONE_OF_EACH])
def test_a_missing_source_is_an_error_for_every_layout(tmp_path, layout):
    with pytest.raises(LayoutError, match="no such file or directory") as caught:
        scan_dataset(tmp_path / "gone", layout=layout)
    assert (caught.value.exit_code, caught.value.reason) == (2, "missing_source")


@pytest.mark.parametrize("layout", ["auto", *ONE_OF_EACH])
def test_an_empty_source_is_an_error_for_every_layout(tmp_path, layout):
    with pytest.raises(LayoutError) as caught:
        scan_dataset(tmp_path, layout=layout)
    assert caught.value.exit_code == 2
    assert str(tmp_path) in str(caught.value)


def test_an_unknown_folder_is_told_what_was_looked_for(make_tree):
    with pytest.raises(LayoutError) as caught:
        find_layout(make_tree(["some/clip.mp4"]))
    for said in ("original_sequences/", "Celeb-real/", "real/ and fake/", "manifest"):
        assert said in str(caught.value)


def test_a_plain_file_is_no_data_set(make_tree):
    with pytest.raises(LayoutError, match="no folder and no manifest"):
        find_layout(make_tree(["clip.mp4"]) / "clip.mp4")


def test_two_data_sets_in_one_folder_are_not_guessed_between(make_tree):
    root = make_tree([*ONE_OF_EACH["faceforensics"], *ONE_OF_EACH["celebdf"]])
    with pytest.raises(LayoutError, match="looks like celebdf and faceforensics"):
        find_layout(root)


def test_a_special_layout_goes_before_the_general_folder(make_tree):
    assert find_layout(make_tree([*ONE_OF_EACH["faceforensics"], "real/a.mp4"])) == "faceforensics"


def test_an_option_that_a_layout_lacks_is_refused(make_tree):
    root = make_tree(ONE_OF_EACH["celebdf"])
    with pytest.raises(UsageError, match=r"'celebdf' has no option 'masks' \(leave it out; it takes splits\)"):
        scan_dataset(root, masks=True)
    assert len(scan_dataset(root, masks=False, splits=None, reals=None).records) == 1


def test_an_unknown_layout_gets_a_suggestion(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'faceforensics'"):
        scan_dataset(tmp_path, layout="faceforensic")


def test_a_layout_from_outside_is_found_before_the_general_folder(make_tree, monkeypatch):
    @dataclass(frozen=True)
    class Lab:
        looks_for: ClassVar[str] = "lab.txt"

        def recognises(self, root: Path) -> bool:
            return (root / "lab.txt").exists()

        def scan(self, root: Path) -> Scan:
            record = VideoRecord(key="k", path="p", video="v", dataset="lab", split="", label=0, method="real")
            return Scan.of([record])

    layouts = Registry(LAYOUTS.group)
    for name in LAYOUTS:
        layouts.register(name)(LAYOUTS.get(name))
    layouts.register("lab")(Lab)
    monkeypatch.setattr(find, "LAYOUTS", layouts)
    assert find_layout(make_tree(["real/a.mp4", "lab.txt"])) == "lab"


def test_records_with_one_key_are_refused():
    record = VideoRecord(key="k", path="p", video="v", dataset="lab", split="", label=0, method="real")
    with pytest.raises(ValueError, match="share a key"):
        Scan.of([record, record])
