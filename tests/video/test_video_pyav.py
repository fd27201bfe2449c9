"""PyAVReader on undamaged videos of many kinds."""

from __future__ import annotations

import gc
import wave
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.stream import Disposition
from av.video.stream import VideoStream
from jaxtyping import UInt8
from torch import Tensor
from video_files import encode, plain_frames

from mgst_data.core import UsageError, VideoError
from mgst_data.video import READERS, PyAVReader
from mgst_data.video.picture import square_size

# Rec. ITU-R BT.601, BT.709, BT.2020: weights of red and blue in luma, and the codes of ISO/IEC 23091-2.
MATRICES = {"bt601": (0.299, 0.114, 6), "bt709": (0.2126, 0.0722, 1), "bt2020": (0.2627, 0.0593, 9)}


def read(path: str, *, size: int = 8) -> UInt8[Tensor, "n 3 h w"]:
    batches = list(PyAVReader().chunks(path, size))
    assert all(b.damage == "" for b in batches)
    return torch.cat([b.frames for b in batches])


def times(path: str) -> list[float]:
    return torch.cat([b.pts for b in PyAVReader().chunks(path, 7)]).tolist()


def numbers(path: str) -> list[int]:
    """Returns the numbers of frames from plain_frames."""
    return ((read(path).double().mean((1, 2, 3)) - 10) / 8).round().int().tolist()


def test_all_frames_come_in_order_with_b_frames(video):
    assert numbers(video) == list(range(20))
    assert times(video) == pytest.approx([n / 25 for n in range(20)])


def test_batches_carry_rate_and_index(video):
    batches = list(PyAVReader().chunks(video, 8))
    assert [len(b) for b in batches] == [8, 8, 4]
    assert torch.cat([b.index for b in batches]).tolist() == list(range(20))
    assert {b.fps for b in batches} == {25.0}


@pytest.mark.parametrize("options", [{"threads": 2}, {"threads": 0}, {"prefetch": 0}, {"max_bytes": 1}])
def test_options_change_nothing_in_the_frames(video, options):
    frames = torch.cat([b.frames for b in PyAVReader(**options).chunks(video, 8)])
    assert torch.equal(frames, read(video))


def test_variable_rate_keeps_its_times(tmp_path):
    ticks = [0, 40, 200, 210, 700]
    path = encode(tmp_path / "vfr.mkv", plain_frames(5), ticks=ticks, options={"bf": "2"})
    assert times(path) == pytest.approx([t / 1000 for t in ticks])
    assert numbers(path) == [0, 1, 2, 3, 4]


def test_avi_without_presentation_times_gets_increasing_times(tmp_path):
    path = encode(tmp_path / "b.avi", plain_frames(20), codec="mpeg4", options={"bf": "2", "qmax": "2"})
    assert numbers(path) == list(range(20))
    steps = [b - a for a, b in pairwise(times(path))]
    assert steps == pytest.approx([1 / 25] * 19)


def test_a_raw_stream_without_times_gets_times_from_its_rate(tmp_path):
    path = encode(tmp_path / "raw.h264", plain_frames(6))
    assert times(path) == pytest.approx([n / 25 for n in range(6)])


def test_frames_before_the_start_of_an_edit_list_are_not_shown(tmp_path):
    # Packets before zero make the muxer write an edit list that begins in the middle of the group of pictures.
    path = encode(tmp_path / "edit.mp4", plain_frames(10), ticks=[40 * n - 160 for n in range(10)])
    assert numbers(path) == list(range(4, 10))
    assert times(path)[0] == pytest.approx(0, abs=1e-3)


def corner_frame() -> av.VideoFrame:
    """Returns frames with red in the top left corner, green in the top right corner, and black below."""
    rgb = np.zeros((32, 48, 3), np.uint8)
    rgb[:16, :24, 0] = 255
    rgb[:16, 24:, 1] = 255
    return av.VideoFrame.from_ndarray(rgb, format="rgb24")


