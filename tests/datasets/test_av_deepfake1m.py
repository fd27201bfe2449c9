"""The layout of AV-Deepfake1M and AV-Deepfake1M++, whose fakes are fake only in parts."""

import pytest

from mgst_data.core import LayoutError
from mgst_data.datasets import AVDeepfake1M, find_layout, scan_dataset
from mgst_data.testing import check_layout


def entry(file, kind, split="train", visual=(), audio=(), **more):
    """One entry of the metadata, with the published fields."""
    return {
        "file": file,
        "original": "id00012/21Uxsk56VDQ/00001/real.mp4" if kind != "real" else None,
        "split": split,
        "modify_type": kind,
        "audio_model": "yourtts" if kind in ("audio_modified", "both_modified") else None,
        "fake_segments": sorted([*visual, *audio]),
        "audio_fake_segments": list(audio),
        "visual_fake_segments": list(visual),
        "video_frames": 237,
        "audio_frames": 151680,
        **more,
    }


CLIP = "id00012/21Uxsk56VDQ/00001"
FIRST = [
    entry(f"{CLIP}/real.mp4", "real"),
    # The published metadata give some of these videos visual segments by mistake.
    entry(f"{CLIP}/real_video_fake_audio.mp4", "audio_modified", audio=[[3.28, 3.46]], visual=[[3.28, 3.46]]),
    entry(f"{CLIP}/fake_video_real_audio.mp4", "visual_modified", visual=[[5.0, 5.5], [1.2, 1.3], [5.5, 6]]),
    entry(f"{CLIP}/fake_video_fake_audio.mp4", "both_modified", visual=[[3.28, 3.46]], audio=[[3.28, 3.46]]),
]
PLUS = [
    entry("vox_celeb_2/id01358/1nATum8x78/00030/real.mp4", "real", "val", video_model=None),
    entry("lrs3/0af00UcTOSc/50001/fake.mp4", "visual_modified", "val", visual=[[0, 0.5]], video_model="diff2lip"),
    entry("silent_videos/subject_4_ab12_vid_1_2/f.mp4", "both_modified", "val", visual=[[1, 2]], video_model="Talklip"),
]


def make(make_tree, train=(), val=(), names=()):
    videos = [f"train/{item['file']}" for item in train] + [f"val/{item['file']}" for item in val]
    contents = {"train_metadata.json": list(train)} if train else {}
    contents |= {"val_metadata.json": list(val)} if val else {}
    return make_tree([*videos, *names], contents)


def test_only_a_changed_picture_is_fake_and_only_in_its_parts(make_tree, rows):
    root = make(make_tree, FIRST, names=["train_metadata/x.json", "test/000001.mp4"])
    assert find_layout(root) == "av_deepfake1m"
    check_layout(AVDeepfake1M(), root)
    scan = scan_dataset(root)
    person = "voxceleb2/id00012"
    assert rows(scan) == [
        (f"train/{CLIP}/fake_video_fake_audio.mp4", 1, "train", "both_modified", person, ""),
        (f"train/{CLIP}/fake_video_real_audio.mp4", 1, "train", "visual_modified", person, ""),
        (f"train/{CLIP}/real.mp4", 0, "train", "real", person, ""),
        (f"train/{CLIP}/real_video_fake_audio.mp4", 0, "train", "real", person, ""),
    ]
    assert [record.fake_spans for record in scan.records] == [((3.28, 3.46),), ((1.2, 1.3), (5.0, 6.0)), (), ()]
    assert {record.dataset for record in scan.records} == {"av_deepfake1m"}
    assert [(note.where, note.reason) for note in scan.notes] == [("test", "no_label"), ("val", "missing_folder")]


def test_version_plus_plus_names_the_video_model_and_has_three_sources(make_tree, rows):
    root = make(make_tree, FIRST[:1], PLUS, names=[f"val/{item['file'][:-4]}.json" for item in PLUS])
    check_layout(AVDeepfake1M(), root)
    scan = scan_dataset(root)
    assert not scan.notes
    assert rows(scan)[1:] == [
        ("val/lrs3/0af00UcTOSc/50001/fake.mp4", 1, "val", "diff2lip", "lrs3/0af00UcTOSc", ""),
        ("val/silent_videos/subject_4_ab12_vid_1_2/f.mp4", 1, "val", "Talklip", "silent_videos/subject_4", ""),
        ("val/vox_celeb_2/id01358/1nATum8x78/00030/real.mp4", 0, "val", "real", "voxceleb2/id01358", ""),
    ]
    assert [record.fake_spans for record in scan.records] == [(), ((0.0, 0.5),), ((1.0, 2.0),), ()]


def test_missing_and_unlisted_videos_give_notes(make_tree):
    root = make_tree(["train/id00012/a/real.mp4"], {"train_metadata.json": FIRST[:1]})
    (root / f"train/{CLIP}").mkdir(parents=True)
    (root / f"train/{CLIP}/x.mp4").touch()
    with pytest.raises(LayoutError, match="no video found"):
        scan_dataset(root)
    found = {(note.where, note.reason) for note in AVDeepfake1M().scan(root).notes}
    assert {(f"train/{CLIP}/real.mp4", "missing_video"), (f"train/{CLIP}/x.mp4", "no_label")} <= found


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "not a JSON list"),
        ([{"file": "a.mp4", "modify_type": "other"}], "cannot read entry 1"),
        ([entry("a.mp4", "visual_modified", visual=[[2, 1]])], "cannot read entry 1"),
        ([entry("a.mp4", "visual_modified", visual=[["a", "b"]])], "cannot read entry 1"),
        (["a.mp4"], "cannot read entry 1"),
    ],
)
def test_an_error_in_the_metadata_names_the_entry(make_tree, metadata, message):
    with pytest.raises(LayoutError, match=rf"train_metadata\.json: {message}"):
        scan_dataset(make_tree(["train/a.mp4"], {"train_metadata.json": metadata}))


def test_videos_without_metadata_are_an_error(make_tree):
    root = make(make_tree, FIRST, names=["val/a.mp4"])
    with pytest.raises(LayoutError, match=r"val_metadata\.json: no such file"):
        scan_dataset(root)
