"""Data sets behind URLs: the scan and the shards are those of a local copy."""

import errno
import re
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
import skimage.data

from mgst_data.core import LayoutError, OutputError, VideoError, VideoRecord
from mgst_data.datasets import scan_dataset
from mgst_data.extract import ExtractConfig, extract
from mgst_data.extract.remote import Copies, scan_url
from mgst_data.shards import ShardFolder, encode_image, storage

MEMORY = fsspec.filesystem("memory")
URL = "memory://bucket/set"

TREES = {
    "FaceForensics++": {
        "original_sequences/youtube/c23/videos/000.mp4": "",
        "original_sequences/youtube/c23/videos/001.mp4": "",
        "manipulated_sequences/Deepfakes/c23/videos/000_001.mp4": "",
        "manipulated_sequences/Deepfakes/masks/videos/000_001.mp4": "",
        "train.json": '[["000", "001"]]',
        "val.json": "[]",
        "test.json": "[]",
    },
    "folder": {"real/a.mp4": "", "real/deep/b.mp4": "", "fake/c.mp4": "", "fake/notes.docx": ""},
    "Celeb-DF": {
        "Celeb-real/id0_0000.mp4": "",
        "YouTube-real/00000.mp4": "",
        "Celeb-synthesis/id0_id1_0000.mp4": "",
        "List_of_testing_videos.txt": "1 YouTube-real/00000.mp4\n",
    },
    "pictures": {"ann/1.jpg": "", "ben/2.jpg": "", "ben/3.png": ""},
}


@pytest.fixture(autouse=True)
def _empty_store(monkeypatch):
    monkeypatch.setattr(storage, "_PAUSE", 0.001)
    MEMORY.store.clear()
    MEMORY.pseudo_dirs[:] = [""]


def upload(folder, url=URL):
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            MEMORY.pipe_file(f"{url}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def make(folder, tree):
    for name, text in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def record_of(path, **changes):
    return VideoRecord("a", path, "a.mp4", dataset="set", split="", label=0, method="real", **changes)


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
def test_a_scan_of_a_url_is_that_of_a_local_copy(tmp_path, monkeypatch, tree):
    upload(make(tmp_path / "set", tree))
    calls = []
    for name in ("find", "cat_file", "open", "info", "ls"):
        real = getattr(MEMORY, name)
        watched = lambda *a, name=name, real=real, **k: calls.append(name) or real(*a, **k)  # noqa: E731
        monkeypatch.setattr(MEMORY, name, watched)
    options = {"masks": True} if any("masks" in name for name in tree) else {}
    local, found = scan_dataset(tmp_path / "set", **options), scan_url(URL, **options)
    assert found.notes == local.notes
    moved = [str(tmp_path / "set"), URL]
    assert found.records == tuple(
        replace(record, path=record.path.replace(*moved), mask_path=record.mask_path.replace(*moved))
        for record in local.records
    )
    assert calls.count("find") == 1


def test_a_manifest_may_be_behind_a_url(tmp_path):
    there = {"list.csv": "path,label\nreal/a.mp4,0\ngone.mp4,1\nhttps://x.org/b.mp4,1\n", "real/a.mp4": ""}
    upload(make(tmp_path / "set", there))
    found = scan_url(f"{URL}/list.csv")
    assert sorted(record.path for record in found.records) == ["https://x.org/b.mp4", f"{URL}/real/a.mp4"]
    assert [note.reason for note in found.notes if "gone" in note.where + note.what] == ["missing_video"]


def test_a_url_without_files_is_one_clear_line():
    with pytest.raises(LayoutError, match=r"memory://bucket/nothing: no such file or folder"):
        scan_url("memory://bucket/nothing")


def test_an_error_of_a_layout_names_the_url(tmp_path):
    upload(make(tmp_path / "set", {"readme.txt": "hello"}))
    with pytest.raises(LayoutError, match="unknown directory layout") as caught:
        scan_url(URL)
    assert caught.value.where == URL


@pytest.mark.parametrize("name", ["/bucket/set/../up.mp4", "/bucket/set/" + "x" * 300 + ".mp4"])
def test_a_name_that_a_local_folder_cannot_have_is_left_out_with_a_note(tmp_path, name):
    upload(make(tmp_path / "set", {"real/a.mp4": "", "fake/b.mp4": ""}))
    MEMORY.store[name] = MEMORY.store["/bucket/set/real/a.mp4"]
    found = scan_url(URL)
    assert len(found.records) == 2
    assert "unknown_name" in [note.reason for note in found.notes]
    assert not (tmp_path / "up.mp4").exists()


def test_shards_of_a_url_are_those_of_a_local_copy(tmp_path):
    """Also what is only known of local files: the hash of the content."""
    picture = encode_image(skimage.data.astronaut(), image_format="png")
    for name in ("real/one.png", "real/two.png"):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
    upload(tmp_path / "set")
    MEMORY.pipe_file(f"{URL}/real/three.png", b"not a picture")
    (tmp_path / "set/real/three.png").write_bytes(b"not a picture")
    options = {"executor": "serial", "device": "cpu"}
    extract(scan_dataset(tmp_path / "set", layout="images"), ExtractConfig(), tmp_path / "local", **options)
    found = scan_url(URL, layout="images")
    MEMORY.rm_file(f"{URL}/real/two.png")
    MEMORY.pipe_file(f"{URL}/real/two.png", picture)
    extract(found, ExtractConfig(), tmp_path / "remote", **options)

    def files(folder):
        return {p.name: re.sub(rb'"seconds": [0-9.e-]+', b"", p.read_bytes()) for p in folder.iterdir()}

    assert files(tmp_path / "remote") == files(tmp_path / "local")
    videos = [video for shard in ShardFolder.read(tmp_path / "remote").reports() for video in shard.videos]
    assert [bool(video.content) for video in videos] == [not video.skipped for video in videos]


def test_copies_keep_names_and_folders_and_are_deleted(tmp_path):
    for name in ("v.mp4", "mask.mp4", "frames/0.png", "frames/1.png"):
        MEMORY.pipe_file(f"{URL}/{name}", name.encode())
    record = record_of(f"{URL}/frames", mask_path=f"{URL}/mask.mp4")
    with Copies(tmp_path / "copies") as copies:
        here = copies.fetch(record)
        assert sorted(path.name for path in (tmp_path / "copies").rglob("*.png")) == ["0.png", "1.png"]
        assert here.path.endswith("/frames")
        assert Path(here.mask_path).read_bytes() == b"mask.mp4"
        local = record_of("/data/v.mp4")
        assert copies.fetch(local) is local
        copies.clear()
        assert not (tmp_path / "copies").exists()
        copies.fetch(record_of(f"{URL}/v.mp4"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (FileNotFoundError("gone"), VideoError, "missing"),
        (OSError("reset by peer"), VideoError, "unreadable"),
        (OSError(errno.ENOSPC, "No space left on device"), OutputError, "output"),
    ],
)
def test_a_copy_that_fails_has_its_reason(tmp_path, monkeypatch, error, kind, reason):
    MEMORY.pipe_file(f"{URL}/v.mp4", b"video")

    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(MEMORY, "get_file", fail)
    with Copies(tmp_path / "copies") as copies, pytest.raises(kind) as caught:
        copies.fetch(record_of(f"{URL}/v.mp4"))
    assert caught.value.reason == reason
    assert list(tmp_path.iterdir()) == []
