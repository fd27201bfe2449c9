"""Finding the layout of a data set, and the errors if no layout is found."""

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
    "celebdf_pp": ["Celeb-real/id0_0000.mp4", "Celeb-synthesis/FaceSwap/SimSwap/id0_id1_0000.mp4"],
    "fakeavceleb": ["RealVideo-RealAudio/African/men/id00076/00109.mp4", "meta_data.csv"],
    "deepfake_eval_2024": ["video-data/a.mp4", "video-metadata-publish.csv"],
    "av_deepfake1m": ["train/id00012/a/00001/real.mp4", "test/000001.mp4", "train_metadata.json"],
    "forgerynet": ["Training/video/train_video_release/5/a/b/video.mp4", "Training/video_list.txt"],
    "kodf": ["original_videos/a/a_001.mp4", "synthesized_videos/dfl/d/a/a_b_1_1.mp4"],
    "deepspeak": ["videos/87-0.mp4", "annotations-fake.csv", "annotations-split-def.csv"],
    "synthforensics": ["T2V/videos/raw/cogvideox/000_cogvideox_t2v.mp4"],
    "uadfv": ["real/0000.mp4", "fake/0000_fake.mp4"],
    "deepfake_timit": ["lower_quality/fadg0/sa1-video-fram1.avi"],
    "deepfakebench": ["FaceForensics++/original_sequences/youtube/c23/frames/000/000.png", "dataset_json/FF-DF.json"],
    "folder": ["real/a.mp4"],
    "images": ["album/a.jpg"],
    "manifest": ["list.csv"],
}


def test_a_root_may_be_text(make_tree):
    root = make_tree(ONE_OF_EACH["celebdf"])
    assert scan_dataset(str(root)).records == scan_dataset(root).records


def test_every_layout_recognises_its_own_tree_and_no_other(make_tree):
    assert set(ONE_OF_EACH) == set(LAYOUTS)
    for owner, names in ONE_OF_EACH.items():
        root = make_tree(names, at=owner)
        root = root / "list.csv" if owner == "manifest" else root
        recognising = {name for name in LAYOUTS if make_layout(name).recognises(root)}
        # UADFV has the folders of the general layout, which is used only if no other layout recognises a folder.
        assert recognising == ({"uadfv", "folder"} if owner == "uadfv" else {owner})
        assert find_layout(root) == owner


def test_every_layout_follows_the_interface():
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


def test_the_error_for_an_unknown_folder_lists_the_known_layouts(make_tree):
    with pytest.raises(LayoutError) as caught:
        find_layout(make_tree(["some/clip.mp4"]))
    for text in ("original_sequences/", "Celeb-real/", "real/ and fake/", "manifest"):
        assert text in str(caught.value)


def test_a_single_video_is_not_a_data_set(make_tree):
    with pytest.raises(LayoutError, match="not a folder and not a manifest"):
        find_layout(make_tree(["clip.mp4"]) / "clip.mp4")


def test_two_data_sets_in_one_folder_are_an_error(make_tree):
    root = make_tree([*ONE_OF_EACH["faceforensics"], *ONE_OF_EACH["celebdf"]])
    with pytest.raises(LayoutError, match="several layouts match: celebdf, faceforensics"):
        find_layout(root)


def test_a_specific_layout_has_priority_over_the_general_folder(make_tree):
    assert find_layout(make_tree([*ONE_OF_EACH["faceforensics"], "real/a.mp4"])) == "faceforensics"


def test_an_unknown_option_of_a_layout_is_an_error(make_tree):
    root = make_tree(ONE_OF_EACH["celebdf"])
    with pytest.raises(
        UsageError, match=r"'celebdf' has no option 'masks' \(leave it out; options of this layout: splits\)"
    ):
        scan_dataset(root, masks=True)
    assert len(scan_dataset(root, masks=False, splits=None, reals=None).records) == 1


def test_an_unknown_layout_gets_a_suggestion(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'faceforensics'"):
        scan_dataset(tmp_path, layout="faceforensic")


def test_a_registered_layout_has_priority_over_the_general_folder(make_tree, monkeypatch):
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


def test_records_with_the_same_key_are_an_error():
    record = VideoRecord(key="k", path="p", video="v", dataset="lab", split="", label=0, method="real")
    with pytest.raises(ValueError, match="have the same key"):
        Scan.of([record, record])
