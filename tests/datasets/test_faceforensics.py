"""The layout of FaceForensics++ with FaceShifter and DeepFakeDetection."""

import pytest

from mgst_data.core import LayoutError, UsageError
from mgst_data.datasets import FaceForensics, find_layout, scan_dataset, select

SPLITS = {
    "splits/train.json": [["071", "054"], ["087", "081"]],
    "splits/val.json": [["720", "672"]],
    "splits/test.json": [["000", "003"]],
}
METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")
PAIRS = (("071", "054"), ("087", "081"), ("720", "672"), ("000", "003"))


def names(compression="c23", methods=METHODS, videos="videos/"):
    """Yields every video of the four pairs: eight originals, and eight fakes per method."""
    for a, b in PAIRS:
        for name in (a, b):
            yield f"original_sequences/youtube/{compression}/{videos}{name}.mp4"
        for method in methods:
            for name in (f"{a}_{b}", f"{b}_{a}"):
                yield f"manipulated_sequences/{method}/{compression}/{videos}{name}.mp4"


DFD = (
    "original_sequences/actors/c23/videos/01__exit_phone_room.mp4",
    "original_sequences/actors/c23/videos/02__kitchen_pan.mp4",
    "manipulated_sequences/DeepFakeDetection/c23/videos/01_02__exit_phone_room__YVGY8LOK.mp4",
)


def by_video(scan):
    return {record.video: record for record in scan.records}


def reasons(scan):
    return {note.reason for note in scan.notes}


@pytest.mark.parametrize("videos", ["videos/", ""])
def test_both_ids_determine_the_split(make_tree, videos):
    scan = scan_dataset(make_tree(names(videos=videos), SPLITS))
    assert len(scan.records) == 8 + 8 * len(METHODS)
    assert not scan.notes
    fake = by_video(scan)[f"manipulated_sequences/FaceShifter/c23/{videos}054_071.mp4"]
    assert (fake.split, fake.label, fake.method, fake.compression) == ("train", 1, "FaceShifter", "c23")
    assert (fake.target_key, fake.source_key) == ("ffpp/054", "ffpp/071")
    real = by_video(scan)[f"original_sequences/youtube/c23/{videos}003.mp4"]
    assert (real.split, real.label, real.method, real.target_key, real.source_key) == (
        "test", 0, "real", "ffpp/003", "",
    )  # fmt: skip


def test_a_fake_with_ids_of_two_splits_has_no_split(make_tree):
    extra = "manipulated_sequences/Deepfakes/c23/videos/000_071.mp4"
    scan = scan_dataset(make_tree([*names(), extra], SPLITS))
    assert by_video(scan)[extra].split == ""
    assert [(note.where, note.reason) for note in scan.notes] == [(extra, "no_split")]


def test_every_compression_is_found(make_tree):
    found = [*names("raw"), *names("c0"), *names("c23"), *names("c40")]
    scan = scan_dataset(make_tree(found, SPLITS))
    assert {record.compression for record in scan.records} == {"raw", "c0", "c23", "c40"}
    assert {record.compression for record in select(scan, compression=("c40",)).records} == {"c40"}


def test_the_error_for_missing_split_files_names_their_expected_place(make_tree):
    root = make_tree(names())
    scan = scan_dataset(root)
    assert {record.split for record in scan.records} == {""}
    with pytest.raises(UsageError) as caught:
        select(scan, split=("train",))
    assert "splits/{train,val,test}.json" in str(caught.value)
    assert "--splits" in str(caught.value)


@pytest.mark.parametrize("folder", ["splits", "."])
def test_split_files_are_found_in_the_data_set(make_tree, folder):
    contents = {f"{folder}/{name.partition('/')[2]}": pairs for name, pairs in SPLITS.items()}
    assert {r.split for r in scan_dataset(make_tree(names(), contents)).records} == {"train", "val", "test"}


def test_split_files_are_taken_from_the_folder_given(make_tree):
    elsewhere = make_tree([], SPLITS, at="elsewhere") / "splits"
    scan = scan_dataset(make_tree(names()), splits=elsewhere)
    assert {record.split for record in scan.records} == {"train", "val", "test"}
    with pytest.raises(LayoutError, match=r"train\.json"):
        scan_dataset(make_tree(names()), splits=elsewhere.parent)


def test_a_missing_split_file_gives_a_note(make_tree):
    contents = {name: pairs for name, pairs in SPLITS.items() if "val" not in name}
    scan = scan_dataset(make_tree(names(), contents))
    assert "missing_split_file" in reasons(scan)
    assert by_video(scan)["original_sequences/youtube/c23/videos/720.mp4"].split == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not valid JSON"),
        ('[["000", "003"]', "not valid JSON"),
        ({"000": "003"}, "not a JSON list"),
        ([["000", "003"], ["071"]], "entry 2"),
        ([["000", 3]], "entry 1"),
        ([["000", "0003"]], "entry 1"),
        ("[" * 100_000, "not valid JSON"),
        ("\0\0", "not UTF-8"),
    ],
)
def test_an_error_in_a_split_file_names_the_file(make_tree, content, message):
    root = make_tree(names(), SPLITS | {"splits/val.json": content})
    with pytest.raises(LayoutError, match=message) as caught:
        scan_dataset(root)
    assert str(root / "splits/val.json") in str(caught.value)
    assert caught.value.exit_code == 2


