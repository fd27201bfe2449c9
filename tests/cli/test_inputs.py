"""Arguments of a command are resolved to inputs."""

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


def test_folder_means_its_videos_or_the_frames_of_one_video(folder):
    assert paths("c") == [("c/d.avi", None)]
    assert paths("frames") == [("frames", None)]
    assert paths("text") == [("text", "missing")]
    assert paths(".") == [("a.mp4", None), ("b.MKV", None), ("empty.mp4", "empty_file"), ("c/d.avi", None)]


def test_result_folders_are_skipped(folder):
    (folder / "c" / "s").touch()
    assert ("c/d.avi", None) not in paths(".")
    assert paths("c") == [("c/d.avi", None)]  # a result folder that is named directly is used


def test_pattern_means_all_matches(folder):
    assert paths("*.mp4") == [("a.mp4", None), ("empty.mp4", "empty_file")]
    assert paths("**/*.avi") == [("c/d.avi", None)]
    assert paths(f"{folder}/*.MKV") == [(f"{folder}/b.MKV", None)]
    assert paths("*.webm") == [("*.webm", "missing")]
    (folder / "odd[1].mp4").write_text("something")
    assert paths("odd[1].mp4") == [("odd[1].mp4", None)]


def test_paths_in_a_list_are_relative_to_the_list(folder):
    lines = ["# mine", "", "../a.mp4", "  d.avi ", "s3://bucket/e.mp4", "gone.mp4", "../frames"]
    (folder / "c" / "list.txt").write_text("\n".join(lines))
    wanted = [("c/../a.mp4", None), ("c/d.avi", None), ("s3://bucket/e.mp4", None), ("c/gone.mp4", "missing")]
    assert paths("c/list.txt") == [*wanted, ("c/../frames", None)]
    (folder / "none.txt").write_text("# nothing\n")
    assert paths("none.txt") == [("none.txt", "missing")]


def test_each_path_appears_once_in_order(folder):
    assert paths("c/d.avi", "a.mp4", ".", "a.mp4")[:3] == [("c/d.avi", None), ("a.mp4", None), ("b.MKV", None)]


def test_name_that_is_not_utf8_is_found(folder):
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
def test_result_folder_is_next_to_the_input(location, folder):
    assert beside(location, "scores") == Path(folder)


def test_a_folder_keeps_its_name(tmp_path, monkeypatch):
    (tmp_path / "v1.5").mkdir()
    assert beside(tmp_path / "v1.5", "sheets") == tmp_path / "v1.5-sheets"
    monkeypatch.chdir(tmp_path / "v1.5")
    assert beside(".", "sheets") == tmp_path / "v1.5-sheets"
