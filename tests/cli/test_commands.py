import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import version

import cv2
import fsspec
import pytest
from face_videos import empty_rooms, encode, faces
from mgst_cli.common.errors import show_unexpected
from mgst_cli.data import show

from mgst_data.core import UsageError
from mgst_data.shards import ShardReader, VideoReport


@pytest.fixture(scope="module")
def shards(mgst_data, face_set, tmp_path_factory):
    """The folder of shards of ``face_set``, and the result of the command."""
    out = tmp_path_factory.mktemp("out") / "shards"
    return out, mgst_data("extract", "--src", face_set, "--out", out, "--executor", "serial", "--frames", 8)


@pytest.mark.parametrize("arguments", [["--help"], ["extract", "--help"], ["inspect", "-h"], ["sheet", "-h"]])
def test_help_is_fast_and_has_examples(mgst_data, arguments):
    heavy = "{'torch', 'numpy', 'cv2', 'av', 'rich'} & set(sys.modules)"
    code = f"import sys; from mgst_cli.data import data; data({arguments}, standalone_mode=False); print({heavy})"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.endswith("set()\n")
    assert "mgst-data" in output


def test_version(mgst_data):
    assert mgst_data("--version").stdout == f"mgst-data, version {version('mgst')}\n"


def test_extract_prints_a_table_of_counts(shards):
    out, result = shards
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines() if line.strip()]
    assert rows[0] == ["split", "kept", "skipped", "frames", "tracks", "chunks", "crops"]
    assert ["train", "2", "0", "24", "2", "4", "24"] in rows
    assert ["all", "4", "0", "48", "4", "8", "48"] in rows
    assert f"{out}: 2 shards, " in result.stdout
    assert "4 videos, 2 real and 2 fake" in result.stderr
    assert "extracting 4 videos into 2 shards" in result.stderr
    reader = ShardReader.open(out)
    assert [len(chunk) for chunk in reader] == [8, 4] * 4


def test_the_second_run_has_nothing_to_do(mgst_data, face_set, shards):
    out, _ = shards
    result = mgst_data("extract", "--src", face_set, "--out", out, "--frames", 8)
    assert result.exit_code == 0
    assert "nothing to do: all 2 shards are complete" in result.stderr


def test_json_is_the_only_output_on_stdout(mgst_data, face_set, shards):
    out, _ = shards
    run = json.loads(mgst_data("extract", "--src", face_set, "--out", out, "--frames", 8, "--json").stdout)
    assert (run["complete"], run["shards"], run["totals"]["overall"]["videos"], run["videos"]) == (True, 2, 4, 0)
    seen = json.loads(mgst_data("inspect", out, "--json", "--verify").stdout)
    assert seen["totals"] == run["totals"]
    assert (seen["bytes"], seen["problems"], seen["config"]["extract"]["frames"]) == (run["bytes"], [], 8)


def test_another_config_is_refused_with_the_difference(mgst_data, face_set, shards):
    out, _ = shards
    result = mgst_data("extract", "--src", face_set, "--out", out, "--size", 128)
    assert result.exit_code == 2
    assert "written with another config: extract.frames: 8 -> 32; extract.size: 320 -> 128" in result.stderr
    assert result.stderr.splitlines()[-1].startswith(f"error: {out}: ")


def test_inspect_shows_sums_and_finds_damage(mgst_data, shards, tmp_path):
    out, _ = shards
    result = mgst_data("inspect", out, "--verify")
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    for name in ("train", "real", "fake", "swap"):
        assert [name, "2", "0", "24", "2", "4", "24"] in rows
    assert "verified 8 samples: no problems" in result.stdout

    copy = tmp_path / "copy"
    copy.mkdir()
    for path in out.glob("[!.]*"):
        (copy / path.name).write_bytes(path.read_bytes())
    tar = copy / "train-000000.tar"
    damaged = bytearray(tar.read_bytes())
    damaged[damaged.index(b"\xff\xd8\xff") + 40] ^= 0xFF
    tar.write_bytes(damaged)
    result = mgst_data("inspect", copy, "--verify")
    assert result.exit_code == 1
    assert f"  {tar}: its content has changed" in result.stdout
    assert "to repair a shard: copy this shard again, or delete it and run the same extraction again" in result.stdout

    tar.unlink()
    result = mgst_data("inspect", copy, "--parts", 2)
    assert result.exit_code == 1
    assert "1 of 2 shards are missing" in result.stdout
    (missing,) = json.loads(mgst_data("inspect", copy, "--parts", 2, "--json").stdout)["missing_parts"]
    assert f"1 part not complete: {missing}/2" in result.stdout
    assert "all 2 parts complete" in mgst_data("inspect", out, "--parts", 2).stdout


