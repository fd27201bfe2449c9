"""Manifests: tables of videos."""

import json
import os

import pytest

from mgst_data.core import LayoutError
from mgst_data.datasets import find_layout, scan_dataset

ROWS = [
    {"path": "a.mp4", "label": "real", "split": "train", "target": "anna"},
    {"path": "sub/b.mp4", "label": "fake", "split": "test", "method": "Swap", "source": "ffpp/000", "target": "bob"},
    {"path": "https://example.org/c.mp4", "label": "1"},
]


def as_csv(rows):
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, *([row.get(name, "") for name in columns] for row in rows)]
    return "".join(",".join(map(str, line)) + "\r\n" for line in lines)


def as_jsonl(rows):
    return "\n".join(json.dumps(row) for row in rows) + "\n\n"


@pytest.mark.parametrize(("name", "write"), [("list.csv", as_csv), ("list.jsonl", as_jsonl)])
def test_every_column_sets_its_field(make_tree, name, write):
    root = make_tree(["a.mp4", "sub/b.mp4"], {name: write(ROWS)})
    assert find_layout(root / name) == "manifest"
    scan = scan_dataset(root / name)
    assert not scan.notes
    a, url, b = scan.records
    assert (a.path, a.label, a.split, a.method, a.target_key, a.dataset) == (
        str(root / "a.mp4"), 0, "train", "real", "list/anna", "list",
    )  # fmt: skip
    assert (b.label, b.split, b.method, b.source_key, b.target_key) == (1, "test", "Swap", "ffpp/000", "list/bob")
    assert (url.path, url.label, url.method, url.video) == (ROWS[2]["path"], 1, "fake", ROWS[2]["path"])


def test_absolute_paths_byte_order_mark_and_quoted_commas(make_tree, tmp_path):
    elsewhere = make_tree(["x, y.mp4"], at="elsewhere") / "x, y.mp4"
    root = make_tree([], {"list.csv": f'\ufeffPath,Label\n"{elsewhere}",FAKE\n\n'})
    assert [record.path for record in scan_dataset(root / "list.csv").records] == [str(elsewhere)]


def test_masks_are_added_on_request(make_tree):
    root = make_tree(["a.mp4"], {"list.csv": "path,label,mask\na.mp4,fake,m.mp4\n"})
    assert scan_dataset(root / "list.csv").records[0].mask_path == ""
    assert scan_dataset(root / "list.csv", masks=True).records[0].mask_path == str(root / "m.mp4")


def test_missing_files_and_unknown_columns_give_notes(make_tree):
    root = make_tree(["a.mp4"], {"list.csv": "path,label,spilt\na.mp4,real,train\ngone/b.mp4,fake,test\n"})
    assert {(note.where, note.reason) for note in scan_dataset(root / "list.csv").notes} == {
        ("list.csv", "unknown_column"), ("gone/b.mp4", "missing_video"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing columns: path, label"),
        ("path,lable\na.mp4,real\n", "missing columns: label"),
        ("path,label\na.mp4,maybe\n", r"csv:2: unknown label 'maybe'"),
        ("path,label\n,real\n", "csv:2: missing or invalid path"),
        ("path,label,split\na.mp4,real,dev\n", "csv:2: unknown split 'dev'"),
        ("path,label\na.mp4,real\nb,c.mp4,real\n", "csv:3: has 3 values for 2 columns"),
        ("path,label\na.mp4,real\n./a.mp4,real\na.mp4,fake\n", r"csv:4: 'a\.mp4' is also in .*csv:2"),
        ('path,label\n"a.mp4,real\n', "not valid CSV"),
        ("path,label\na.mp4,\0\n", "not UTF-8"),
    ],
)
def test_an_error_in_a_csv_file_names_the_line(make_tree, text, message):
    root = make_tree(["a.mp4"], {"list.csv": text})
    with pytest.raises(LayoutError, match=message) as caught:
        scan_dataset(root / "list.csv")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"path": "a.mp4", "label": 0}\n{"path"\n', "jsonl:2: not valid JSON"),
        ('["a.mp4", 0]\n', "jsonl:1: not a JSON object"),
        ('{"path": "a\\u0000.mp4", "label": 0}\n', "jsonl:1: missing or invalid path"),
        ('{"path": "\\ud800.mp4", "label": 0}\n', "jsonl:1: missing or invalid path"),
        ('{"path": "a.mp4", "label": null}\n', "jsonl:1: unknown label ''"),
        ("", "missing columns: path, label"),
    ],
)
def test_an_error_in_a_jsonl_file_names_the_line(make_tree, text, message):
    root = make_tree(["a.mp4"], {"list.jsonl": text})
    with pytest.raises(LayoutError, match=message):
        scan_dataset(root / "list.jsonl")


def test_a_manifest_of_missing_videos_is_an_error(make_tree):
    root = make_tree([], {"list.csv": "path,label\na.mp4,real\n"})
    with pytest.raises(LayoutError, match=r"a\.mp4: listed in list\.csv, but not found"):
        scan_dataset(root / "list.csv")


def test_a_pipe_as_manifest_is_an_error_and_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "list.csv")
    with pytest.raises(LayoutError, match="not a regular file"):
        scan_dataset(tmp_path / "list.csv", layout="manifest")


def test_a_pipe_in_a_manifest_is_an_existing_video(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "list.csv").write_text("path,label\npipe.mp4,real\n")
    assert [record.video for record in scan_dataset(tmp_path / "list.csv").records] == ["pipe.mp4"]
