"""The torchcodec reader gives the same frames and the same reason codes as the default reader."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from av.video.stream import VideoStream
from video_files import encode, plain_frames

from mgst_data.core import UsageError, VideoError
from mgst_data.video import READERS, PyAVReader, TorchCodecReader


@pytest.fixture
def reader() -> TorchCodecReader:
    try:
        return TorchCodecReader()
    except UsageError as error:
        pytest.skip(str(error))


def test_the_error_without_torchcodec_names_the_extra(monkeypatch):
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


@pytest.mark.parametrize(("aspect", "angle"), [(Fraction(4, 3), 0), (Fraction(2), 90), (Fraction(1, 2), 270)])
def test_pixels_become_square(reader, tmp_path, aspect, angle):
    def stretch(stream: VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = aspect
        stream.set_display_rotation(angle)

    path = encode(tmp_path / "wide.mp4", plain_frames(2), setup=stretch)
    ours, theirs = (next(r.chunks(path, 2)).frames for r in (reader, PyAVReader()))
    assert ours.shape == theirs.shape
    assert (ours.int() - theirs.int()).abs().double().mean() < 1


class StandIn:
    """A mock decoder with the result of torchcodec for an upright file: four frames, 6 x 8 pixels, bright left half."""

    def __init__(self, aspect: Fraction | None, rotation: float | None) -> None:
        self.metadata = SimpleNamespace(
            pixel_aspect_ratio=aspect,
            rotation=rotation,
            width=8,
            height=6,
            average_fps_from_header=25.0,
            begin_stream_seconds_from_header=0.0,
            duration_seconds_from_header=0.16,
            end_stream_seconds_from_content=0.16,
        )

    def __len__(self) -> int:
        return 4

    def get_frames_in_range(self, start: int, stop: int) -> SimpleNamespace:
        data = torch.zeros(stop - start, 6, 8, 3, dtype=torch.uint8)
        data[:, :, :4] = 200
        return SimpleNamespace(data=data, pts_seconds=torch.arange(start, stop) / 25)


@pytest.mark.parametrize(
    ("aspect", "rotation", "size"),
    [
        (None, None, (6, 8)),
        (Fraction(0), None, (6, 8)),
        (Fraction(2), None, (6, 16)),
        (Fraction(1, 2), 180.0, (12, 8)),
        (Fraction(2), 90.0, (12, 8)),
        (Fraction(1, 2), -90.0, (6, 16)),
    ],
)
def test_the_aspect_ratio_is_that_of_the_stored_pixels(monkeypatch, video, aspect, rotation, size):
    monkeypatch.setattr("mgst_data.video.torchcodec._decoder_class", lambda: lambda *_, **__: StandIn(aspect, rotation))
    (batch,) = TorchCodecReader().chunks(video, 8)
    assert batch.frames.shape == (4, 3, *size)
    assert not batch.damaged.any()
    quarter = size[1] // 4
    assert (batch.frames[..., :quarter] == 200).all()
    assert (batch.frames[..., -quarter:] == 0).all()


def test_reasons_are_the_same(reader, tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("text\n" * 500)
    for name, reason in {"absent": "missing", "empty": "empty_file", "text": "not_a_video"}.items():
        with pytest.raises(VideoError) as caught:
            next(reader.chunks(str(tmp_path / f"{name}.mp4"), 4))
        assert caught.value.reason == reason


def test_the_frames_of_a_truncated_file_are_read(reader, video):
    data = Path(video).read_bytes()
    Path(video).write_bytes(data[: len(data) - 60])
    batches = list(reader.chunks(video, 8))
    assert 10 <= sum(map(len, batches)) < 20
    assert batches[-1].damage in ("truncated", "corrupt_frames")
