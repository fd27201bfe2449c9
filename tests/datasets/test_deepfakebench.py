"""The layout of DeepfakeBench: trees of empty files, with the JSON files in the form of its rearrange.py."""

from __future__ import annotations

import pytest

from mgst_data.core import LayoutError
from mgst_data.datasets import DeepfakeBench, check_leakage, find_layout, scan_dataset

REAL, FAKE = "FaceForensics++/original_sequences/youtube/c23", "FaceForensics++/manipulated_sequences/Deepfakes/c23"


def listed(folder: str, name: str, *, label: str = "x", masks: str = "", frames: int = 1):
    """One video in a JSON file."""
    entry = {"label": label, "frames": [f"{folder}/frames/{name}/{n:03d}.png" for n in range(frames)]}
    return {name: {**entry, **({"masks": [f"{masks}/masks/{name}/000.png"]} if masks else {})}}


def files(folder: str, name: str, *kinds: str) -> list[str]:
    suffix = {"landmarks": "npy"}
    return [f"{folder}/{kind}/{name}/000.{suffix.get(kind, 'png')}" for kind in ("frames", *(kinds or ("landmarks",)))]


FF = {
    "FaceForensics++": {
        "FF-real": {"train": {"c23": listed(REAL, "000"), "c40": {}}, "test": {"c23": listed(REAL, "003")}},
        "FF-DF": {"train": {"c23": listed(FAKE, "000_001", masks=FAKE)}, "val": {}, "test": {}},
    }
}
FF_FILES = [*files(REAL, "000"), *files(REAL, "003"), *files(FAKE, "000_001", "landmarks", "masks")]


@pytest.mark.parametrize("lists", ["dataset_json", "preprocessing/dataset_json"])
@pytest.mark.parametrize("base", ["", "datasets/", "datasets/rgb/"])
def test_label_split_compression_and_identities_of_faceforensics(make_tree, lists, base):
    root = make_tree([base + name for name in FF_FILES], {f"{lists}/FaceForensics++.json": FF})
    assert find_layout(root) == "deepfakebench"
    scan = scan_dataset(root, masks=True)
    found = [
        (r.video, r.dataset, r.split, r.label, r.method, r.compression, r.target_key, r.source_key)
        for r in scan.records
    ]
    assert found == [
        (f"{base}{FAKE}/frames/000_001", "ffpp", "train", 1, "Deepfakes", "c23", "ffpp/000", "ffpp/001"),
        (f"{base}{REAL}/frames/000", "ffpp", "train", 0, "real", "c23", "ffpp/000", ""),
        (f"{base}{REAL}/frames/003", "ffpp", "test", 0, "real", "c23", "ffpp/003", ""),
    ]
    fake, real = scan.records[:2]
    assert fake.path == str(root / base / FAKE / "frames/000_001")
    assert fake.landmarks_path == str(root / base / FAKE / "landmarks/000_001")
    assert fake.mask_path == str(root / base / FAKE / "masks/000_001")
    assert (real.mask_path, real.landmarks_path) == ("", str(root / base / REAL / "landmarks/000"))
    assert scan.notes == ()
    assert all(not record.mask_path for record in scan_dataset(root).records)


@pytest.mark.parametrize("prefix", ["/mnt/disk/data", "F:\\", "..", "./datasets", "C:\\deep\\FaceForensics++\\old"])
def test_paths_of_another_computer_are_found_below_the_root(make_tree, prefix):
    video = f"{REAL}/frames/000/000.png"
    path = f"{prefix}/{video}" if "\\" not in prefix else f"{prefix}\\{video}".replace("/", "\\")
    content = {"a": {"FF-real": {"train": {"c23": {"000": {"label": "FF-real", "frames": [path]}}}}}}
    root = make_tree(files(REAL, "000"), {"dataset_json/a.json": content})
    assert [record.video for record in scan_dataset(root).records] == [f"{REAL}/frames/000"]
    # The root may be one data set, too; the JSON files are then given.
    one = scan_dataset(root / "FaceForensics++", layout="deepfakebench", splits=root / "dataset_json")
    assert [record.video for record in one.records] == ["original_sequences/youtube/c23/frames/000"]


def test_no_path_leads_out_of_the_root(make_tree, tmp_path):
    make_tree(files("c23", "000"), at="secret")
    content = {"a": {"FF-real": {"train": {"000": {"frames": ["x/../../secret/c23/frames/000/000.png"]}}}}}
    root = make_tree(files(REAL, "001"), {"dataset_json/a.json": content})
    with pytest.raises(LayoutError, match="folder not found"):
        scan_dataset(root)


