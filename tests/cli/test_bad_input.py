"""Bad input gives one line with the place, the problem and the next step, and does not stop other videos."""

import json
import os
import re
import subprocess
import sys

import av
import pytest
from face_videos import empty_rooms, encode, faces

LONG = "n" * 240
LATIN = os.fsdecode(b"caf\xe9.mp4")


def sound(path):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=8000)
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.sample_rate = 8000
        frame.planes[0].update(bytes(4096))
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def no_frames(path):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.start_encoding()


def cut(path, *, front):
    data = encode(path, faces(40), front=front).read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])


def lie(path):
    """An AVI whose header announces 12 frames of 10."""
    data = bytearray(encode(path, faces(10), codec="mpeg4").read_bytes())
    at = data.index(b"strh") + 40
    assert int.from_bytes(data[at : at + 4], "little") == 10
    data[at : at + 4] = (12).to_bytes(4, "little")
    path.write_bytes(data)


def spoil(path):
    """Forty frames with a key frame every ten; some bytes of the packet of frame 25 are changed."""
    encode(path, faces(40))
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][25]
        middle = packet.pos + packet.size // 2
    data = bytearray(path.read_bytes())
    data[middle : middle + 12] = bytes(range(60, 72))
    path.write_bytes(data)


MAKE = {
    "good.mp4": lambda path: encode(path, faces(10)),
    "empty.mp4": lambda path: path.touch(),
    "text.mp4": lambda path: path.write_text("not a video at all\n" * 50),
    "sound.mp4": sound,
    "no_frames.mp4": no_frames,
    "cut_index.mp4": lambda path: cut(path, front=False),
    "cut_frames.mp4": lambda path: cut(path, front=True),
    "lie.avi": lie,
    "spoilt.mp4": spoil,
    "pipe.mp4": os.mkfifo,
    "dot.avi": lambda path: encode(path, empty_rooms(10, size=(1, 1)), codec="mpeg4"),
    "line.avi": lambda path: encode(path, empty_rooms(10, size=(30, 1)), codec="mpeg4"),
    "gone.mp4": lambda path: path.symlink_to("/nowhere/at/all.mp4"),
    "room.mp4": lambda path: encode(path, empty_rooms(10)),
    "small.mp4": lambda path: encode(path, faces(10, (100, 100), side=60)),
    "brief.mp4": lambda path: encode(path, faces(5)),
    "border.mp4": lambda path: encode(path, faces(10, (-70, 20))),
    "dots. and spaces.v2.mp4": lambda path: encode(path, faces(10)),
    f"{LONG}.mp4": lambda path: encode(path, faces(10)),
    LATIN: lambda path: encode(path, faces(10)),
    "one/same.mp4": lambda path: encode(path, faces(10)),
    "two/same.mp4": lambda path: encode(path, faces(10)),
    "crowd.mp4": lambda path: encode(
        path, faces(8, *((130 * i, 130 * j) for i in range(10) for j in range(5)), size=(1300, 650), side=130)
    ),
}  # fmt: skip
SKIPPED = {
    "empty.mp4": ("empty_file", "the file is empty"),
    "text.mp4": ("not_a_video", "not a video"),
    "sound.mp4": ("no_video_stream", "no video stream"),
    "no_frames.mp4": ("no_(frames|video_stream)", ""),
    "cut_index.mp4": ("truncated", "truncated before its index"),
    "gone.mp4": ("missing", "no such file"),
    "pipe.mp4": ("not_a_file", "not a regular file"),
    "dot.avi": ("no_face", "no face in 10 frames"),
    "line.avi": ("no_face", "no face in 10 frames"),
    "room.mp4": ("no_face", "no face in 10 frames"),
    "small.mp4": ("faces_too_small", "smaller than 40 pixels"),
    "brief.mp4": ("faces_too_brief", "--min-frames"),
}
NOTED = {"cut_frames.mp4": "truncated", "lie.avi": "wrong_frame_count", "spoilt.mp4": "corrupt_frames"}


