"""Output folders and copies behind URLs: whole or not at all, one run at a time, and the same command goes on."""

import json

import fsspec
import pytest

from mgst_data.core import OutputError, UsageError
from mgst_data.core.errors import MgstWarning
from mgst_data.shards import outputs, storage
from mgst_data.shards.outputs import output_file, output_folder, workspace_of
from mgst_data.shards.remote_files import kept_copy, list_files, local_copy
from mgst_data.shards.store import ShardStore

MEMORY = fsspec.filesystem("memory")
URL = "memory://bucket/results"


@pytest.fixture(autouse=True)
def _empty_store(monkeypatch, tmp_path):
    monkeypatch.setattr(storage, "_PAUSE", 0.001)
    monkeypatch.setenv("MGST_CACHE", str(tmp_path / "cache"))
    MEMORY.store.clear()
    MEMORY.pseudo_dirs[:] = [""]


def put(**files):
    for name, text in files.items():
        MEMORY.pipe_file(f"{URL}/{name}", text.encode())


def there():
    """Content of the files behind the URL, by name."""
    return {name: MEMORY.cat_file(f"{URL}/{name}").decode() for name in list_files(URL) if name != ".lock"}


def write(folder, **files):
    for name, text in files.items():
        path = folder.path / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_local_folder_is_used_as_it_is(tmp_path):
    for out in (tmp_path / "a", f"file://{tmp_path}/a"):
        with output_folder(out) as folder:
            assert (folder.path, folder.remote) == (tmp_path / "a", False)
            assert folder.name(folder.path / "x") == str(tmp_path / "a/x")
            folder.upload()
            folder.drop(folder.path / "x")
    with output_file(tmp_path / "a.onnx") as folder:
        assert folder.path == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_what_has_changed_is_uploaded_and_what_was_deleted_is_deleted(tmp_path):
    put(kept="old", changed="old", gone="old")
    with output_folder(URL) as folder:
        assert (folder.path / "kept").read_text() == "old"
        write(folder, changed="new", sub__more="more")
        write(folder, **{"x.part": "unfinished", "y.part__z": "unfinished"})
        (folder.path / "gone").unlink()
        assert folder.name(folder.path / "sub/more") == f"{URL}/sub/more"
    assert there() == {"kept": "old", "changed": "new", "sub/more": "more"}


def test_names_that_are_not_wanted_are_there_without_content_and_are_not_changed():
    put(wanted="1", other="22")
    with output_folder(URL, wanted=lambda name: name == "wanted") as folder:
        assert {path.name: path.read_text() for path in folder.path.iterdir()} == {"wanted": "1", "other": ""}
    assert there() == {"wanted": "1", "other": "22"}


def test_the_workspace_is_deleted_when_everything_is_uploaded(tmp_path):
    with output_folder(URL) as folder:
        write(folder, a="a")
    assert not ShardStore.at(URL).workspace.exists()


def run(work, *, stop=None, open_=output_folder, out=URL, **options):
    with open_(out, **options) as folder:
        work(folder)
        if stop is not None:
            raise stop


def interrupted(work, **options):
    with pytest.raises(KeyboardInterrupt):
        run(work, stop=KeyboardInterrupt(), **options)


def watched(monkeypatch):
    """Records which files are written and deleted behind the URL, in order."""
    done = []
    for name, place in (("put_file", 1), ("rm_file", 0)):
        real = getattr(MEMORY, name)

        def call(*args, real=real, name=name, place=place, **options):
            done.append((name, args[place].rpartition("/")[2]))
            return real(*args, **options)

        monkeypatch.setattr(MEMORY, name, call)
    return done


@pytest.mark.parametrize("withdrawn", [True, False])
def test_the_mark_of_completion_comes_last_and_an_old_one_is_deleted_first(monkeypatch, withdrawn):
    put(mark="old", a="old")
    done = watched(monkeypatch)
    with output_folder(URL, mark="mark", withdrawn=withdrawn) as folder:
        write(folder, mark="new", a="new", z="new")
    done = [step for step in done if step[1] != ".lock"]
    first = [("rm_file", "mark")] if withdrawn else []
    assert done == [*first, ("put_file", "a"), ("put_file", "z"), ("put_file", "mark")]


def test_of_two_runs_at_the_same_time_the_second_is_refused(monkeypatch, tmp_path):
    with output_folder(URL):
        with pytest.raises(OutputError, match="in use by another run"), output_folder(URL):
            pass
        monkeypatch.setenv("MGST_CACHE", str(tmp_path / "other machine"))
        with pytest.raises(OutputError, match="in use by another run") as refused, output_folder(URL):
            pass
        assert refused.value.reason == "locked"
    assert there() == {}


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OutputError("full")])
def test_after_an_interruption_nothing_is_uploaded_and_the_work_is_still_there(stop):
    put(a="old")
    with pytest.raises((KeyboardInterrupt, OutputError)):
        run(lambda folder: write(folder, a="new", b="new"), stop=stop)
    assert there() == {"a": "old"}
    with output_folder(URL) as folder:
        assert (folder.path / "a").read_text() == "new"
    assert there() == {"a": "new", "b": "new"}


