"""An export is complete or does not count; the command says in one line what went wrong."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from export_data.export_shards import RECORDS, tree, write_folder
from mgst_cli.data import data
from mgst_cli.data.export import FORMATS as OFFERED
from shards.synthetic_shards import chunk_of, write_shard

from mgst_data.core import UsageError
from mgst_data.export import FORMATS, export_tracks
from mgst_data.export.tracks import chosen_frames
from mgst_data.shards import ShardReader, open_folder

# Files that tell the other tool that there is a data set, by format.
FOUND = {"folders": "train", "hf": "README.md", "coco-video": "annotations", "fiftyone": "metadata.json"}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(data, ["export", *map(str, arguments)])


def stop_at(count: int) -> Callable[[str, int, int], None]:
    """Ends an export with Ctrl-C when so many tracks are done."""

    def saw(what: str, done: int, total: int) -> None:
        if done == count:
            raise KeyboardInterrupt

    return saw


def test_the_command_offers_all_formats():
    assert set(OFFERED) == set(FORMATS) == set(FOUND)


@pytest.mark.parametrize("to", list(FOUND))
def test_an_interrupted_export_does_not_count_and_continues_to_the_same_files(
    exports: dict[str, Path], stored: Path, tmp_path: Path, to: str
):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        export_tracks(stored, out, to=to, saw=stop_at(3))
    assert [path.name for path in out.iterdir()] == ["export.part"]
    made = export_tracks(stored, out, to=to)
    assert (made.tracks, made.frames, made.splits, made.was_complete) == (5, 30, ("train", "val", "unsplit"), False)
    assert tree(out) == tree(exports[to])
    assert (out / FOUND[to]).exists()


def test_an_export_that_was_stopped_while_it_was_published_is_completed(
    exports: dict[str, Path], stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out, replaced = tmp_path / "out", Path.replace

    def stop(self: Path, target: Path) -> Path:
        if target == out / "tracks.csv":
            raise KeyboardInterrupt
        return replaced(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            export_tracks(stored, out, to="folders")
    assert (out / "masks").exists()
    assert not (out / "export.json").exists()
    assert not export_tracks(stored, out, to="folders").was_complete
    assert tree(out) == tree(exports["folders"])


def test_a_second_run_has_nothing_to_do_and_other_options_are_refused(exports: dict[str, Path], stored: Path):
    before = tree(exports["folders"])
    again = run(stored, "--to", "folders", "--out", exports["folders"])
    assert (again.exit_code, "nothing to do: already exported 5 tracks" in again.stdout) == (0, True)
    for options, said in (
        (["--to", "folders", "--every", 2], "every: 1 -> 2"),
        (["--to", "fiftyone"], "to: folders -> fiftyone"),
    ):
        result = run(stored, *options, "--out", exports["folders"])
        assert result.exit_code == 2
        assert said in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert tree(exports["folders"]) == before


def test_other_files_are_never_touched(stored: Path, tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine")
    result = run(stored, "--to", "folders", "--out", tmp_path)
    assert result.exit_code == 2
    assert result.stderr == f"error: {tmp_path}: not empty, and not an export (choose another folder with --out)\n"
    assert tree(tmp_path) == {"mine.txt": b"mine"}


def test_a_changed_shard_gives_one_line_and_no_export(tmp_path: Path):
    shards, out = write_folder(tmp_path / "shards"), tmp_path / "out"
    path = next(shards.glob("train-*.tar"))
    content = bytearray(path.read_bytes())
    at = content.index(b"\xff\xd8\xff") + 300  # inside a picture
    content[at] ^= 1
    path.write_bytes(content)
    result = run(shards, "--to", "folders", "--out", out)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {path}: its content has changed since it was written (")
    assert len(result.stderr.splitlines()) == 1
    assert not (out / "export.json").exists()
    content[at] ^= 1
    path.write_bytes(content)
    assert run(shards, "--to", "folders", "--out", out).exit_code == 0


@pytest.mark.parametrize(("to", "package"), [("hf", "datasets"), ("coco-video", "pycocotools")])
def test_a_missing_package_is_named_with_its_extra(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, package: str
):
    monkeypatch.setattr("mgst_data.core.optional.find_spec", lambda _: None)
    result = run(stored, "--to", to, "--out", tmp_path / "out")
    assert result.stderr == f"error: this needs {package}: pip install 'mgst[formats]'\n"
    assert (result.exit_code, list(tmp_path.iterdir())) == (1, [])


def test_the_last_line_opens_the_export(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    result = run(stored, "--to", "folders", "--out", tmp_path / "it's here", "--label", "fake")
    assert result.exit_code == 0
    python, option, code = shlex.split(result.stdout.splitlines()[-1])
    assert (python, option) == ("python", "-c")
    exec(code, {})
    assert "Number of datapoints: 10" in capsys.readouterr().out


def test_json_is_the_only_output(stored: Path, tmp_path: Path):
    result = run(stored, "--to", "folders", "--out", tmp_path / "out", "--split", "val", "--frames", 2, "--json")
    content = json.loads(result.stdout)
    assert (content["tracks"], content["frames"], content["splits"]) == (2, 4, ["val"])
    assert (tmp_path / "out" / "val").is_dir()
    assert not (tmp_path / "out" / "train").exists()


def test_no_track_matches(stored: Path, tmp_path: Path):
    result = run(stored, "--to", "folders", "--out", tmp_path / "out", "--split", "test")
    assert result.exit_code == 2
    assert "no track matches (omit --split, --label or --method)" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("every", [1, 2, 7])
@pytest.mark.parametrize("frames", [None, 1, 4, 100])
def test_chosen_frames_are_every_nth_and_at_most_so_many(every: int, frames: int | None):
    lengths = [5, 1, 8, 3]
    starts = [0, 5, 6, 14]
    chosen = chosen_frames(lengths, every=every, frames=frames)
    assert all(position < length for some, length in zip(chosen, lengths, strict=True) for position in some)
    places = [start + position for start, some in zip(starts, chosen, strict=True) for position in some]
    possible = list(range(0, sum(lengths), every))
    assert sorted(set(places)) == places
    assert len(places) == min(len(possible), frames or len(possible))
    assert set(places) <= set(possible)


def test_folders_with_the_same_videos_are_kept_apart(stored: Path, tmp_path: Path):
    other = write_folder(tmp_path / "o ther" / "more", RECORDS[:1])
    made = export_tracks([stored, f"file://{other}"], tmp_path / "out", to="folders", split="train")
    assert made.tracks == 4
    names = {str(path.parent.relative_to(tmp_path / "out")) for path in (tmp_path / "out" / "train").rglob("*.jpg")}
    assert names == {f"train/real/{folder}/two_faces-0{i}" for folder in ("shards", "more") for i in (0, 1)}


def test_coco_refuses_landmarks_of_two_models(tmp_path: Path):
    records = RECORDS[:2]

    def chunks(record):
        yield chunk_of(record, k=68 if record.label else 5)

    with open_folder(tmp_path / "shards", {}, records) as folder:
        for task in folder.missing(records):
            write_shard(tmp_path / "shards", task, extract=chunks)
        folder.finish()
    with pytest.raises(UsageError, match="68 landmarks, other tracks have 5"):
        export_tracks(tmp_path / "shards", tmp_path / "out", to="coco-video")


def test_a_reader_with_other_splits_is_another_export(stored: Path):
    from mgst_data.export.tracks import digest_of

    reader = ShardReader.open(stored)
    assert digest_of(reader) == digest_of(ShardReader.open(stored))
    assert digest_of(reader) != digest_of(replace(reader, splits=("test",) * len(reader.splits)))
