"""Extraction of a video into chunks: every frame once, stable crops, landmarks on the face."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import skimage.data
import torch

from mgst_data.core import FrameBatch, NoFaceError, VideoError, VideoRecord
from mgst_data.core.geometry import apply_transform, eye_distance, invert_transform
from mgst_data.extract.extract_config import ExtractConfig
from mgst_data.extract.extractor import Extraction, Extractor
from mgst_data.extract.selection import select_chunks
from mgst_data.shards.schema import FaceChunk, encode_chunk, verify_sample
from mgst_data.video import VideoReader

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def write(tmp_path_factory) -> Write:
    """Writes frames as a video that keeps their positions."""
    folder = tmp_path_factory.mktemp("videos")

    def write(name: str, frames: list[np.ndarray], aspect: Fraction = Fraction(1)) -> Path:
        path = folder / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": "12", "preset": "ultrafast"})
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            stream.codec_context.sample_aspect_ratio = aspect
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture(scope="module")
def talking(write: Write) -> Path:
    """44 frames of the portrait, which moves to the right by one pixel per frame."""
    portrait = skimage.data.astronaut()
    return write("talking.mp4", [np.roll(portrait, i, axis=1)[:320, :400] for i in range(44)])


def record(path: Path, **changes) -> VideoRecord:
    fields = {"key": "video", "path": str(path), "video": path.name, "dataset": "set", "split": "", "label": 0}
    return VideoRecord(**{**fields, "method": "real", **changes})


def extract(path: Path, config: ExtractConfig | None = None, **changes) -> list[FaceChunk]:
    return list(Extractor(config or ExtractConfig())(record(path, **changes)))


@pytest.fixture(scope="module")
def chunks(talking: Path) -> list[FaceChunk]:
    return extract(talking)


def test_every_frame_of_the_face_is_extracted_once(chunks):
    assert [len(chunk) for chunk in chunks] == [32, 12]
    assert torch.cat([chunk.frame_indices for chunk in chunks]).tolist() == list(range(44))
    assert [(chunk.track, chunk.chunk) for chunk in chunks] == [(0, 0), (0, 1)]
    torch.testing.assert_close(chunks[1].pts, torch.arange(32, 44, dtype=torch.float64) / 25)


def test_every_sample_follows_the_schema(chunks):
    for chunk in chunks:
        assert verify_sample(encode_chunk(chunk)) == []


def test_the_pixels_of_a_crop_match_its_transform(chunks, talking):
    with av.open(str(talking)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    chunk = chunks[0]
    for i in (0, 17, 31):
        crop = next(chunk.frames([i])).astype(float)
        # Compare some points of the crop with the frame.
        points = torch.tensor([[20.0, 30.0], [70.0, 50.0], [100.0, 110.0]], dtype=torch.float64)
        there = apply_transform(invert_transform(chunk.crop_from_frame), points).round().long()
        for (x, y), (u, v) in zip(points.long().tolist(), there.tolist(), strict=True):
            around = np.s_[y - 2 : y + 3, x - 2 : x + 3]
            original = frames[i][v - 2 : v + 3, u - 2 : u + 3].astype(float)
            assert abs(crop[around].mean() - original.mean()) < 12


def test_landmarks_lie_on_the_face_and_move_with_it(chunks):
    for chunk in chunks:
        low, high = chunk.boxes[:, None, :2], chunk.boxes[:, None, 2:]
        size = high - low
        inside = (chunk.landmarks > low - 0.25 * size) & (chunk.landmarks < high + 0.25 * size)
        assert inside.all()
        assert chunk.valid.all()
        drift = chunk.landmarks.mean(dim=1).diff(dim=0) / float(chunk.crop_from_frame[0, 0])
        torch.testing.assert_close(drift.mean(dim=0), torch.tensor([1.0, 0.0]), atol=0.1, rtol=0)


def test_chunks_are_smoothed_as_one_track(talking, chunks):
    whole = extract(talking, ExtractConfig(frames=44))[0]
    scale = invert_transform(whole.crop_from_frame), [invert_transform(chunk.crop_from_frame) for chunk in chunks]
    parts = [apply_transform(back, chunk.landmarks.double()) for back, chunk in zip(scale[1], chunks, strict=True)]
    together = apply_transform(scale[0], whole.landmarks.double())
    error = (torch.cat(parts) - together).norm(dim=-1).max() / eye_distance(together).mean()
    assert error < 1e-4


def test_the_same_video_gives_bit_identical_chunks(talking, chunks):
    again = extract(talking)
    assert [encode_chunk(chunk) for chunk in again] == [encode_chunk(chunk) for chunk in chunks]


def test_crops_are_not_enlarged_by_default(talking, chunks):
    assert chunks[0].crop_size < 320
    large = extract(talking, ExtractConfig(upsample=True))
    assert {chunk.crop_size for chunk in large} == {320}
    small = extract(talking, ExtractConfig(size=64))
    assert {chunk.crop_size for chunk in small} == {64}


def test_a_face_that_crosses_the_frame_gets_several_crops(write):
    portrait = skimage.data.astronaut()[:300, 80:380]
    frames = [np.pad(portrait, ((0, 0), (12 * i, 720 - 12 * i), (0, 0)), mode="edge")[:, :900] for i in range(40)]
    chunks = extract(write("crossing.mp4", frames))
    assert len(chunks) > 2
    assert torch.cat([chunk.frame_indices for chunk in chunks]).tolist() == list(range(40))
    for chunk in chunks:
        assert chunk.boxes.min() >= 0
        assert chunk.boxes.max() <= chunk.crop_size


@pytest.mark.parametrize(("count", "expected"), [(1, [22]), (2, [11, 33])])
def test_some_chunks_are_spaced_evenly(talking, count, expected):
    config = ExtractConfig(frames=4, chunks=count, min_frames=4)
    middles = [float(chunk.frame_indices.double().mean()) for chunk in extract(talking, config)]
    assert middles == pytest.approx(expected, abs=3)


def test_selected_chunks_keep_their_images(chunks):
    chosen = list(select_chunks(iter(chunks), count=1))
    assert [encode_chunk(chunk) for chunk in chosen] == [encode_chunk(chunks[0])]


def test_the_main_face_is_the_largest_over_time(write):
    portrait = skimage.data.astronaut()[:256, 80:336]
    half = np.kron(portrait[::2, ::2], np.ones((1, 1, 1), np.uint8))
    scene = np.full((256, 420, 3), 100, np.uint8)
    scene[:, :256], scene[60:188, 280:408] = portrait, half
    path = write("two.mp4", [np.roll(scene, i, axis=1) for i in range(10)])
    everyone = extract(path, ExtractConfig(min_face=30))
    assert {chunk.track for chunk in everyone} == {0, 1}
    main = extract(path, ExtractConfig(min_face=30, tracks="main"))
    assert len({chunk.track for chunk in main}) == 1
    width = {chunk.track: float(chunk.boxes[0, 2] - chunk.boxes[0, 0]) for chunk in everyone}
    assert width[main[0].track] == max(width.values())


def test_masks_are_cropped_like_the_frames_and_may_end_early(write, talking):
    masks = []
    for i in range(20):
        mask = np.zeros((320, 400, 3), np.uint8)
        mask[80:150, 190 + i : 250 + i] = 255
        masks.append(mask)
    path = write("mask.mp4", masks)
    extraction = Extractor(ExtractConfig(masks=True))(record(talking, label=1, method="Deepfakes", mask_path=str(path)))
    chunks = list(extraction)
    assert [(len(chunk), len(chunk.masks)) for chunk in chunks] == [(20, 20), (24, 0)]
    assert [reason for reason, _ in extraction.notes] == ["mask_short"]
    mask = next(chunks[0].mask_frames([0]))
    corner = apply_transform(chunks[0].crop_from_frame, torch.tensor([[220.0, 115.0]], dtype=torch.float64))
    x, y = corner[0].round().long().tolist()
    assert mask[y, x] > 200
    assert mask[2, 2] < 50


def test_a_video_without_faces_gives_the_reason(write, talking):
    empty = write("empty.mp4", [np.full((120, 160, 3), 128, np.uint8)] * 12)
    with pytest.raises(NoFaceError) as none:
        extract(empty)
    with pytest.raises(NoFaceError) as small:
        extract(talking, ExtractConfig(min_face=300))
    with pytest.raises(NoFaceError) as brief:
        extract(talking, ExtractConfig(min_frames=100))
    reasons = [caught.value.reason for caught in (none, small, brief)]
    assert reasons == ["no_face", "faces_too_small", "faces_too_brief"]


@pytest.mark.parametrize(("width", "height"), [(1, 1), (30, 1), (1, 30), (4000, 2), (2, 4000), (3, 12)])
def test_a_video_of_a_few_pixels_has_no_face(tmp_path, width, height):
    path = tmp_path / "tiny.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "rgb24"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((height, width, 3), 90, np.uint8))))
    for config in (ExtractConfig(), ExtractConfig(min_face=400)):
        with pytest.raises(NoFaceError) as caught:
            extract(path, config)
        assert caught.value.reason == "no_face"


class Marking:
    """Wraps a reader, and marks some frames as decoded from damaged data."""

    def __init__(self, reader: VideoReader, damaged: range) -> None:
        self.reader, self.damaged = reader, torch.tensor(list(damaged))

    def chunks(self, path: str, size: int) -> Iterator[FrameBatch]:
        for batch in self.reader.chunks(path, 8):
            yield replace(batch, damaged=torch.isin(batch.index, self.damaged), damage="corrupt_frames")


def extraction_of(path: Path, marked: range, **options) -> Extraction:
    extractor = Extractor(ExtractConfig(**options))
    extractor.reader = Marking(extractor.reader, marked)
    return extractor(record(path))


def test_damaged_frames_are_dropped_and_the_track_continues(talking):
    extraction = extraction_of(talking, range(13, 30))
    chunks = list(extraction)
    assert [chunk.frame_indices.tolist() for chunk in chunks] == [[*range(13)], [*range(30, 44)]]
    assert [(chunk.track, chunk.chunk) for chunk in chunks] == [(0, 0), (0, 1)]
    assert not any(chunk.damaged.any() for chunk in chunks)
    words = "talking.mp4: the video is damaged; 44 frames were decoded, 17 of them from damaged data (dropped)"
    assert extraction.notes == [("corrupt_frames", words)]


def test_damaged_frames_are_kept_and_marked_on_request(talking, chunks):
    extraction = extraction_of(talking, range(13, 30), damaged="keep")
    kept = list(extraction)
    assert [chunk.frame_indices.tolist() for chunk in kept] == [chunk.frame_indices.tolist() for chunk in chunks]
    assert [i for chunk in kept for i in chunk.frame_indices[chunk.damaged].tolist()] == [*range(13, 30)]
    assert [json.loads(encode_chunk(chunk)["json"])["damaged"] for chunk in kept] == [[*range(13, 30)], []]
    words = "talking.mp4: the video is damaged; 44 frames were decoded, 17 of them from damaged data (kept)"
    assert extraction.notes == [("corrupt_frames", words)]


@pytest.mark.parametrize(("damaged", "reason"), [(range(44), "only_damaged_frames"), (range(3, 44), "faces_too_brief")])
def test_the_error_for_too_few_undamaged_frames_names_the_option_to_keep_damaged_ones(talking, damaged, reason):
    with pytest.raises(NoFaceError) as caught:
        list(extraction_of(talking, damaged))
    assert caught.value.reason == reason
    assert "--damaged keep" in caught.value.hint
    assert list(extraction_of(talking, damaged, damaged="keep"))


def test_non_square_pixels_do_not_distort_the_face(write, talking, chunks):
    """The same video, stored at half its width. Boxes and frame size refer to the displayed picture."""
    with av.open(str(talking)) as container:
        frames = [frame.to_ndarray(format="rgb24")[:, ::2] for frame in container.decode(video=0)]
    narrow = extract(write("narrow.mp4", frames, aspect=Fraction(2)))
    assert [len(chunk) for chunk in narrow] == [len(chunk) for chunk in chunks]
    for ours, theirs in zip(narrow, chunks, strict=True):
        assert ours.frame_size == theirs.frame_size == (400, 320)
        here, there = (
            apply_transform(invert_transform(chunk.crop_from_frame), chunk.landmarks.double())
            for chunk in (ours, theirs)
        )
        assert (here - there).norm(dim=-1).mean() < 0.1 * eye_distance(there).mean()


def test_a_missing_video_is_a_video_error(tmp_path):
    with pytest.raises(VideoError):
        extract(tmp_path / "none.mp4")