def test_a_part_is_extracted_and_named(mgst_data, face_set, tmp_path):
    options = ("extract", "--src", face_set, "--out", tmp_path / "shards", "--frames", 8, "--videos-per-shard", 2)
    result = mgst_data(*options, "--part", "2/2")
    assert result.exit_code == 0
    assert "part 2/2 is complete (1 shard); of all 2 shards, 1 are complete" in result.stdout
    result = mgst_data(*options, "--part", "3/2")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == "error: there is no part 3/2 (give K/N with K from 1 to N, such as 3/16)"


def test_sheets_show_every_chunk(mgst_data, shards, tmp_path):
    out, _ = shards
    result = mgst_data("sheet", shards[0], "--out", tmp_path, "--rows", 3, "--columns", 4, "--side", 64)
    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path}: 3 sheets\n"
    pictures = [cv2.imread(str(path)) for path in sorted(tmp_path.glob("sheet-*.png"))]
    assert [picture.shape[1] for picture in pictures] == [256] * 3
    assert [picture.shape[0] // 64 for picture in pictures] == [3, 3, 2]
    assert "1 sheet" in mgst_data("sheet", out, "--out", tmp_path, "--chunks", 1).stdout


def test_a_dry_run_counts_and_writes_nothing(mgst_data, face_set, shards, tmp_path):
    result = mgst_data("extract", "--src", face_set, "--out", tmp_path / "new", "--dry-run")
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0] == ["videos", "by", "method", "train", "test", "all"]
    assert ["real", "1", "1", "2"] in rows
    assert ["swap", "1", "1", "2"] in rows
    assert "shards: 2 to do, 0 complete; nothing was written" in result.stdout
    assert not (tmp_path / "new").exists()
    result = mgst_data("extract", "--src", face_set, "--out", shards[0], "--dry-run", "--json")
    assert json.loads(result.stdout)["shards"] == {"complete": 2, "to_do": 0}
    assert mgst_data("extract", "--src", face_set, "--dry-run").exit_code == 0
    assert mgst_data("extract", "--src", face_set).exit_code == 2


def test_source_and_output_may_be_urls(mgst_data, face_set):
    files = fsspec.filesystem("memory")
    files.put(str(face_set), "/bucket/videos", recursive=True)
    options = ["extract", "--src", "memory://bucket/videos", "--out", "memory://bucket/shards", "--split", "test"]
    options += ["--executor", "serial", "--frames", "4", "--size", "64"]
    first, second = (mgst_data(*options, "--json") for _ in range(2))
    assert (first.exit_code, second.exit_code) == (0, 0), first.stderr + second.stderr
    assert (json.loads(first.stdout)["complete"], json.loads(second.stdout)["videos"]) == (True, 0)
    assert mgst_data("inspect", "memory://bucket/shards", "--verify").exit_code == 0


def test_a_url_of_an_unknown_kind_is_one_line(mgst_data, face_set, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for option in (["--src", "odd://bucket/videos", "--out", "out"], ["--src", face_set, "--out", "odd://bucket/out"]):
        result = mgst_data("extract", *option)
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1].startswith("error: odd://bucket/")
    assert list(tmp_path.iterdir()) == []


def test_split_method_and_limit_select_videos(mgst_data, face_set):
    def counts(*arguments):
        result = mgst_data("extract", "--src", face_set, "--dry-run", "--json", *arguments)
        return {(row["method"], row["split"]): row["videos"] for row in json.loads(result.stdout)["videos"]}

    assert counts("--split", "train") == {("real", "train"): 1, ("swap", "train"): 1}
    assert counts("--method", "real", "--split", "test") == {("real", "test"): 1}
    assert counts("--set", "source.method=swap") == {("swap", "train"): 1, ("swap", "test"): 1}
    assert sum(counts("--limit", 2).values()) == 2
    result = mgst_data("extract", "--src", face_set, "--dry-run", "--split", "validation")
    assert result.exit_code == 2
    assert "error: no video has the split 'validation'" in result.stderr


