"""What the arguments of a command stand for."""

import os
from pathlib import Path

import pytest
from mgst_cli.common.inputs import beside, find_inputs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Videos, pictures and other things; names only, except for one empty file."""
    for name in ("a.mp4", "b.MKV", "c/d.avi", "c/frame1.png", "frames/1.png", "frames/2.jpg", "text/x.md", ".h.mp4"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("something")
    (tmp_path / "empty.mp4").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paths(*arguments):
    return [(item.path, item.problem.reason if item.problem else None) for item in find_inputs(arguments, results="s")]


def test_a_folder_stands_for_its_videos_or_for_the_frames_of_one(folder):
    assert paths("c") == [("c/d.avi", None)]
    assert paths("frames") == [("frames", None)]
    assert paths("text") == [("text", "missing")]
    assert paths(".") == [("a.mp4", None), ("b.MKV", None), ("empty.mp4", "empty_file"), ("c/d.avi", None)]


def test_folders_of_results_are_passed_over(folder):
    (folder / "c" / "s").touch()
    assert ("c/d.avi", None) not in paths(".")
    assert paths("c") == [("c/d.avi", None)]  # what is named is meant


def test_a_pattern_stands_for_what_matches_it(folder):
    assert paths("*.mp4") == [("a.mp4", None), ("empty.mp4", "empty_file")]
    assert paths("**/*.avi") == [("c/d.avi", None)]
    assert paths(f"{folder}/*.MKV") == [(f"{folder}/b.MKV", None)]
    assert paths("*.webm") == [("*.webm", "missing")]
    (folder / "odd[1].mp4").write_text("something")
    assert paths("odd[1].mp4") == [("odd[1].mp4", None)]


def test_a_list_names_paths_from_where_it_lies(folder):
    lines = ["# mine", "", "../a.mp4", "  d.avi ", "s3://bucket/e.mp4", "gone.mp4", "../frames"]
    (folder / "c" / "list.txt").write_text("\n".join(lines))
    wanted = [("c/../a.mp4", None), ("c/d.avi", None), ("s3://bucket/e.mp4", None), ("c/gone.mp4", "missing")]
    assert paths("c/list.txt") == [*wanted, ("c/../frames", None)]
    (folder / "none.txt").write_text("# nothing\n")
    assert paths("none.txt") == [("none.txt", "missing")]


def test_each_path_comes_once_and_keeps_its_place(folder):
    assert paths("c/d.avi", "a.mp4", ".", "a.mp4")[:3] == [("c/d.avi", None), ("a.mp4", None), ("b.MKV", None)]


def test_a_name_that_is_no_text_is_found(folder):
    name = os.fsdecode(b"caf\xe9.mp4")
    (folder / name).write_text("something")
    assert (name, None) in paths("caf*")


@pytest.mark.parametrize(
    ("location", "folder"),
    [
        ("videos/a.b.mp4", "videos/a.b-scores"),
        ("s3://bucket/x/talk.mp4?v=1", "talk-scores"),
        ("s3://bucket/shards/", "shards-scores"),
    ],
)
def test_results_lie_beside_what_they_are_of(location, folder):
    assert beside(location, "scores") == Path(folder)


def test_a_folder_keeps_its_name(tmp_path, monkeypatch):
    (tmp_path / "v1.5").mkdir()
    assert beside(tmp_path / "v1.5", "sheets") == tmp_path / "v1.5-sheets"
    monkeypatch.chdir(tmp_path / "v1.5")
    assert beside(".", "sheets") == tmp_path / "v1.5-sheets"