@pytest.mark.parametrize("at", range(4))
def test_an_upload_that_is_interrupted_goes_on(monkeypatch, at):
    put(mark="old", a="old")
    calls = []
    real = MEMORY.put_file

    def fail(*args, **options):
        calls.append(args)
        if len(calls) == at:
            raise KeyboardInterrupt
        return real(*args, **options)

    def work(folder):
        if (folder.path / "mark").read_text() == "old":
            write(folder, mark="new", a="new", b="new")

    monkeypatch.setattr(MEMORY, "put_file", fail)
    if at:
        with pytest.raises(KeyboardInterrupt), output_folder(URL, mark="mark") as folder:
            work(folder)
        assert "mark" not in there()
    with output_folder(URL, mark="mark") as folder:
        work(folder)
    assert there() == {"mark": "new", "a": "new", "b": "new"}


def test_work_that_was_left_here_is_not_used_after_a_change_from_elsewhere():
    put(a="old")
    interrupted(lambda folder: write(folder, a="unfinished"))
    put(a="from elsewhere")
    with pytest.warns(MgstWarning, match="was changed from elsewhere"), output_folder(URL) as folder:
        assert (folder.path / "a").read_text() == "from elsewhere"
    assert there() == {"a": "from elsewhere"}


def test_a_sub_folder_can_be_uploaded_and_dropped():
    with output_folder(URL) as folder:
        write(folder, one__a="a", two__b="b")
        folder.upload(folder.path / "one")
        folder.drop(folder.path / "one")
        assert there() == {"one/a": "a"}
        assert not (folder.path / "one/a").exists()
    assert there() == {"one/a": "a", "two/b": "b"}


def test_dropped_files_are_not_deleted_behind_the_url_by_the_next_run():
    def work(folder):
        write(folder, one__a="a", two__b="b")
        folder.upload(folder.path / "one")
        folder.drop(folder.path / "one")

    interrupted(work)
    with output_folder(URL):
        pass
    assert there() == {"one/a": "a", "two/b": "b"}


def test_a_store_that_fails_is_one_line_and_the_work_is_kept(monkeypatch):
    def fail(*args, **options):
        raise PermissionError("Forbidden")

    with monkeypatch.context() as patch:
        patch.setattr(MEMORY, "put_file", fail)
        with pytest.raises(OutputError, match=f"{URL}: no permission .*credentials"), output_folder(URL) as folder:
            write(folder, a="a")
    assert workspace_of(ShardStore.at(URL)).is_dir()
    with output_folder(URL):
        pass
    assert there() == {"a": "a"}


def test_errors_name_the_url_and_not_the_workspace():
    with pytest.raises(UsageError) as caught, output_folder(URL) as folder:
        raise UsageError("not a report", where=folder.path, hint=f"empty {folder.path}")
    assert str(caught.value) == f"{URL}: not a report (empty {URL})"


def test_a_file_and_what_is_beside_it_are_uploaded(monkeypatch):
    done = watched(monkeypatch)
    with output_file(f"{URL}/net.xml") as folder:
        write(folder, **{"net.xml": "1", "net.bin": "2"})
        assert folder.name(folder.path / "net.xml") == f"{URL}/net.xml"
    assert done == [("put_file", "net.bin"), ("put_file", "net.xml")]
    interrupted(lambda folder: write(folder, **{"other.xml": "1"}), open_=output_file, out=f"{URL}/other.xml")
    assert there() == {"net.xml": "1", "net.bin": "2"}


def test_local_copies_of_files_and_folders(tmp_path):
    put(**{"scores.csv": "a,b", "sub/one.json": "{}", "sub/two.txt": "22"})
    with local_copy(f"{URL}/scores.csv") as copy:
        assert (copy.name, copy.read_text()) == ("scores.csv", "a,b")
    with local_copy(f"{URL}/sub/", wanted=lambda name: name.endswith(".json")) as copy:
        assert {path.name: path.read_text() for path in copy.iterdir()} == {"one.json": "{}", "two.txt": ""}
        seen = copy
    assert not seen.exists()
    with local_copy(tmp_path) as copy:
        assert copy == tmp_path
    with pytest.raises(UsageError, match=f"{URL}/none: no such file or folder"), local_copy(f"{URL}/none"):
        pass


def test_a_kept_copy_is_made_again_only_if_the_files_change(monkeypatch):
    put(a="1")
    first = kept_copy(URL, list_files(URL))
    assert (first.name, (first / "a").read_text()) == ("results", "1")
    with monkeypatch.context() as patch:
        patch.setattr(MEMORY, "get_file", None)
        assert kept_copy(URL, list_files(URL)) == first
    put(a="2")
    assert (kept_copy(URL, list_files(URL)) / "a").read_text() == "2"


def test_the_journal_of_a_killed_run_may_end_in_the_middle_of_a_line():
    put(a="old")
    interrupted(lambda folder: write(folder, a="unfinished"))
    journal = ShardStore.at(URL).workspace / outputs._JOURNAL
    assert json.loads(journal.read_text())["name"] == "a"
    journal.write_text(journal.read_text()[:-5])
    with pytest.warns(MgstWarning), output_folder(URL) as folder:
        assert (folder.path / "a").read_text() == "old"