def test_leakage_is_refused_until_it_is_allowed(mgst_data, face_set, tmp_path):
    manifest = tmp_path / "leaky.csv"
    videos = [face_set / "train/real/a.mp4", face_set / "test/real/c.mp4"]
    rows = [f"{video},real,{split},eve" for video, split in zip(videos, ("train", "test"), strict=True)]
    manifest.write_text("\n".join(["path,label,split,target", *rows]))
    result = mgst_data("extract", "--src", manifest, "--dry-run")
    assert result.exit_code == 2
    assert "error: 1 identity is in more than one split: leaky/eve" in result.stderr
    assert mgst_data("extract", "--src", manifest, "--dry-run", "--allow-leakage").exit_code == 0


def test_skips_are_listed_counted_and_tried_again(mgst_data, tmp_path):
    source, out = tmp_path / "set", tmp_path / "shards"
    (source / "real").mkdir(parents=True)
    (source / "fake").mkdir()
    encode(source / "real" / "a.mp4", faces(9))
    encode(source / "fake" / "room.mp4", empty_rooms(9))
    (source / "fake" / "text.mp4").write_text("no video")
    run = ("extract", "--src", source, "--out", out, "--executor", "serial")
    result = mgst_data(*run)
    assert result.exit_code == 0
    assert "skipped (no_face): fake/room.mp4: no face in 9 frames" in result.stderr
    assert "skipped (not_a_video): 1 video\n  fake/text.mp4: not a video" in result.stdout
    assert "--retry-skipped" in result.stdout
    assert mgst_data(*run, "--strict").exit_code == 1

    encode(source / "fake" / "room.mp4", faces(9))
    result = mgst_data(*run, "--retry-skipped", "no_face", "--json")
    summary = json.loads(result.stdout)
    assert (summary["videos"], summary["totals"]["overall"]["videos"]) == (1, 2)
    assert [video["reason"] for video in summary["skipped"]] == ["not_a_video"]
    assert mgst_data(*run, "--retry-skipped").exit_code == 0
    result = mgst_data(*run, "--retry-skipped", "no_fce")
    assert result.exit_code == 2
    assert "no video was skipped for the reason 'no_fce'" in result.stderr
    seen = json.loads(mgst_data("inspect", out, "--json").stdout)
    assert list(seen["skipped"]) == ["fake/text.mp4"]


def test_videos_kept_with_a_note_are_listed_like_skipped_videos(mgst_data, tmp_path):
    source, out = tmp_path / "set", tmp_path / "shards"
    for folder in ("real", "fake"):
        (source / folder).mkdir(parents=True)
    encode(source / "fake" / "b.mp4", faces(12))
    cut = encode(source / "real" / "cut.mp4", faces(40), front=True)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 6 // 10])
    run = ("extract", "--src", source, "--out", out, "--executor", "serial")
    result = mgst_data(*run)
    assert result.exit_code == 0
    [*_, text] = [line for line in result.stderr.splitlines() if "real/cut.mp4: the video is damaged" in line]
    assert text.startswith("kept, with a note (truncated): real/cut.mp4: the video is damaged; ")
    reason, _, what = text.partition(": ")
    listed = f"{reason}: 1 video\n  {what}\n"
    assert listed in result.stdout
    assert listed in mgst_data("inspect", out).stdout
    summary = json.loads(mgst_data(*run, "--json").stdout)
    assert [(video["video"], video["notes"]) for video in summary["noted"]] == [("real/cut.mp4", [["truncated", what]])]
    assert json.loads(mgst_data("inspect", out, "--json").stdout)["noted"] == {"real/cut.mp4": [["truncated", what]]}
    stored = json.loads((out / "notes.json").read_text())["videos"]
    assert stored == [{"video": "real/cut.mp4", "reason": "truncated", "text": what}]
    assert mgst_data(*run, "--strict").exit_code == 1