CELEB, DFD, DFDCP, DFDC = "Celeb-DF-v2", "FaceForensics++/original_sequences/actors/c23", "DFDCP", "DFDC/test"
DEEPER = "DeeperForensics-1.0"
OTHERS = {
    "Celeb-DF-v2": {
        "CelebDFv2_real": {
            "train": {
                **listed(f"{CELEB}/Celeb-real", "id0_0000"),
                **listed(f"{CELEB}/Celeb-real", "id0_0001"),
                **listed(f"{CELEB}/YouTube-real", "00007"),
            },
            "test": listed(f"{CELEB}/Celeb-real", "id0_0001"),
            "val": listed(f"{CELEB}/Celeb-real", "id0_0001"),
        },
        "CelebDFv2_fake": {"test": listed(f"{CELEB}/Celeb-synthesis", "id0_id1_0000")},
    },
    "DeepFakeDetection": {
        "DFD_real": {split: {"c23": listed(DFD, "01__kitchen_pan")} for split in ("train", "val", "test")}
    },
    "DFDCP": {
        "DFDCP_FakeA": {split: listed(f"{DFDCP}/method_A", "1_2_A_001") for split in ("val", "test")},
        "DFDCP_Real": {"train": listed(f"{DFDCP}/original_videos", "1_B_000")},
    },
    # The script writes one video of DFDC in place of the videos of val.
    "DFDC": {"DFDC_Fake": {"test": listed(DFDC, "abc"), "val": listed(DFDC, "abc")["abc"]}},
    "DeeperForensics-1.0": {
        "DF_fake": {"train": listed(f"{DEEPER}/manipulated_videos/end_to_end", "000_M001")},
        "DF_real": {s: listed(f"{DEEPER}/source_videos/M004", "neutral") for s in ("train", "val", "test")},
    },
    "UADFV": {"UADFV_Fake": {s: listed("UADFV/fake", "0000_fake") for s in ("train", "test", "val")}},
    "WDF": {"WDF_Real": {"train": listed("WDF/real", "9")}, "WDF_fake": {"train": listed("WDF/fake", "8")}},
}


def test_every_data_set_gets_the_names_of_its_own_layout_and_no_test_video_is_trained_on(make_tree):
    folders = {
        f"{CELEB}/Celeb-real": ["id0_0000", "id0_0001"], f"{CELEB}/YouTube-real": ["00007"],
        f"{CELEB}/Celeb-synthesis": ["id0_id1_0000"], DFD: ["01__kitchen_pan"], f"{DFDCP}/method_A": ["1_2_A_001"],
        f"{DFDCP}/original_videos": ["1_B_000"], DFDC: ["abc"], f"{DEEPER}/manipulated_videos/end_to_end": ["000_M001"],
        f"{DEEPER}/source_videos/M004": ["neutral"], "UADFV/fake": ["0000_fake"], "WDF/real": ["9"], "WDF/fake": ["8"],
    }  # fmt: skip
    names = [file for folder, videos in folders.items() for video in videos for file in files(folder, video)]
    root = make_tree(names, {f"dataset_json/{name}.json": {name: content} for name, content in OTHERS.items()})
    scan = scan_dataset(root)
    found = {
        r.video.rpartition("/")[2]: (r.dataset, r.split, r.method, r.target_key, r.source_key) for r in scan.records
    }
    assert found == {
        "id0_0000": ("celeb_df_v2", "", "real", "celeb_df/id0", ""),
        "id0_0001": ("celeb_df_v2", "test", "real", "celeb_df/id0", ""),
        "00007": ("celeb_df_v2", "", "real", "celeb_df/youtube_00007", ""),
        "id0_id1_0000": ("celeb_df_v2", "test", "Celeb-synthesis", "celeb_df/id0", "celeb_df/id1"),
        "01__kitchen_pan": ("dfd", "test", "real", "dfd/01", ""),
        "1_2_A_001": ("dfdc_preview", "test", "method_A", "", ""),
        "1_B_000": ("dfdc_preview", "train", "real", "", ""),
        "abc": ("dfdc", "test", "DFDC", "", ""),
        "000_M001": ("deeperforensics", "train", "end_to_end", "ffpp/000", "deeperforensics/M001"),
        "neutral": ("deeperforensics", "", "real", "deeperforensics/M004", ""),
        "0000_fake": ("uadfv", "test", "UADFV", "uadfv/0000", ""),
        "9": ("WDF", "train", "real", "", ""),
        "8": ("WDF", "train", "WDF_fake", "", ""),
    }
    check_leakage(scan.records)
    assert sorted(note.where for note in scan.notes if note.reason == "no_split") == [
        "Celeb-DF-v2/Celeb-real/frames/id0_0000",
        "Celeb-DF-v2/YouTube-real/frames/00007",
        "DeeperForensics-1.0/source_videos/M004/frames/neutral",
    ]


