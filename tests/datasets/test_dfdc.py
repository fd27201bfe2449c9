"""The layouts of DFDC and its preview."""

import pytest

from mgst_data.core import LayoutError
from mgst_data.datasets import find_layout, scan_dataset

REAL = {"label": "REAL", "split": "train", "original": None}


def fake(original):
    return {"label": "FAKE", "split": "train", "original": original}


def part(folder, stem="a"):
    """Returns one part: a real video and two fakes of it."""
    metadata = {f"{stem}.mp4": REAL, f"{stem}1.mp4": fake(f"{stem}.mp4"), f"{stem}2.mp4": fake(f"{stem}.mp4")}
    return [f"{folder}/{name}" for name in metadata], {f"{folder}/metadata.json": metadata}


def all_parts():
    names, contents = [], {}
    for number in range(50):
        more = part(f"dfdc_train_part_{number}", f"v{number}x")
        names += more[0]
        contents |= more[1]
    return names, contents


def test_all_fifty_parts_are_train_and_give_no_notes(make_tree):
    scan = scan_dataset(make_tree(*all_parts()))
    assert len(scan.records) == 150
    assert not scan.notes
    assert {record.split for record in scan.records} == {"train"}
    assert sum(record.label for record in scan.records) == 100


def test_fakes_are_grouped_with_their_original(make_tree):
    scan = scan_dataset(make_tree(*part("dfdc_train_part_7")))
    assert {record.target_key for record in scan.records} == {"dfdc/a"}


@pytest.mark.parametrize(
    "folder",
    [
        "dfdc_train_part_7",
        "train/dfdc_train_part_7",
        "dfdc_train_part_07/dfdc_train_part_7",
        "train/dfdc_train_part_07/dfdc_train_part_7",
    ],
)
def test_parts_are_found_at_any_depth(make_tree, folder):
    root = make_tree(*part(folder))
    assert find_layout(root) == "dfdc"
    scan = scan_dataset(root)
    assert len(scan.records) == 3
    missing = {note.where for note in scan.notes if note.reason == "missing_folder"}
    assert missing == {f"dfdc_train_part_{number}" for number in range(50) if number != 7}


@pytest.mark.parametrize("name", ["dfdc_train_part_3", "train_sample_videos"])
def test_the_root_may_be_one_part(make_tree, name):
    make_tree(*part(name), at=".")
    scan = scan_dataset(make_tree([], at=name))
    assert {record.split for record in scan.records} == {"train"}
    assert not scan.notes


def test_a_part_without_metadata_is_an_error_that_names_it(make_tree):
    root = make_tree([*part("dfdc_train_part_0")[0], "dfdc_train_part_1/b.mp4"], part("dfdc_train_part_0")[1])
    with pytest.raises(LayoutError, match=r"dfdc_train_part_1: contains videos, but neither metadata\.json") as caught:
        scan_dataset(root)
    assert caught.value.exit_code == 2


def test_entries_without_file_and_files_without_entry_give_notes(make_tree):
    names, contents = part("dfdc_train_part_0")
    scan = scan_dataset(make_tree([*names[1:], "dfdc_train_part_0/b.mp4"], contents))
    notes = {(note.where, note.reason) for note in scan.notes if note.reason != "missing_folder"}
    assert notes == {("dfdc_train_part_0/a.mp4", "missing_video"), ("dfdc_train_part_0/b.mp4", "no_label")}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("{", "not valid JSON"),
        ([], "not a JSON object"),
        ({"a.mp4": {"label": "MAYBE"}}, "'a.mp4'"),
        ({"a.mp4": "FAKE"}, "'a.mp4'"),
    ],
)
def test_an_error_in_the_metadata_names_the_file(make_tree, metadata, message):
    root = make_tree(["dfdc_train_part_0/a.mp4"], {"dfdc_train_part_0/metadata.json": metadata})
    with pytest.raises(LayoutError, match=message) as caught:
        scan_dataset(root)
    assert "metadata.json" in str(caught.value)


