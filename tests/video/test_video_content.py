from pathlib import Path

import pytest
from PIL import Image

from mgst_data.core import VideoError
from mgst_data.video import content_hash


def test_a_file_has_the_same_hash_under_another_name(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"one" * 100)
    (tmp_path / "b.mkv").write_bytes(b"one" * 100)
    (tmp_path / "c.mp4").write_bytes(b"one" * 99 + b"two")
    hashes = [content_hash(str(tmp_path / name)) for name in ("a.mp4", "b.mkv", "c.mp4")]
    assert hashes[0] == hashes[1] != hashes[2]
    assert len(hashes[0]) == 32


def test_a_folder_has_the_hash_of_its_pictures_in_order(tmp_path):
    for folder, colours in (("a", "red blue"), ("b", "red blue"), ("c", "blue red")):
        (tmp_path / folder).mkdir()
        for number, colour in enumerate(colours.split()):
            Image.new("RGB", (4, 4), colour).save(tmp_path / folder / f"{number}.png")
    (tmp_path / "b" / "notes.txt").write_text("no picture")
    a, b, c = (content_hash(str(tmp_path / name)) for name in "abc")
    assert a == b != c


def test_a_url_is_not_downloaded_for_its_hash():
    assert content_hash("https://127.0.0.1:9/a.mp4") == ""


def test_a_name_that_is_not_a_file_has_no_hash(tmp_path):
    assert content_hash(str(tmp_path / "name in a database")) == ""


def test_a_file_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "a.mp4").write_bytes(b"video")

    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(VideoError, match=r"a\.mp4: "):
        content_hash(str(tmp_path / "a.mp4"))
