"""Videos with several faces, where one of them may be manipulated; and frames that are not consecutive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from face_videos import encode
from fakes import chunk_of, record_of
from PIL import Image

from mgst_data.core import NoFaceError, VideoRecord
from mgst_data.demo.film import METHODS, Person, swap
from mgst_data.extract import ExtractConfig, Extraction, Extractor
from mgst_data.extract.survey import TrackSurvey
from mgst_data.shards import FaceChunk
from mgst_data.shards.images import encode_mask

FRAMES, SIZE = 10, (192, 180)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Renders two people side by side; the face of the one on the right, who is smaller, is swapped. Writes masks."""
    folder = tmp_path_factory.mktemp("two")
    left, target, source = (Person(n, seed=0, frames=FRAMES, fps=25, size=SIZE) for n in (0, 1, 2))
    random = np.random.default_rng(0)
    fakes, masks = zip(*swap(target, source, target.film(), METHODS["Deepfakes"], random), strict=True)
    grey = [cv2.cvtColor(np.round(255 * mask).astype(np.uint8), cv2.COLOR_GRAY2RGB) for mask in masks]
    black = [np.zeros_like(mask) for mask in grey]
    encode(folder / "fake.mp4", scene(list(left.film()), fakes))
    encode(folder / "mask.mp4", scene(black, grey))
    encode(folder / "empty.mp4", scene(black, black))
    return folder


def scene(left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Puts two videos side by side, the right one at five sixths of its size."""
    small = [cv2.resize(picture, (160, 150), interpolation=cv2.INTER_AREA) for picture in right]
    framed = [cv2.copyMakeBorder(picture, 15, 15, 0, 0, cv2.BORDER_REPLICATE) for picture in small]
    return [np.concatenate(pair, axis=1) for pair in zip(left, framed, strict=True)]


def fake(two: Path, mask: str = "", *, label: int = 1) -> VideoRecord:
    path = two / "fake.mp4"
    method = "Deepfakes" if label else "real"
    return VideoRecord("v", str(path), path.name, "set", "", label, method, mask_path=str(two / mask) if mask else "")


def run(record: VideoRecord, **options) -> tuple[list[FaceChunk], Extraction]:
    extraction = Extractor(ExtractConfig(**options))(record)
    return list(extraction), extraction


def middle(chunk: FaceChunk) -> float:
    """Returns the column of the middle of the face, pixels of the video."""
    return float((chunk.boxes[0, ::2].mean() - chunk.crop_from_frame[0, 2]) / chunk.crop_from_frame[0, 0])


def test_only_the_face_under_the_mask_is_labelled_fake(two):
    chunks, extraction = run(fake(two, "mask.mp4"), masks=True)
    assert {chunk.track for chunk in chunks} == {chunks[0].track}
    assert middle(chunks[0]) > SIZE[0]
    assert sum(map(len, chunks)) == FRAMES
    ((reason, text),) = extraction.notes
    assert reason == "unchanged_face"
    assert "1 of 2 face tracks left out" in text
    assert extraction.tracks == 1


def test_the_main_face_is_chosen_among_the_manipulated_ones(two):
    (largest, *_), _ = run(fake(two), tracks="main")
    (manipulated, *_), _ = run(fake(two, "mask.mp4"), masks=True, tracks="main")
    assert middle(largest) < SIZE[0] < middle(manipulated)


def test_without_a_mask_the_report_says_that_the_label_may_belong_to_another_face(two):
    for options in ({}, {"tracks": "main"}):
        _, extraction = run(fake(two), **options)
        ((reason, text),) = extraction.notes
        assert reason == "several_faces"
        assert f"2 face tracks in a fake video without a mask, {FRAMES} frames with several faces" in text


def test_several_faces_of_a_real_video_need_no_note(two):
    chunks, extraction = run(fake(two, label=0))
    assert len({chunk.track for chunk in chunks}) == 2
    assert extraction.notes == []


def test_a_video_whose_mask_covers_no_face_is_skipped(two):
    with pytest.raises(NoFaceError, match="none of 2 faces overlaps the manipulation mask") as error:
        run(fake(two, "empty.mp4"), masks=True)
    assert error.value.reason == "no_manipulated_face"


def test_a_mask_that_cannot_be_read_is_no_mask(two):
    chunks, extraction = run(fake(two, "missing.mp4"), masks=True)
    assert len({chunk.track for chunk in chunks}) == 2
    assert [reason for reason, _ in extraction.notes] == ["mask_unreadable", "several_faces"]


def masked(track: int, share: float, *, frames: int = 4, untouched: int = 0) -> FaceChunk:
    """Makes a chunk whose masks cover a share of the face box in all frames but the first ``untouched``."""
    chunk = chunk_of(record_of("v", label=1), 0, t=frames)
    mask = np.zeros((16, 16), np.uint8)
    mask[2:14, 2 : 2 + round(12 * share)] = 255
    masks = [np.zeros_like(mask)] * untouched + [mask] * (frames - untouched)
    return replace(chunk, track=track, masks=tuple(encode_mask(picture) for picture in masks))


@pytest.mark.parametrize(
    ("chunks", "manipulated"),
    [
        ([masked(0, 0.5), masked(1, 0)], {0}),
        ([masked(0, 0.5), masked(1, 1 / 6)], {0}),  # its box contains a part of the mask of its neighbour
        ([masked(0, 0.5), masked(1, 0.5)], {0, 1}),
        ([masked(0, 0.5, untouched=2), masked(1, 0)], {0}),  # half of its frames are not manipulated
        ([masked(0, 0), masked(1, 0)], set()),
        ([chunk_of(record_of("v", label=1), 0)], {0}),  # no frame has a mask
        ([masked(0, 0.5), replace(chunk_of(record_of("v", label=1), 0), track=1)], {0}),  # track 1 came after the masks
    ],
)
def test_a_track_is_manipulated_if_the_mask_covers_its_boxes(chunks, manipulated):
    survey = TrackSurvey(record_of("v", label=1), by_mask=True)
    assert list(survey.watch(chunks)) == chunks
    assert survey.manipulated() == manipulated


@pytest.mark.parametrize(("step", "noted"), [(2, ["spread_frames"]), (1, [])])
def test_a_folder_of_frames_with_gaps_gives_a_note(tmp_path, step, noted):
    person = Person(0, seed=0, frames=12, fps=25, size=SIZE)
    for n, frame in enumerate(person.film()):
        Image.fromarray(frame).save(tmp_path / f"{n * step:03d}.png")
    record = VideoRecord("v", str(tmp_path), "frames/v", "set", "", 0, "real")
    chunks, extraction = run(record)
    assert [reason for reason, _ in extraction.notes] == noted
    assert sum(map(len, chunks)) == 12
    if step > 1:
        assert "12 frames with 11 gaps between their numbers give 12 chunks of 1 frame" in extraction.notes[0][1]
        assert torch.cat([chunk.frame_indices for chunk in chunks]).tolist() == list(range(0, 24, 2))
