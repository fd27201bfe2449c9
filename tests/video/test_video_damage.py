"""Unreadable and damaged videos: a clear reason, and no undamaged frame is lost."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from video_files import encode, plain_frames, textured_frames

from mgst_data.core import VideoError
from mgst_data.video import PyAVReader
from mgst_data.video.damage import StreamHealth
from mgst_data.video.files import cannot_open, check_file


def read(path: str | Path) -> tuple[int, str]:
    """Returns the number of frames and the final damage."""
    batches = list(PyAVReader().chunks(str(path), 8))
    return sum(map(len, batches)), batches[-1].damage


def reason(path: str | Path) -> str:
    with pytest.raises(VideoError) as caught:
        read(path)
    assert caught.value.where
    assert caught.value.hint
    return caught.value.reason


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    """A video of forty frames of noise, with a key frame every ten frames and the index at the start of the file."""
    return Path(
        encode(
            tmp_path / "noisy.mp4",
            textured_frames(40),
            options={"g": "10", "bf": "0"},
            container={"movflags": "+faststart"},
        )
    )


def media_start(path: Path) -> int:
    return path.read_bytes().index(b"mdat") + 4


def test_a_missing_file(tmp_path):
    assert reason(tmp_path / "absent.mp4") == "missing"
    (tmp_path / "file").touch()
    assert reason(tmp_path / "file" / "below.mp4") == "missing"


def test_an_empty_file(tmp_path):
    (tmp_path / "empty.mp4").touch()
    assert reason(tmp_path / "empty.mp4") == "empty_file"


def special_files(folder: Path) -> Iterator[Path]:
    """Yields a pipe, a socket and a device with the file names of videos."""
    os.mkfifo(folder / "pipe.mp4")
    yield folder / "pipe.mp4"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(folder / "socket.mp4"))
    yield folder / "socket.mp4"
    (folder / "device.mp4").symlink_to(os.devnull)
    yield folder / "device.mp4"


def test_a_pipe_a_socket_and_a_device_are_errors_and_are_not_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    for path in special_files(Path()):
        assert reason(path) == "not_a_file"
        with pytest.raises(VideoError, match="not a regular file"):
            read(path)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(VideoError, match="not a regular file"):
        check_file(str(tmp_path / "folder.mp4"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(video):
    Path(video).chmod(0)
    assert reason(video) == "unreadable"


def test_refused_files_are_unreadable(tmp_path):
    assert cannot_open("a.mp4", PermissionError(13, "Permission denied")).reason == "unreadable"
    assert reason("/" + "long" * 100) == "unreadable"


@pytest.mark.parametrize("content", [b"plain text\n" * 400, b"#EXTM3U\nvideo.mp4\n"])
def test_text_is_not_a_video(tmp_path, video, content):
    path = tmp_path / "text.mp4"
    path.write_bytes(content)
    assert reason(path) == "not_a_video"


def test_sound_alone_has_no_video_stream(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=8000)
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.sample_rate = 8000
        frame.planes[0].update(bytes(4096))
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert reason(path) == "no_video_stream"


def test_a_video_without_frames(tmp_path):
    path = tmp_path / "none.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.start_encoding()
    assert reason(path) in ("no_frames", "no_video_stream")


def test_a_video_without_a_decodable_frame(noisy):
    data = bytearray(noisy.read_bytes())
    data[media_start(noisy) :] = bytes(len(data) - media_start(noisy))
    noisy.write_bytes(data)
    assert reason(noisy) == "decode_error"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_file_truncated_before_its_index(tmp_path, share):
    whole = Path(encode(tmp_path / "whole.mp4", textured_frames(10))).read_bytes()
    index = whole.index(b"moov")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: 40 + int(share * (index - 40))])
    assert reason(cut) == "truncated"


@pytest.mark.parametrize("share", [0.2, 0.5, 0.97])
def test_the_frames_of_a_truncated_file_are_read(noisy, share):
    data, start = noisy.read_bytes(), media_start(noisy)
    noisy.write_bytes(data[: start + int(share * (len(data) - start))])
    frames, damage = read(noisy)
    assert damage == "truncated"
    assert frames == pytest.approx(40 * share, abs=3)


@pytest.mark.parametrize("name", ["cut.mkv", "cut.avi", "cut.flv", "cut.mp4"])
def test_truncated_files_of_other_formats(tmp_path, name):
    fragments = {"movflags": "frag_keyframe+empty_moov"} if name.endswith("mp4") else {}
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    path = Path(encode(tmp_path / name, textured_frames(40), codec=codec, options={"g": "10"}, container=fragments))
    assert read(path) == (40, "")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    frames, damage = read(path)
    assert damage == "truncated"
    assert 10 <= frames <= 25


def test_damaged_packets_are_reported_and_the_other_frames_are_read(noisy):
    data, start = bytearray(noisy.read_bytes()), media_start(noisy)
    middle = start + (len(data) - start) // 2
    data[middle : middle + 3000] = bytes(3000)
    noisy.write_bytes(data)
    frames, damage = read(noisy)
    assert damage == "corrupt_frames"
    assert frames >= 38


class FailingStream(io.BytesIO):
    """A connection that fails permanently after its middle has been read."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > len(self.getbuffer()) // 2:
            raise ConnectionResetError("connection lost")
        return super().read(size)