@pytest.mark.parametrize(
    ("angle", "flip", "size", "red", "green"),
    [
        (0, {}, (32, 48), (0, 0), (0, 1)),
        (90, {}, (48, 32), (1, 0), (0, 0)),
        (180, {}, (32, 48), (1, 1), (1, 0)),
        (270, {}, (48, 32), (0, 1), (1, 1)),
        (0, {"hflip": True}, (32, 48), (0, 1), (0, 0)),
        (0, {"vflip": True}, (32, 48), (1, 0), (1, 1)),
    ],
)
def test_the_display_matrix_is_applied(tmp_path, angle, flip, size, red, green):
    """Angles are counter-clockwise; corners are (row, column), 0 for top or left."""
    turn = lambda stream: stream.set_display_rotation(angle, **flip)  # noqa: E731
    (frame,) = read(encode(tmp_path / "turned.mp4", [corner_frame()], setup=turn))
    assert frame.shape[1:] == size
    height, width = size
    for channel, (row, column) in ((0, red), (1, green)):
        assert frame[channel, height // 4 + row * height // 2, width // 4 + column * width // 2] > 200


def test_rgb_is_flipped_without_a_copy_in_between(tmp_path):
    """Frames that need no conversion reach the filters with rows stored from bottom to top."""
    turn = lambda stream: stream.set_display_rotation(0, vflip=True)  # noqa: E731
    path = encode(tmp_path / "raw.mov", [corner_frame()], codec="rawvideo", pix_fmt="rgb24", setup=turn)
    assert np.array_equal(read(path)[0].permute(1, 2, 0).numpy(), corner_frame().to_ndarray()[::-1])


def wave_planes(pix_fmt: str, width: int, height: int) -> tuple[av.VideoFrame, list[np.ndarray]]:
    """Returns a frame of smooth waves in a planar format, and its samples."""
    frame = av.VideoFrame(width, height, pix_fmt)
    planes = []
    for n, plane in enumerate(frame.planes):
        bits = frame.format.components[0].bits
        memory = np.frombuffer(plane, np.uint8 if bits == 8 else np.uint16).reshape(plane.height, -1).copy()
        y, x = np.mgrid[: plane.height, : plane.width]
        light = 0.5 + 0.3 * np.sin(3 * x / plane.width + n) * np.cos(4 * y / plane.height + 2 * n)
        memory[:, : plane.width] = light * 2**bits
        plane.update(memory.tobytes())
        planes.append(memory[:, : plane.width])
    return frame, planes


def exact_rgb(planes: list[np.ndarray], bits: int, *, matrix: str, full: bool) -> np.ndarray:
    """Converts Y'CbCr to RGB by definition, in floating point, with nearest-neighbour chroma."""
    y, x = np.indices(planes[0].shape)
    luma, *chroma = (
        plane[y // round(len(y) / plane.shape[0]), x // round(y.shape[1] / plane.shape[1])] / 2 ** (bits - 8)
        for plane in planes
    )
    cb, cr = chroma or (np.full_like(luma, 128), np.full_like(luma, 128))
    luma, cb, cr = (
        (luma / 255, (cb - 128) / 255, (cr - 128) / 255)
        if full
        else ((luma - 16) / 219, (cb - 128) / 224, (cr - 128) / 224)
    )
    kr, kb, _ = MATRICES[matrix]
    red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.stack([red, green, blue]), 0, 1) * 255


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize(
    ("pix_fmt", "size"),
    [
        ("yuv420p", (192, 128)),
        ("yuv420p", (189, 125)),
        ("yuv422p", (192, 128)),
        ("yuv444p", (192, 128)),
        ("yuv420p10le", (192, 128)),
        ("yuv422p10le", (189, 125)),
        ("yuva420p", (192, 128)),
        ("gray", (192, 128)),
        ("gray10le", (189, 125)),
    ],
)
def test_colours_follow_the_streams_matrix_and_range(tmp_path, pix_fmt, size, matrix, full):
    frame, planes = wave_planes(pix_fmt, *size)

    def describe(stream) -> None:
        stream.codec_context.colorspace = MATRICES[matrix][2]
        stream.codec_context.color_range = frame.color_range = 2 if full else 1

    path = encode(tmp_path / "c.mkv", [frame], codec="ffv1", pix_fmt=pix_fmt, setup=describe)
    expected = exact_rgb(planes[:3], frame.format.components[0].bits, matrix=matrix, full=full)
    assert np.abs(read(path)[0].numpy() - expected).mean() < 1.5


@pytest.mark.parametrize(("lines", "matrix"), [(704, "bt601"), (720, "bt709")])
def test_without_a_matrix_the_number_of_lines_determines_it(tmp_path, lines, matrix):
    frame, planes = wave_planes("yuv420p", 64, lines)
    path = encode(tmp_path / "unspecified.mp4", [frame], options={"qp": "0", "preset": "ultrafast"})
    with av.open(path) as container:
        assert next(container.decode(video=0)).colorspace == 2
    assert np.abs(read(path)[0].numpy() - exact_rgb(planes, 8, matrix=matrix, full=False)).mean() < 1.5


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [("a.mkv", "ffv1", "bgr0"), ("a.mov", "qtrle", "argb"), ("a.mp4", "libx264rgb", "rgb24")],
)
def test_rgb_is_not_changed(tmp_path, name, codec, pix_fmt):
    frame = corner_frame()
    path = encode(tmp_path / name, [frame], codec=codec, pix_fmt=pix_fmt, options={"qp": "0"})
    assert np.array_equal(read(path)[0].permute(1, 2, 0).numpy(), frame.to_ndarray())