@pytest.fixture(scope="module")
def outcome(mgst_data, tmp_path_factory):
    """Extracts bad and good videos in one run."""
    root, out = tmp_path_factory.mktemp("bad") / "set", tmp_path_factory.mktemp("out")
    for name, make in MAKE.items():
        path = root / "real" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)
    result = mgst_data("extract", "--src", root, "--out", out, "--executor", "serial", "--json")
    assert result.exit_code == 0
    reports = [json.loads(path.read_text()) for path in sorted(out.glob("all-*.json"))]
    videos = {video["video"].removeprefix("real/"): video for report in reports for video in report["videos"]}
    return root, json.loads(result.stdout), videos


@pytest.mark.parametrize("name", SKIPPED)
def test_unusable_video_is_skipped_with_reason_and_message(outcome, name):
    root, summary, videos = outcome
    reason, words = SKIPPED[name]
    video = videos[name]
    assert (video["status"], video["chunks"]) == ("skipped", 0)
    assert re.fullmatch(reason, video["reason"])
    assert video["message"].startswith(f"real/{name}: ")
    assert words in video["message"]
    assert "\n" not in video["message"]
    assert str(root) not in video["message"]
    assert f"real/{name}" in summary["totals"]["skips"][video["reason"]]


@pytest.mark.parametrize("name", sorted(MAKE.keys() - SKIPPED.keys(), key=str))
def test_usable_video_is_kept_and_damage_is_noted(outcome, name):
    _, summary, videos = outcome
    shown = name.replace("\udce9", r"\xe9")
    video = videos[shown]
    assert (video["status"], video["reason"]) == ("done", "")
    assert video["images"] >= 8
    assert [reason for reason, _ in video["notes"]] == ([NOTED[name]] if name in NOTED else [])
    assert not [video for video in summary["skipped"] if video["video"] == f"real/{shown}"]


def test_frames_from_damaged_data_are_left_out_and_counted(outcome):
    video = outcome[2]["spoilt.mp4"]
    ((_, words),) = video["notes"]
    found = re.search(r"damaged; 40 frames were decoded, (\d+) of them from damaged data \(dropped\)", words)
    assert found
    assert 1 <= int(found[1]) < 15
    assert video["images"] == 40 - int(found[1])


def test_damaged_frames_are_kept_on_request(mgst_data, tmp_path):
    path = tmp_path / "set" / "real" / "spoilt.mp4"
    path.parent.mkdir(parents=True)
    spoil(path)
    arguments = ("extract", "--src", tmp_path / "set", "--out", tmp_path / "out", "--executor", "serial")
    result = mgst_data(*arguments, "--damaged", "keep", "--json")
    assert json.loads(result.stdout)["totals"]["overall"]["images"] == 40


def test_every_face_of_a_crowd_is_tracked(outcome):
    assert outcome[2]["crowd.mp4"]["tracks"] == 50