@pytest.mark.parametrize("videos", ["videos/", ""])
@pytest.mark.parametrize("folder", ["test", "validation"])
@pytest.mark.parametrize(
    "labels",
    [
        {"labels.csv": "filename,label\na.mp4,0\nb.mp4,1\n"},
        {"metadata.json": {"a.mp4": {"is_fake": 0}, "b.mp4": {"is_fake": 1}}},
    ],
)
def test_released_sets_have_labels_in_either_file(make_tree, videos, folder, labels):
    contents = {f"{folder}/{name}": content for name, content in labels.items()}
    root = make_tree([f"{folder}/{videos}a.mp4", f"{folder}/{videos}b.mp4"], contents)
    for top in (root, root / folder):
        scan = scan_dataset(top)
        assert [record.label for record in scan.records] == [0, 1]
        assert {record.split for record in scan.records} == {{"test": "test", "validation": "val"}[folder]}
        assert not [note for note in scan.notes if note.reason != "no_identity"]


def test_an_error_in_a_label_names_the_line(make_tree):
    root = make_tree(["test/a.mp4"], {"test/labels.csv": "filename,label\na.mp4,0\nb.mp4,\n"})
    with pytest.raises(LayoutError, match=r"labels\.csv:3"):
        scan_dataset(root)


def test_test_videos_without_labels_are_an_error(make_tree):
    names, contents = part("dfdc_train_part_0")
    with pytest.raises(LayoutError, match="test: contains videos, but neither"):
        scan_dataset(make_tree([*names, "test/b.mp4"], contents))


INDEX = {
    "original_videos/643669/643669_A_001.mp4": {
        "label": "real", "set": "train", "augmentations": [], "target_id": "643669", "swapped_id": None,
    },
    "method_A/1224068/1224068_A_001_1767194.mp4": {
        "label": "fake", "set": "train", "augmentations": ["augmentation: fps"], "target_id": "1224068",
        "swapped_id": "1767194",
    },
    "method_B/1786650/1786650_B_001.mp4": {
        "label": "fake", "set": "test", "augmentations": [], "target_id": "1786650", "swapped_id": "2017890",
    },
}  # fmt: skip


def test_the_preview_is_read_from_its_index(make_tree):
    root = make_tree(INDEX, {"dataset.json": INDEX})
    assert find_layout(root) == "dfdc_preview"
    scan = scan_dataset(root)
    assert not scan.notes
    assert [(r.label, r.method, r.split, r.target_key, r.source_key) for r in scan.records] == [
        (1, "method_A", "train", "dfdc_preview/1224068", "dfdc_preview/1767194"),
        (1, "method_B", "test", "dfdc_preview/1786650", "dfdc_preview/2017890"),
        (0, "real", "train", "dfdc_preview/643669", ""),
    ]


def test_differences_between_index_and_files_give_notes(make_tree):
    names = ["method_A/1224068/1224068_A_001_1767194.mp4", "method_A/9/9.mp4"]
    scan = scan_dataset(make_tree(names, {"dataset.json": INDEX, "method_B/x.txt": "", "original_videos/x.txt": ""}))
    assert len(scan.records) == 1
    assert {(note.where, note.reason) for note in scan.notes} == {
        ("method_A/9/9.mp4", "no_label"),
        ("method_B/1786650/1786650_B_001.mp4", "missing_video"),
        ("original_videos/643669/643669_A_001.mp4", "missing_video"),
    }


@pytest.mark.parametrize("entry", [{}, "fake", {"label": "fake", "set": "valid"}, {"label": None, "set": "test"}])
def test_an_error_in_the_index_names_the_entry(make_tree, entry):
    root = make_tree(["method_A/a.mp4"], {"dataset.json": {"method_A/a.mp4": entry}})
    with pytest.raises(LayoutError, match=r"dataset\.json.*'method_A/a\.mp4'"):
        scan_dataset(root)