def test_problems_of_the_data_become_notes(make_tree):
    content = {
        "a": {
            "FF-real": {
                "train": {
                    "c23": {
                        **listed(REAL, "000", frames=3),
                        **listed(REAL, "001"),
                        **listed(REAL, "002"),
                        "004": {"label": "FF-real", "frames": []},
                    }
                }
            },
            "FF-DF": {"train": {"c23": {**listed(FAKE, "000_001"), **listed(FAKE, "002_000")}}},
            "who knows": {"train": listed("X/a", "1")},
        }
    }
    names = [
        *files(REAL, "000"), f"{REAL}/frames/000/777.png", f"{REAL}/frames/001/000.png", *files(REAL, "009"),
        *files(FAKE, "000_001"), *files(FAKE, "002_000"), *files("X/a", "1"),
    ]  # fmt: skip
    scan = scan_dataset(make_tree(names, {"dataset_json/a.json": content}), masks=True)
    found = {(note.reason, note.where, note.what) for note in scan.notes}
    assert found == {
        ("missing_frames", f"{REAL}/frames/000", "2 of 3 listed frames not found"),
        ("extra_frames", f"{REAL}/frames/000", "1 images that are not listed are used, too"),
        ("missing_frames", "a.json: FF-real/train/004", "listed without frames"),
        ("missing_video", "a.json: FF-real/train/002", f"folder not found: {REAL}/frames/002"),
        (
            "missing_landmarks",
            f"{REAL}/frames",
            "1 videos without a folder in landmarks/; their faces will be detected",
        ),
        ("missing_mask", f"{FAKE}/frames", "2 fake videos without a folder of masks"),
        ("no_label", f"{REAL}/frames", "listed in no JSON file: 009"),
        ("no_label", "X/a/frames/1", "the name of its class who knows does not end in real or fake"),
    }
    assert [record.video.rpartition("/")[2] for record in scan.records] == ["000_001", "002_000", "000", "001"]
    assert [bool(record.landmarks_path) for record in scan.records] == [True, True, True, False]


def test_masks_of_another_compression_are_taken_as_listed(make_tree):
    c40 = FAKE.replace("c23", "c40")
    content = {"FF-DF": {"FF-DF": {"test": {"c40": listed(c40, "000_001", masks=FAKE)}}}}
    names = [*files(c40, "000_001"), *files(FAKE, "000_001", "masks")]
    root = make_tree(names, {"dataset_json/FF-DF.json": content})
    (fake,) = scan_dataset(root, masks=True).records
    assert (fake.compression, fake.mask_path) == ("c40", str(root / FAKE / "masks/000_001"))


def test_the_same_video_in_several_files_is_one_record(make_tree):
    again = {"FF-DF": {"FF-real": FF["FaceForensics++"]["FF-real"]}}
    root = make_tree(FF_FILES, {"dataset_json/FaceForensics++.json": FF, "dataset_json/FF-DF.json": again})
    assert len(scan_dataset(root).records) == 3


def test_a_video_with_two_classes_is_an_error(make_tree):
    wrong = {"a": {"FF-DF": {"train": {"c23": listed(REAL, "000")}}}}
    root = make_tree(FF_FILES, {"dataset_json/FaceForensics++.json": FF, "dataset_json/a.json": wrong})
    with pytest.raises(LayoutError, match=r"a\.json: .*is listed as FF-DF and as FF-real|as FF-real and as FF-DF"):
        scan_dataset(root)


@pytest.mark.parametrize("content", [[], {"a": 1}, {"a": {"b": {"test": 3}}}, {"a": {"b": {"test": {"v": 2}}}}])
def test_an_error_in_a_json_file_names_it(make_tree, content):
    root = make_tree(FF_FILES, {"dataset_json/bad.json": content})
    with pytest.raises(LayoutError, match=r"bad\.json: not a dataset JSON file of DeepfakeBench"):
        scan_dataset(root)


def test_json_files_are_needed(make_tree, tmp_path):
    with pytest.raises(LayoutError, match="no dataset JSON files"):
        DeepfakeBench().scan(make_tree(FF_FILES))
    with pytest.raises(LayoutError, match="no dataset JSON files"):
        DeepfakeBench(splits=tmp_path).scan(make_tree(FF_FILES))


def test_other_layouts_are_not_taken_for_deepfakebench(make_tree):
    assert find_layout(make_tree([f"{REAL}/frames/000/000.png"], at="x") / "FaceForensics++") == "faceforensics"
    df40 = make_tree(["simswap/ff/frames/000_003/000.png"], {"dataset_json/simswap_ff.json": {}}, at="DF40")
    assert find_layout(df40) == "df40"