def test_an_id_in_two_split_files_is_refused(make_tree):
    contents = SPLITS | {"splits/val.json": [["720", "000"]]}
    with pytest.raises(LayoutError, match=r"'000' is also in val\.json"):
        scan_dataset(make_tree(names(), contents))


def test_a_missing_video_gives_a_note(make_tree):
    absent = "manipulated_sequences/Deepfakes/c23/videos/000_003.mp4"
    scan = scan_dataset(make_tree([name for name in names() if name != absent], SPLITS))
    assert [(note.where, note.reason) for note in scan.notes] == [
        ("manipulated_sequences/Deepfakes/c23/000_003.mp4", "missing_video")
    ]


def test_missing_methods_and_missing_real_videos_give_notes(make_tree):
    found = [name for name in names(methods=("Deepfakes",)) if "original" not in name]
    where = {note.where for note in scan_dataset(make_tree(found, SPLITS)).notes if note.reason == "missing_folder"}
    assert where == {
        "original_sequences/youtube",
        "manipulated_sequences/Face2Face",
        "manipulated_sequences/FaceSwap",
        "manipulated_sequences/NeuralTextures",
    }


def test_deepfakedetection_is_in_test_and_has_its_own_identities(make_tree):
    scan = scan_dataset(make_tree([*names(), *DFD], SPLITS))
    dfd = select(scan, dataset=("dfd",)).records
    assert {record.split for record in dfd} == {"test"}
    assert {record.method for record in dfd} == {"real", "DeepFakeDetection"}
    fake = next(record for record in dfd if record.label)
    assert (fake.target_key, fake.source_key) == ("dfd/01", "dfd/02")
    assert {record.target_key for record in dfd if not record.label} == {"dfd/01", "dfd/02"}


def test_deepfakedetection_alone_needs_no_split_files(make_tree):
    assert not scan_dataset(make_tree(DFD)).notes


def test_masks_are_added_on_request(make_tree):
    masks = [f"manipulated_sequences/Deepfakes/masks/videos/{a}_{b}.mp4" for a, b in PAIRS]
    root = make_tree([*names(methods=("Deepfakes", "FaceShifter")), *masks], SPLITS)
    assert not any(record.mask_path for record in scan_dataset(root).records)
    scan = scan_dataset(root, masks=True)
    videos = by_video(scan)
    assert videos["manipulated_sequences/Deepfakes/c23/videos/000_003.mp4"].mask_path == str(
        root / "manipulated_sequences/Deepfakes/masks/videos/000_003.mp4"
    )
    assert sum(bool(record.mask_path) for record in scan.records) == len(masks)
    noted = {note.where for note in scan.notes if note.reason == "missing_mask"}
    assert "manipulated_sequences/FaceShifter/masks" in noted
    assert "manipulated_sequences/Deepfakes/c23/videos/003_000.mp4" in noted


def test_files_that_are_not_videos_of_the_data_set_give_notes(make_tree):
    folder = "manipulated_sequences/Deepfakes/c23/videos"
    odd = [f"{folder}/000_003 (1).mp4", f"{folder}/000.mp4", f"{folder}/Thumbs.db", f"{folder}/._000_003.mp4"]
    scan = scan_dataset(make_tree([*names(), *odd], SPLITS))
    assert len(scan.records) == 8 + 8 * len(METHODS)
    assert {(note.where, note.reason) for note in scan.notes} == {
        (odd[0], "unknown_name"), (odd[1], "unknown_name"), (folder, "not_video"),
    }  # fmt: skip


def test_a_method_with_only_images_gives_a_note(make_tree):
    scan = scan_dataset(make_tree([*names(), "manipulated_sequences/Mine/faces/000_003/1.png"], SPLITS))
    assert [(note.where, note.reason) for note in scan.notes] == [("manipulated_sequences/Mine", "missing_folder")]


def test_a_tree_without_videos_is_an_error(make_tree):
    root = make_tree(["original_sequences/youtube/c23/videos/readme.txt"], SPLITS)
    with pytest.raises(LayoutError) as caught:
        scan_dataset(root)
    assert (caught.value.exit_code, caught.value.reason) == (2, "empty_source")
    root = make_tree(["original_sequences/youtube/c23/videos/000.mp4.part"], at="half")
    with pytest.raises(LayoutError, match=r"videos: 000\.mp4\.part: file name without the suffix of a video"):
        scan_dataset(root)
    with pytest.raises(LayoutError, match="none of the folders"):
        FaceForensics().scan(make_tree(["real/a.mp4"], at="other"))


def test_the_error_for_a_parent_folder_names_the_data_set_in_it(make_tree):
    make_tree(names(), SPLITS, at="data/FaceForensics++")
    with pytest.raises(LayoutError, match=r"subfolder FaceForensics\+\+/ has the layout faceforensics"):
        find_layout(make_tree([], at="data"))


def test_links_to_videos_are_videos(make_tree, tmp_path):
    real = make_tree(["clip.mp4"], at="clips") / "clip.mp4"
    root = make_tree([], SPLITS)
    folder = root / "original_sequences/youtube/c23/videos"
    folder.mkdir(parents=True)
    (folder / "000.mp4").symlink_to(real)
    (folder / "003.mp4").symlink_to(tmp_path / "gone.mp4")
    records = scan_dataset(root).records
    assert [record.path for record in records] == [str(folder / "000.mp4"), str(folder / "003.mp4")]
