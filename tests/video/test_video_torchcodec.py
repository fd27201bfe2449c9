"""The second backend: the same frames, the same reasons."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from video_files import encode, plain_frames

from mgst_data.core import UsageError, VideoError
from mgst_data.video import READERS, PyAVReader, TorchCodecReader


@pytest.fixture
def reader() -> TorchCodecReader:
    try:
        return TorchCodecReader()
    except UsageError as error:
        pytest.skip(str(error))


def test_without_torchcodec_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    with pytest.raises(UsageError, match=r"mgst\[torchcodec\].*FFmpeg"):
        READERS.get("torchcodec")()


def test_the_frames_are_those_of_the_default_reader(reader, video):
    ours, theirs = (list(r.chunks(video, 8)) for r in (reader, PyAVReader()))
    assert [len(b) for b in ours] == [len(b) for b in theirs] == [8, 8, 4]
    for a, b in zip(ours, theirs, strict=True):
        assert (a.frames.int() - b.frames.int()).abs().double().mean() < 1
        torch.testing.assert_close(a.pts, b.pts)
        assert (a.fps, a.damage, a.index.tolist()) == (b.fps, b.damage, b.index.tolist())
        assert a.frames.is_contiguous(memory_format=torch.channels_last)


def test_rotation_is_applied(reader, tmp_path):
    path = encode(tmp_path / "r.mp4", plain_frames(2), setup=lambda stream: stream.set_display_rotation(90))
    assert next(reader.chunks(path, 2)).frames.shape == (2, 3, 64, 48)


def test_reasons_are_the_same(reader, tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("text\n" * 500)
    for name, reason in {"absent": "missing", "empty": "empty_file", "text": "not_a_video"}.items():
        with pytest.raises(VideoError) as caught:
            next(reader.chunks(str(tmp_path / f"{name}.mp4"), 4))
        assert caught.value.reason == reason


def test_a_cut_file_keeps_what_is_there(reader, video):
    data = Path(video).read_bytes()
    Path(video).write_bytes(data[: len(data) - 60])
    batches = list(reader.chunks(video, 8))
    assert 10 <= sum(map(len, batches)) < 20
    assert batches[-1].damage in ("truncated", "corrupt_frames")