def test_motion_jpeg_is_full_range(tmp_path):
    path = encode(tmp_path / "jpeg.mov", plain_frames(3), codec="mjpeg", pix_fmt="yuvj420p")
    assert numbers(path) == [0, 1, 2]


def woven_frames(count: int) -> list[av.VideoFrame]:
    """Yields interlaced frames of a bar that moves between the two fields of each frame."""
    frames = []
    for n in range(count):
        rgb = np.full((64, 128, 3), 40, np.uint8)
        for field in (0, 1):
            left = 8 * n + 4 * field
            rgb[field::2, left : left + 24] = 220
        frames.append(av.VideoFrame.from_ndarray(rgb, format="rgb24"))
    return frames


def combing(frames: UInt8[Tensor, "n 3 h w"]) -> float:
    """Returns how much more adjacent lines differ than lines at a distance of two."""
    f = frames.double()
    return float((f[:, :, 1:-1] - f[:, :, :-2]).abs().mean() - (f[:, :, 2:] - f[:, :, :-2]).abs().mean())


def test_each_interlaced_frame_gives_one_frame(tmp_path):
    woven = {"flags": "+ilme+ildct", "x264-params": "tff=1:qp=10"}
    path = encode(tmp_path / "interlaced.mp4", woven_frames(10), options=woven)
    with av.open(path) as container:
        given = torch.stack([torch.from_numpy(f.to_ndarray(format="rgb24")) for f in container.decode(video=0)])
    frames = read(path)
    assert len(frames) == 10
    assert times(path) == pytest.approx([n / 25 for n in range(10)])
    assert combing(frames) < 0.1 * combing(given.permute(0, 3, 1, 2))


def test_frames_of_another_size_are_fitted_into_the_first(tmp_path):
    first = Path(encode(tmp_path / "a.h264", plain_frames(3, width=64, height=48)))
    second = Path(encode(tmp_path / "b.h264", plain_frames(3, width=96, height=96)))
    both = tmp_path / "both.h264"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    frames = read(str(both))
    assert frames.shape == (6, 3, 48, 64)
    assert (frames[3:, :, :, :8] == 0).all()
    assert (frames[4:, :, :, 32] > 0).all()


