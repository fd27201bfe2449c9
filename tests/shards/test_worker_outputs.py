"""Output folders behind a URL that several processes write to."""

import fsspec
import pytest

from mgst_data.core import OutputError
from mgst_data.shards.worker_outputs import reserved_folder, worker_folder

URL = "memory://worker-outputs/scores"


@pytest.fixture
def memory():
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    return files


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MGST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(folder, **files):
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)


def test_workers_upload_their_folders_with_the_mark_last_and_shared_files_once(memory, cache, monkeypatch):
    sent = []
    put = memory.put

    def seen(sources, targets, **options):
        sent.extend(path.rpartition("/scores/")[2] for path in targets)
        return put(sources, targets, **options)

    monkeypatch.setattr(type(memory), "put", lambda _, *arguments, **options: seen(*arguments, **options))
    with reserved_folder(URL) as place:
        for number in range(2):
            with worker_folder(URL, f"{number}", mark="done.txt", shared="assets") as own:
                write(own.path / "assets", script="x")
                write(own.path / f"video{number}", done="1", plot="2")
                own.upload(own.path / f"video{number}", own.path / "assets")
                assert own.name(own.path / "video0" / "done.txt") == f"{URL}/video0/done.txt"
            place.upload()
    assert sent == ["assets/script.txt", "video0/plot.txt", "video0/done.txt", "video1/plot.txt", "video1/done.txt"]
    assert memory.cat("/worker-outputs/scores/video1/plot.txt") == b"2"
    assert not list(cache.rglob("*.txt")), "the local copies are deleted"
    assert not memory.exists("/worker-outputs/scores/.lock")


def test_a_mark_is_deleted_before_the_other_files_change(memory, monkeypatch):
    memory.pipe("/worker-outputs/scores/v/done.txt", b"old")
    monkeypatch.setattr(type(memory), "put", lambda *_, **__: 1 / 0)
    with worker_folder(URL, "0", mark="done.txt") as own:
        write(own.path / "v", done="new", plot="2")
        with pytest.raises(ZeroDivisionError):
            own.upload(own.path / "v")
    assert not memory.exists("/worker-outputs/scores/v/done.txt")


@pytest.mark.usefixtures("memory")
def test_of_two_commands_one_is_refused():
    with reserved_folder(URL), pytest.raises(OutputError, match="in use by another run"), reserved_folder(URL):
        pass


def test_in_a_local_folder_workers_write_at_once(tmp_path):
    with reserved_folder(tmp_path / "out") as place, worker_folder(tmp_path / "out", "0") as own:
        assert own.path == place.path == tmp_path / "out"