def test_every_reason_is_shown_and_long_lists_name_the_command_for_all(capsys):
    about = {"dataset": "set", "split": "", "label": 0, "method": "real"}
    videos = [
        VideoReport(key=f"v{i}", video=f"{i}.mp4", status="skipped", reason=reason, message=f"{i}.mp4: bad", **about)
        for i, reason in enumerate(["no_face"] * 30 + ["truncated"])
    ]
    twice = VideoReport(key="w", video="w.mp4", notes=(("short", "w: 1"), ("short", "w: 2")), **about)
    show.skipped([*videos, twice], folder="my shards")
    lines = capsys.readouterr().out.splitlines()
    assert "skipped (no_face): 30 videos" in lines
    assert lines[-3:] == [
        "skipped (truncated): 1 video",
        "  30.mp4: bad",
        "  and 11 more; to list all: mgst-data inspect 'my shards'",
    ]
    assert sum(line.endswith(": bad") for line in lines) == show.SHOWN
    show.skipped(videos)
    assert sum(line.endswith(": bad") for line in capsys.readouterr().out.splitlines()) == len(videos)
    show.noted([*videos, twice])
    assert capsys.readouterr().out.splitlines()[1:] == ["kept, with a note (short): 1 video", "  w: 1", "  w: 2"]


def test_notes_of_the_scan_are_shown_by_reason(mgst_data, face_set, tmp_path):
    manifest = tmp_path / "list.csv"
    rows = [f"{face_set}/train/real/a.mp4,real", "x.mp4,real", "y.mp4,fake"]
    manifest.write_text("\n".join(["path,label", *rows]))
    result = mgst_data("extract", "--src", manifest, "--dry-run")
    assert "note (missing_video): x.mp4: listed in list.csv, but not found (and 1 more)" in result.stderr
    assert "note (no_train_split): .: no video is in the split train" in result.stderr
    for some in (("--src", manifest, "--split", "test"), ("--src", face_set)):
        assert "no_train_split" not in mgst_data("extract", *some, "--dry-run").stderr


def test_a_config_file_does_what_flags_do(mgst_data, face_set, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[source]\nsplit = ["train"]\n')
    assert tomllib.loads(path.read_text())["source"]
    result = mgst_data("extract", "--src", face_set, "--dry-run", "--json", "--config", path)
    assert sum(row["videos"] for row in json.loads(result.stdout)["videos"]) == 2


def test_debug_shows_where_an_error_comes_from(mgst_data, tmp_path):
    assert mgst_data("inspect", tmp_path).exit_code == 2
    with pytest.raises(UsageError, match="no shards here"):
        mgst_data("inspect", tmp_path, "--debug")
    assert sys.excepthook is sys.__excepthook__


def test_unexpected_error_is_one_line(capsys):
    show_unexpected(ZeroDivisionError, ZeroDivisionError("division by zero"), None)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(
        "error: ZeroDivisionError: division by zero (unexpected error; run the command again with --debug "
    )


def test_closed_pipe_is_not_an_error(shards):
    command = [sys.executable, "-c", "from mgst_cli.data import main; main()", "inspect", shards[0]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        run.stdout.close()
        assert run.stderr.read() == ""


def test_a_folder_may_have_any_name(mgst_data, face_set, tmp_path):
    out = tmp_path / os.fsdecode(b"caf\xe9 shards")
    options = ("--executor", "serial", "--split", "test", "--method", "real")
    result = mgst_data("extract", "--src", face_set, "--out", out, *options)
    assert result.exit_code == 0
    assert r"caf\xe9 shards: 1 shard, " in result.stdout
    assert r"caf\xe9 shards: 1 shard, " in mgst_data("inspect", out).stdout


def test_demo_says_what_to_do_next(mgst_data, tmp_path, monkeypatch):
    def render_demo(out, *, seed, progress):
        progress(seed, seed)
        return [out] * seed

    monkeypatch.setattr("mgst_data.demo.render_demo", render_demo)
    result = mgst_data("demo", "--out", tmp_path / "my demo", "--seed", 3)
    assert result.stdout.splitlines() == [
        f"{tmp_path}/my demo: 3 videos in the directory layout of FaceForensics++",
        f"next: mgst-data extract --src '{tmp_path}/my demo' --out shards",
    ]


def test_a_missing_input_is_reported_before_torch_is_imported(tmp_path):
    code = "import sys, atexit; from mgst_cli.data import main; atexit.register(lambda: print('torch' in sys.modules));"
    code += f"sys.argv = ['mgst-data', 'extract', '--src', '{tmp_path}/none', '--out', '{tmp_path}/out']; main()"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "False\n")
    assert ran.stderr == f"error: {tmp_path}/none: no such file or directory (check the path)\n"