def stretched(aspect: Fraction, angle: int = 0) -> Callable[[VideoStream], None]:
    """Sets the aspect ratio of a stream's pixels, and its rotation."""

    def setup(stream: VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = aspect
        if angle:
            stream.set_display_rotation(angle)

    return setup


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize(
    ("aspect", "angle", "size"),
    [
        (Fraction(4, 3), 0, (48, 85)),
        (Fraction(2), 180, (48, 128)),
        (Fraction(16, 15), 0, (48, 68)),
        (Fraction(3, 4), 0, (64, 64)),
        (Fraction(1, 8), 0, (384, 64)),
        (Fraction(2), 90, (128, 48)),
        (Fraction(1, 2), 270, (64, 96)),
    ],
)
def test_one_side_is_enlarged_to_make_pixels_square(tmp_path, name, aspect, angle, size):
    path = encode(tmp_path / name, plain_frames(2), setup=stretched(aspect, angle))
    assert read(path).shape == (2, 3, *size)
    assert numbers(path) == [0, 1]


def test_an_enlarged_picture_keeps_its_orientation(tmp_path):
    """The quarters of the picture keep their positions, upright, for either enlarged side."""
    for aspect, angle in ((Fraction(2), 0), (Fraction(1, 3), 0), (Fraction(2), 90)):
        plain = read(encode(tmp_path / "plain.mp4", [corner_frame()], setup=stretched(Fraction(1), angle)))
        wide = read(encode(tmp_path / "wide.mp4", [corner_frame()], setup=stretched(aspect, angle)))
        assert wide.shape != plain.shape
        shrunk = torch.nn.functional.interpolate(wide.float(), plain.shape[2:], mode="area")
        assert (shrunk - plain).abs().mean() < 4


def test_interlaced_pictures_are_enlarged_too(tmp_path):
    woven = {"flags": "+ilme+ildct", "x264-params": "tff=1:qp=10"}
    path = encode(tmp_path / "dv.mp4", woven_frames(4), options=woven, setup=stretched(Fraction(64, 45)))
    frames = read(path)
    assert frames.shape == (4, 3, 64, 182)
    assert combing(frames) < 1


@pytest.mark.parametrize("aspect", [Fraction(1001, 1000), Fraction(200, 201), Fraction(9), Fraction(1, 20)])
def test_nearly_square_and_impossible_aspect_ratios_are_ignored(tmp_path, aspect):
    square = read(encode(tmp_path / "square.mp4", [corner_frame()]))
    assert torch.equal(read(encode(tmp_path / "odd.mp4", [corner_frame()], setup=stretched(aspect))), square)


@pytest.mark.parametrize("aspect", [None, Fraction(0), Fraction(-1), Fraction(1, 9), Fraction(5, 2), Fraction(1, 3)])
def test_no_side_becomes_smaller(aspect):
    for width, height in ((1, 1), (720, 576), (7, 4000)):
        wide, high = square_size(width, height, aspect)
        assert (wide, high) == (width, height) or ((wide == width) != (high == height))
        assert wide >= width
        assert high >= height


@pytest.mark.parametrize(("width", "height"), [(2, 4), (4, 4), (4, 12), (12, 4), (6, 8), (2, 400)])
def test_interlaced_frames_of_a_few_pixels_are_read(tmp_path, width, height):
    woven = {"flags": "+ilme+ildct", "x264-params": "tff=1"}
    path = encode(tmp_path / "tiny.mp4", plain_frames(3, width=width, height=height), options=woven)
    with av.open(path) as container:
        assert next(container.decode(video=0)).interlaced_frame
    assert read(path).shape == (3, 3, height, width)


def test_an_8k_frame_is_a_batch_of_its_own(tmp_path):
    frame = av.VideoFrame(7680, 4320, "yuvj420p")
    path = encode(tmp_path / "8k.mov", [frame, frame], codec="mjpeg", pix_fmt="yuvj420p")
    assert [tuple(b.frames.shape) for b in PyAVReader(prefetch=0).chunks(path, 32)] == [(1, 3, 4320, 7680)] * 2


def write_sound(path: Path) -> None:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(bytes(4000))


def test_a_cover_picture_is_not_a_video(tmp_path):
    write_sound(tmp_path / "sound.wav")
    path = tmp_path / "song.mp4"
    with av.open(str(tmp_path / "sound.wav")) as sound, av.open(str(path), "w") as out:
        voice = out.add_stream("aac", rate=8000)
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        out.mux(cover.encode(plain_frames(1)[0]))
        out.mux(cover.encode(None))
        for frame in sound.decode(audio=0):
            out.mux(voice.encode(frame))
        out.mux(voice.encode(None))
    with pytest.raises(VideoError) as caught:
        read(str(path))
    assert caught.value.reason == "no_video_stream"


@pytest.mark.parametrize("name", ["12:30.mp4", "a b%03d.mp4", "caf\udce9.mp4", "file,x|y.mp4"])
def test_any_name_can_be_read(tmp_path, video, name):
    path = tmp_path / name
    path.write_bytes(Path(video).read_bytes())
    assert len(read(str(path))) == 20


def test_an_unknown_kind_of_url_is_an_error_in_one_line():
    with pytest.raises(UsageError, match="foo") as caught:
        list(PyAVReader().chunks("foo://host/video.mp4", 8))
    assert "copy the file here first" in str(caught.value)


def test_urls_are_read_through_fsspec(video):
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://video.mp4", "wb") as out:
        out.write(Path(video).read_bytes())
    assert torch.equal(read("memory://video.mp4"), read(video))
    with pytest.raises(VideoError) as caught:
        read("memory://absent.mp4")
    assert caught.value.reason == "missing"


def test_frames_are_freed_without_the_garbage_collector(tmp_path):
    path = encode(tmp_path / "long.mp4", plain_frames(30) * 4)
    gc.collect()
    gc.disable()
    try:
        assert sum(len(b) for b in PyAVReader().chunks(path, 8)) == 120
        assert gc.collect() < 120
    finally:
        gc.enable()


def test_the_reader_is_found_by_name(video):
    assert len(next(READERS.get("pyav")(threads=1).chunks(video, 5))) == 5