def test_videos_of_the_same_name_have_different_keys(outcome):
    _, _, videos = outcome
    assert videos["one/same.mp4"]["key"] != videos["two/same.mp4"]["key"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_video_without_read_permission_is_skipped(mgst_data, tmp_path):
    path = tmp_path / "set" / "real" / "a.mp4"
    path.parent.mkdir(parents=True)
    encode(path, faces(10)).chmod(0)
    result = mgst_data("extract", "--src", tmp_path / "set", "--out", tmp_path / "out", "--executor", "serial")
    assert "skipped (unreadable): real/a.mp4: " in result.stderr


def source(root, kind):
    """A data set that cannot be extracted."""
    root.mkdir()
    if kind == "missing":
        return root / "nowhere"
    if kind == "without videos":
        (root / "real").mkdir()
        (root / "fake").mkdir()
    if kind == "malformed splits":
        (root / "original_sequences" / "youtube" / "c23" / "videos").mkdir(parents=True)
        encode(root / "original_sequences" / "youtube" / "c23" / "videos" / "000.mp4", faces(1))
        (root / "splits").mkdir()
        (root / "splits" / "train.json").write_text('[["000", "003"],')
    if kind == "no metadata":
        (root / "dfdc_train_part_0").mkdir()
        encode(root / "dfdc_train_part_0" / "abc.mp4", faces(1))
    if kind == "named twice":
        encode(root / "a.mp4", faces(1))
        (root / "list.csv").write_text("path,label\na.mp4,real\na.mp4,fake\n")
        return root / "list.csv"
    return root


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "nowhere: no such file or directory (check the path)"),
        ("empty", "the folder is empty (give the folder of the data set)"),
        ("without videos", "no video found"),
        ("malformed splits", "splits/train.json: not valid JSON"),
        ("no metadata", "metadata.json"),
        ("named twice", "list.csv:3: 'a.mp4' is also in"),
    ],
)
def test_invalid_data_set_is_rejected(mgst_data, tmp_path, kind, message):
    result = mgst_data("extract", "--src", source(tmp_path / "set", kind), "--out", tmp_path / "out")
    assert result.exit_code == 2
    line = result.stderr.splitlines()[-1]
    assert line.startswith("error: ")
    assert message in line
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_invalid_output_folder_is_rejected(mgst_data, face_set, tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        result = mgst_data("extract", "--src", face_set, "--out", out, "--executor", "serial")
        assert result.exit_code == 1
        assert re.search(rf"error: {out}: .*file.* \(choose another output folder\)", result.stderr)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--landmark-model", "typo.dat"), "typo.dat: no such landmark file"),
        (("--reader", "pyaw"), "unknown reader 'pyaw' (did you mean 'pyav'?"),
        (("--detector", "mtcn"), "unknown detector 'mtcn' (did you mean 'mtcnn'?"),
        (("--layout", "foldr"), "unknown layout 'foldr' (did you mean 'folder'?"),
        (("--executor", "proces"), "unknown executor 'proces' (did you mean 'process'?"),
        (("--video-timeout", "0"), "video_timeout must be a positive number of seconds, got 0.0"),
        (
            ("--worker-memory", "much"),
            "'much' is not a size; give a number above 0 with a unit, such as 500MB, 4GB or 4GiB",
        ),
        (("--worker-memory", "0"), "'0' is not a size; give a number above 0"),
        (("--workers", "0"), "workers must be at least 1, got 0"),
        (("--masks",), "the layout 'folder' has no option 'masks'"),
        (("--splits", "."), "the layout 'folder' has no option 'splits'"),
        (("--size", "5"), "size must be in [16, 4096], got 5"),
        (("--config", "none.toml"), "none.toml: no such file"),
        (("--set", "extract.sise=3"), "did you mean 'size'"),
    ],
)
def test_invalid_option_is_rejected(mgst_data, face_set, tmp_path, arguments, message):
    out = tmp_path / "out"
    result = mgst_data("extract", "--src", face_set, "--out", out, "--layout", "folder", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]
    assert not out.exists()


def test_full_disk_gives_one_line_and_keeps_complete_shards(mgst_data, face_set, tmp_path):
    out = tmp_path / "out"
    options = ["extract", "--src", face_set, "--out", out, "--executor", "serial", "--frames", "4", "--size", "64"]
    assert mgst_data(*options, "--split", "test").exit_code == 0
    before = {path.name for path in out.glob("*.tar")}
    # A limit on the file size simulates a full disk.
    command = ["bash", "-c", 'ulimit -f 20; exec "$@"', "bash", sys.executable, "-c"]
    command += ["from mgst_cli.data import main; main()", *map(str, options), "--split", "train"]
    full = subprocess.run(command, capture_output=True, text=True, check=False)
    assert full.returncode == 1
    line = full.stderr.splitlines()[-1]
    assert line.startswith(f"error: {out}/train-000000.tar.part: ")
    assert "too large" in line.lower()
    assert "Traceback" not in full.stderr
    assert {path.name for path in out.glob("*.tar")} == before
    assert not list(out.glob("*.part"))
