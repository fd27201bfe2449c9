"""Prepared crops are used as they are if their landmarks are good; otherwise their faces are detected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import prepared_crops as crops
import pytest
import torch
from click.testing import CliRunner
from mgst_cli.data import data

from mgst_data.core import NoFaceError, VideoRecord
from mgst_data.core.records import Detections
from mgst_data.datasets import scan_dataset
from mgst_data.extract import ExtractConfig, Extraction, Extractor, extract
from mgst_data.shards import ShardReader
from mgst_data.shards.schema import FaceChunk, encode_chunk, verify_sample

SPREAD = range(3, 36, 3)
PNG = ExtractConfig(image_format="png")


class No:
    """Stands in for a model that must not run."""

    def __call__(self, *_: object) -> Detections:
        raise AssertionError("a face was detected")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    crops.write_video(tmp_path, "v", SPREAD)
    return tmp_path


def record(folder: Path, **changes) -> VideoRecord:
    frames, landmarks = folder / "frames/v", folder / "landmarks/v"
    fields = {"key": "v", "path": str(frames), "video": "frames/v", "dataset": "set", "split": "", "label": 0}
    return VideoRecord(**{**fields, "method": "real", "landmarks_path": str(landmarks), **changes})


def run(record: VideoRecord, config: ExtractConfig = PNG, **models) -> tuple[list[FaceChunk], Extraction]:
    extractor = Extractor(config)
    for name, model in models.items():
        setattr(extractor, name, model)
    extraction = extractor(record)
    return list(extraction), extraction


def reasons(extraction: Extraction) -> list[str]:
    return [reason for reason, _ in extraction.notes]


def test_good_crops_and_landmarks_are_stored_as_they_are_without_a_detection(video):
    chunks, extraction = run(record(video), detector=No())
    assert extraction.prepared == extraction.frames == len(SPREAD)
    for chunk, n in zip(chunks, SPREAD, strict=True):
        picture, points = crops.crop(n)
        np.testing.assert_array_equal(next(chunk.frames()), picture)
        np.testing.assert_array_equal(chunk.landmarks[0].numpy(), points[:68].round().astype(np.float32))
        assert chunk.valid.all()
        assert verify_sample(encode_chunk(chunk)) == []
        # The box of O-Net contains the eyes and the mouth, and not much more than the face.
        box, middle = chunk.boxes[0], chunk.landmarks[0, 36:].mean(dim=0)
        assert (box[:2] < middle).all()
        assert (middle < box[2:]).all()
        assert 0.3 < float(box[3] - box[1]) / crops.SIDE < 0.9
        assert float(chunk.scores) > 0.9


def test_spread_frames_are_single_chunks_with_their_numbers_and_a_note(video):
    chunks, extraction = run(record(video))
    assert [chunk.frame_indices.tolist() for chunk in chunks] == [[n] for n in SPREAD]
    assert [chunk.chunk for chunk in chunks] == list(range(len(SPREAD)))
    ((reason, text),) = extraction.notes
    assert reason == "spread_frames"
    assert "11 frames with 10 gaps between their numbers give 11 chunks of 1 frame" in text


def test_consecutive_frames_become_chunks(tmp_path):
    crops.write_video(tmp_path, "v", range(5, 25))
    chunks, extraction = run(record(tmp_path), ExtractConfig(frames=8), detector=No())
    assert [chunk.frame_indices.tolist() for chunk in chunks] == [[*range(5, 13)], [*range(13, 21)], [*range(21, 25)]]
    assert reasons(extraction) == []
    assert extraction.prepared == 20


def test_smaller_crops_are_reduced_together_with_their_landmarks(video):
    (chunk, *_), _ = run(record(video), ExtractConfig(size=128))
    (whole, *_), _ = run(record(video))
    assert chunk.crop_size == next(chunk.frames()).shape[0] == 128
    # Pixel centres are whole numbers: column 0 of the small crop is between columns 0 and 1.
    torch.testing.assert_close(chunk.landmarks, (whole.landmarks + 0.5) / 2 - 0.5)
    torch.testing.assert_close(chunk.boxes, (whole.boxes + 0.5) / 2 - 0.5)


def change(video: Path, edit) -> None:
    """Changes the landmarks of one frame."""
    path = video / "landmarks/v/015.npy"
    np.save(path, edit(np.load(path).astype(float)))


@pytest.mark.parametrize(
    ("edit", "doubt"),
    [
        (lambda points: points * np.nan, "frame 15: the landmarks are not finite"),
        (lambda points: points + np.array([150, 0]), "frame 15: the landmarks are outside the picture"),
        (lambda points: points * 0.2 + 100, "frame 15: the landmarks are of an implausible size"),
        (
            lambda points: points * [1, 0.2] + np.array([0, 100]),
            "frame 15: the landmarks are not in the shape of a face",
        ),
        (lambda points: 255 - points, "frame 15: the landmarks are not in the shape of a face"),
        (
            lambda points: points + np.array([18, 10]),
            "frame 15: the landmarks disagree with those of the landmark model",
        ),
        (lambda points: points[:5], "015.npy: has the shape (5, 2)"),
        (lambda points: points[:68], "015.npy: has 68 landmarks, other frames have 81"),
        (lambda points: points[None], "015.npy: has the shape (1, 81, 2)"),
    ],
)
def test_bad_landmarks_of_one_frame_are_not_used(video, edit, doubt):
    change(video, edit)
    chunks, extraction = run(record(video))
    assert extraction.prepared == 0
    assert doubt in dict(extraction.notes)["landmarks_not_used"]
    # The faces are detected in the same frames, without a gap.
    assert [chunk.frame_indices.tolist() for chunk in chunks] == [[n] for n in SPREAD]
    assert extraction.frames == len(SPREAD)


@pytest.mark.parametrize(("content", "doubt"), [(None, "not found"), (b"", "cannot"), (b"\x93NUMPY", "cannot be read")])
def test_a_missing_or_broken_file_of_landmarks_is_named(video, content, doubt):
    path = video / "landmarks/v/030.npy"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    chunks, extraction = run(record(video))
    assert len(chunks) == len(SPREAD)
    assert f"030.npy: {doubt}" in dict(extraction.notes)["landmarks_not_used"]


def test_crops_that_are_not_square_are_not_used(tmp_path):
    for n in SPREAD:
        crops.write_video(tmp_path, "v", [n])
        crops.save(tmp_path / f"frames/v/{n:03d}.png", crops.crop(n)[0][:, 8:])
    _, extraction = run(record(tmp_path))
    assert "not square (248x256)" in dict(extraction.notes)["landmarks_not_used"]


def test_pictures_without_a_face_are_not_used_whatever_their_landmarks(tmp_path):
    crops.write_video(tmp_path, "v", SPREAD)
    for n in SPREAD:
        crops.save(tmp_path / f"frames/v/{n:03d}.png", np.full((256, 256, 3), 90 + n, np.uint8))
    with pytest.raises(NoFaceError):
        run(record(tmp_path))


class Model81:
    """A landmark model of 81 points, which knows where they are."""

    name = "81 points"

    def __call__(self, frames: torch.Tensor, found: Detections) -> torch.Tensor:
        points = torch.from_numpy(np.stack([crops.crop(SPREAD[i])[1] for i in found.frame.tolist()]))
        return points.float()


def test_81_landmarks_are_kept_for_a_model_of_81(video):
    chunks, _ = run(record(video), landmarks=Model81())
    np.testing.assert_array_equal(chunks[1].landmarks[0].numpy(), crops.crop(SPREAD[1])[1].round().astype(np.float32))


def test_68_landmarks_are_not_enough_for_a_model_of_81(video):
    for path in (video / "landmarks/v").iterdir():
        np.save(path, np.load(path)[:68])
    extraction = Extractor(PNG)(record(video))
    assert extraction.extractor.landmarks.count == 68
    assert len(list(extraction)) == extraction.prepared == len(SPREAD)
    extraction = Extractor(PNG)(record(video))
    extraction.extractor.landmarks = Model81()
    list(extraction)
    assert "there are 68 landmarks, and the landmark model has 81" in dict(extraction.notes)["landmarks_not_used"]


def test_a_short_video_is_skipped_as_in_every_extraction(tmp_path):
    crops.write_video(tmp_path, "v", range(0, 12, 3))
    with pytest.raises(NoFaceError, match="8 consecutive frames") as error:
        run(record(tmp_path))
    assert error.value.reason == "faces_too_brief"


def test_a_damaged_crop_is_left_out_with_a_note(video):
    (video / "frames/v/012.png").write_bytes(b"\x89PNG broken")
    chunks, extraction = run(record(video), detector=No())
    assert [int(chunk.frame_indices) for chunk in chunks] == [n for n in SPREAD if n != 12]
    assert "corrupt_frames" in reasons(extraction)


def test_masks_belong_to_the_frames_with_their_number(tmp_path):
    crops.write_video(tmp_path, "v", SPREAD, masks=True)
    (tmp_path / "masks/v/009.png").unlink()
    fake = record(tmp_path, label=1, method="Deepfakes", mask_path=str(tmp_path / "masks/v"))
    chunks, extraction = run(fake, ExtractConfig(masks=True), detector=No())
    assert [int(chunk.frame_indices) for chunk in chunks if not chunk.masks] == [9]
    assert "no mask of frame 9" in dict(extraction.notes)["mask_short"]
    np.testing.assert_array_equal(next(chunks[0].mask_frames()), crops.mask())


def test_a_crop_that_the_mask_does_not_touch_is_not_labelled_fake(tmp_path):
    crops.write_video(tmp_path, "v", SPREAD, masks=True)
    for path in (tmp_path / "masks/v").iterdir():
        crops.save(path, np.zeros((256, 256), np.uint8))
    fake = record(tmp_path, label=1, method="Deepfakes", mask_path=str(tmp_path / "masks/v"))
    with pytest.raises(NoFaceError) as error:
        run(fake, ExtractConfig(masks=True))
    assert error.value.reason == "no_manipulated_face"


def test_a_tree_of_deepfakebench_becomes_shards(tmp_path):
    root = crops.write_bench(tmp_path / "bench", range(0, 24, 3))
    bad = root / "FaceForensics++/original_sequences/youtube/c23/landmarks/002/006.npy"
    np.save(bad, np.load(bad) + 40)
    config = ExtractConfig(masks=True, image_format="png")
    summaries = [
        extract(scan_dataset(root, masks=True), config, tmp_path / name, executor=executor, device="cpu")
        for name, executor in (("one", "serial"), ("two", "process"))
    ]
    total = summaries[0].totals
    assert (total.overall.videos, total.overall.images, total.overall.prepared) == (4, 32, 24)
    assert total.label["fake"].prepared == 16
    assert total.notes["landmarks_not_used"] == ("FaceForensics++/original_sequences/youtube/c23/frames/002",)
    assert len(total.notes["spread_frames"]) == 4
    for name in ("train-000000.tar", "test-000000.tar"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    shown = CliRunner().invoke(data, ["inspect", str(tmp_path / "one"), "--verify"])
    assert "prepared crops: 24 of 32; 1 video detected" in shown.output
    assert "verified 32 samples: no problems" in shown.output
    fakes = [chunk for chunk in ShardReader.open(tmp_path / "one") if chunk.record.label]
    assert {(chunk.record.method, chunk.record.compression, len(chunk.masks)) for chunk in fakes} == {
        ("Deepfakes", "c23", 1)
    }
    assert fakes[0].models["detector"] == "none (prepared crops)"