def test_the_frames_before_a_connection_error_are_read(noisy, monkeypatch):
    monkeypatch.setattr("mgst_data.video.pyav.open_bytes", lambda url: FailingStream(noisy.read_bytes()))
    frames, damage = read("https://example.org/video.mp4")
    assert damage == "truncated"
    assert 10 < frames < 40


def test_damage_is_the_same_on_every_run(noisy):
    data, start = bytearray(noisy.read_bytes()), media_start(noisy)
    data[start + 5000 : start + 5200] = bytes(range(200))
    noisy.write_bytes(data)
    assert len({read(noisy) for _ in range(5)}) == 1


@pytest.mark.parametrize(
    ("announced", "damage"), [(39, "wrong_frame_count"), (41, "wrong_frame_count"), (90, "truncated")]
)
def test_a_header_with_a_wrong_number_of_frames(tmp_path, announced, damage):
    path = Path(encode(tmp_path / "header.avi", plain_frames(40 // 2) * 2, codec="mpeg4"))
    data = bytearray(path.read_bytes())
    length = data.index(b"strh") + 8 + 32  # "dwLength" of the stream's header
    assert int.from_bytes(data[length : length + 4], "little") == 40
    data[length : length + 4] = announced.to_bytes(4, "little")
    path.write_bytes(data)
    assert read(path) == (40, damage)


def test_ffmpeg_writes_nothing_to_the_terminal(noisy, capfd):
    data = bytearray(noisy.read_bytes())
    data[-20000:-19000] = bytes(1000)
    noisy.write_bytes(data[:-3000])
    read(noisy)
    assert capfd.readouterr() == ("", "")


def test_a_complete_stream_is_not_damaged():
    assert StreamHealth(promised=10, packets=10, frames=10, finished=True).damage == ""
    assert StreamHealth(packets=10, frames=10, finished=True).damage == ""
    assert StreamHealth(packets=10, hidden=4, frames=6, finished=True).damage == ""


def test_an_index_is_exact_and_a_header_is_not():
    short = {"promised": 100, "packets": 99, "frames": 99, "finished": True}
    assert StreamHealth(exact=True, **short).damage == "truncated"
    assert StreamHealth(exact=False, **short).damage == "wrong_frame_count"


def test_the_last_frames_duration_may_be_missing_from_the_header():
    assert StreamHealth(seconds=2.0, end=1.96, packets=50, frames=50, finished=True).damage == ""
    assert StreamHealth(seconds=2.0, end=1.5, packets=50, frames=50, finished=True).damage == "truncated"


def test_before_the_end_only_damaged_packets_are_reported():
    assert StreamHealth(promised=100, packets=7, frames=5).damage == ""
    assert StreamHealth(promised=100, packets=7, frames=5, broken=True).damage == "corrupt_frames"
