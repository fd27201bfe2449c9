"""Still pictures: faces in batches, tracks of one frame, reports, resume within a block."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from face_videos import empty_rooms, faces
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mgst_data.core import NoFaceError, VideoRecord
from mgst_data.core.geometry import apply_transform, invert_transform, paired_iou
from mgst_data.datasets import scan_dataset
from mgst_data.extract import ExtractConfig, ExtractJob, Extractor, extract, is_still, job, shard_size
from mgst_data.extract.executors import Loss
from mgst_data.extract.stills import StillBatch, padded, padded_size
from mgst_data.shards import FaceChunk, ShardStore, ShardTask, encode_chunk
from mgst_data.shards.schema import verify_sample

# Width, height and place of the head in pictures of several sizes, with heads of several sizes.
SIZES = ((240, 240, 200), (320, 250, 240), (200, 330, 190), (500, 400, 360), (260, 245, 210))


def still(folder: Path, name: str, rgb: np.ndarray, **changes) -> VideoRecord:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.png"
    Image.fromarray(rgb).save(path)
    fields = {"key": name, "path": str(path), "video": path.name, "dataset": "set", "split": "", "label": 0}
    return VideoRecord(**{**fields, "method": "real", **changes})


def portrait(width: int, height: int, side: int) -> np.ndarray:
    return faces(1, ((width - side) // 2, (height - side) // 2), size=(width, height), side=side)[0]


def two_faces() -> np.ndarray:
    """A small face on the left and a large one on the right."""
    left, right = portrait(240, 320, 150), portrait(340, 320, 300)
    return np.concatenate((left, right), axis=1)


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return Extractor(ExtractConfig())


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> list[VideoRecord]:
    folder = tmp_path_factory.mktemp("photos")
    portraits = [still(folder, f"p{i}", portrait(*size)) for i, size in enumerate(SIZES)]
    (folder / "broken.png").write_bytes(b"no picture")
    broken = VideoRecord("broken", str(folder / "broken.png"), "broken.png", "set", "", 0, "real")
    empty = still(folder, "empty", empty_rooms(1)[0])
    return [*portraits[:2], broken, empty, *portraits[2:], still(folder, "pair", two_faces())]


def batch_of(extractor: Extractor, records: list[VideoRecord]) -> StillBatch:
    batch = StillBatch(extractor)
    for record in records:
        batch.read(record)
    return batch


def chunks_of(extractor: Extractor, record: VideoRecord, **options) -> list[FaceChunk]:
    extractor = extractor.with_config(ExtractConfig(**options))
    return list(batch_of(extractor, [record]).extraction(record))


def test_a_batch_of_mixed_sizes_finds_the_same_faces_as_each_picture_alone(extractor, records):
    readable = [record for record in records if record.key != "broken"]
    batch = batch_of(extractor, readable)
    for record in readable:
        together, alone = batch.faces(record), batch_of(extractor, [record]).faces(record)
        assert len(together) == len(alone) == {"empty": 0, "pair": 2}.get(record.key, 1)
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a.boxes, b.boxes, rtol=0, atol=1e-3)
            torch.testing.assert_close(a.landmarks, b.landmarks, rtol=0, atol=1e-3)


def test_the_models_see_a_picture_when_it_or_one_of_its_size_is_asked_for(extractor, records, tmp_path, monkeypatch):
    seen = []
    find = StillBatch._find
    monkeypatch.setattr(StillBatch, "_find", lambda self, keys: seen.append({*keys}) or find(self, keys))
    huge = still(tmp_path / "huge", "huge", portrait(900, 900, 300))
    batch = batch_of(extractor, [records[0], huge, records[1]])
    batch.faces(records[0])
    assert all("huge" not in keys for keys in seen)  # if it ended the process, another picture would be blamed
    for record in (huge, records[1], records[0]):
        batch.faces(record)
    assert sorted(key for keys in seen for key in keys) == sorted(["huge", records[0].key, records[1].key])


def test_a_picture_gives_the_faces_of_a_video_of_one_frame(extractor, records):
    video = list(extractor.with_config(ExtractConfig(min_frames=1))(records[0]))
    (ours,) = chunks_of(extractor, records[0])
    size = float((ours.boxes[:, 2:] - ours.boxes[:, :2]).max())
    assert float((video[0].landmarks - ours.landmarks).abs().max()) < 0.03 * size
    assert float(paired_iou(video[0].boxes, ours.boxes)) > 0.95
    assert video[0].frame_indices.tolist() == ours.frame_indices.tolist() == [0]


def test_a_still_is_an_ordinary_sample(extractor, records):
    (chunk,) = chunks_of(extractor, records[1])
    assert verify_sample(encode_chunk(chunk)) == []
    assert (len(chunk), chunk.fps, chunk.pts.tolist(), chunk.frame_size) == (1, 0.0, [0.0], (320, 250))
    assert chunk.valid.all()
    low, high = chunk.boxes[0, :2], chunk.boxes[0, 2:]
    assert ((chunk.landmarks > low - 20) & (chunk.landmarks < high + 20)).all()


def test_the_crop_shows_the_picture_without_the_padding_of_its_batch(extractor, records):
    large, small = records[5], records[0]
    batch = batch_of(extractor, [large, small])
    (chunk,) = batch.extraction(small)
    (alone,) = chunks_of(extractor, small)
    assert chunk.frame_size == alone.frame_size == (240, 240)
    assert chunk.crop_size == alone.crop_size


@pytest.mark.parametrize(("options", "kept"), [({}, [0, 1]), ({"tracks": "main"}, [0]), ({"chunks": 1}, [0])])
def test_several_faces_are_several_tracks_and_selections_keep_the_largest(extractor, records, options, kept):
    everything = chunks_of(extractor, records[-1])
    assert sorted(chunk.track for chunk in everything) == [0, 1]
    assert [chunk.chunk for chunk in everything] == [0, 0]
    by_size = sorted(everything, key=lambda chunk: -chunk.face_area)
    chosen = chunks_of(extractor, records[-1], **options)
    assert {chunk.key for chunk in chosen} == {by_size[i].key for i in kept}


def test_the_reasons_of_pictures_without_a_usable_face(extractor, records, tmp_path):
    def reason(record: VideoRecord, **options) -> str:
        with pytest.raises(NoFaceError) as caught:
            chunks_of(extractor, record, **options)
        return caught.value.reason

    assert reason(next(record for record in records if record.key == "empty")) == "no_face"
    small = still(tmp_path, "small", portrait(240, 240, 80))  # a face of about 32 pixels
    assert reason(small) == "faces_too_small"
    assert reason(records[0], min_score=1.0) == "unclear_faces"


def run(folder: Path, records: list[VideoRecord], *, stop_after: int | None = None, lost=None):
    """Runs a job, or closes it after some reports. Returns the reports of the videos and of the shard."""
    folder.mkdir(exist_ok=True)
    events = ExtractJob(ExtractConfig(), ShardStore.at(folder))(ShardTask("all-000000", tuple(records)), lost or {})
    reports = []
    for event in events:
        if hasattr(event, "reason") or hasattr(event, "files"):
            reports.append(event)
        if stop_after is not None and len(reports) == stop_after:
            events.close()
            return reports, None
    return reports[:-1], reports[-1]


def test_every_picture_has_its_own_report(records, tmp_path):
    videos, shard = run(tmp_path / "a", records)
    assert [video.key for video in videos] == [record.key for record in records]
    assert {video.key: video.reason for video in videos if video.skipped} == {
        "broken": "not_a_picture", "empty": "no_face",
    }  # fmt: skip
    assert all(video.message.startswith(video.video) for video in videos if video.skipped)
    assert [video.tracks for video in videos] == [1, 1, 0, 0, 1, 1, 1, 2]
    assert sum(video.frames for video in videos) == 7
    assert sum(sample.frames for sample in shard.samples) == 7


@pytest.mark.parametrize("stop_after", [1, 3, 6])
def test_an_interrupted_block_continues_bit_identically(records, tmp_path, stop_after):
    _, whole = run(tmp_path / "whole", records)
    run(tmp_path / "parts", records, stop_after=stop_after)
    videos, resumed = run(tmp_path / "parts", records)
    assert resumed.files == whole.files
    assert [video.key for video in videos] == [record.key for record in records]


def test_a_picture_that_ended_its_workers_is_not_opened_again(records, tmp_path, monkeypatch):
    opened = []
    read = StillBatch.read
    monkeypatch.setattr(StillBatch, "read", lambda self, record: opened.append(record.key) or read(self, record))
    run(tmp_path, records, stop_after=3, lost={"p1": Loss("worker_died", "the worker process was killed")})
    videos, _ = run(tmp_path, records)
    assert "p1" not in opened
    assert [video.reason for video in videos][:3] == ["", "worker_died", "not_a_picture"]
    assert videos[1].message.startswith("p1.png: the worker process was killed")


def test_an_unexpected_error_skips_one_picture(records, tmp_path, monkeypatch):
    read = StillBatch.read

    def broken(self: StillBatch, record: VideoRecord) -> None:
        if record.key == "p1":
            raise ZeroDivisionError("division by zero")
        read(self, record)

    monkeypatch.setattr(StillBatch, "read", broken)
    videos, _ = run(tmp_path, records)
    assert {video.key: video.reason for video in videos if video.skipped} == {
        "p1": "internal_error", "broken": "not_a_picture", "empty": "no_face",
    }  # fmt: skip


def test_an_unexpected_error_of_the_models_is_not_taken_for_pictures_without_faces(records, tmp_path, monkeypatch):
    def broken(self: StillBatch, keys: list[str]) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(StillBatch, "_find", broken)
    videos, _ = run(tmp_path, records)
    assert {video.reason for video in videos} == {"internal_error", "not_a_picture"}


def test_finished_blocks_are_not_read_again(records, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "BLOCK", 3)
    run(tmp_path, records, stop_after=4)
    opened = []
    read = StillBatch.read
    monkeypatch.setattr(StillBatch, "read", lambda self, record: opened.append(record.key) or read(self, record))
    run(tmp_path, records)
    assert opened == [record.key for record in records[3:]]


def test_pictures_have_masks_on_request(extractor, tmp_path):
    mask = np.zeros((240, 240), np.uint8)
    mask[:, 120:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    record = still(tmp_path, "fake", portrait(*SIZES[0]), label=1, method="swap", mask_path=str(tmp_path / "mask.png"))
    (chunk,) = chunks_of(extractor, record, masks=True)
    (masked,) = chunk.mask_frames()
    to_frame = invert_transform(chunk.crop_from_frame)
    middle = chunk.crop_size // 2
    for x in range(10, chunk.crop_size - 10, 5):
        column = float(apply_transform(to_frame, torch.tensor([[float(x), float(middle)]], dtype=torch.float64))[0, 0])
        if abs(column - 119.5) > 2 and 0 < column < 239:
            assert masked[middle, x] == (255 if column > 119.5 else 0)
    assert chunks_of(extractor, record)[0].masks == ()


def test_a_table_may_list_pictures_beside_videos_of_frames(records, tmp_path):
    folder = tmp_path / "frames.png"
    folder.mkdir()
    with (tmp_path / "list.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerows([("path", "label"), (records[0].path, 0), (folder, 1), ("https://a.b/c.JPG?size=1", 0)])
    scan = scan_dataset(tmp_path / "list.csv")
    assert {record.path: is_still(record) for record in scan.records} == {
        records[0].path: True, str(folder): False, "https://a.b/c.JPG?size=1": True,
    }  # fmt: skip
    assert shard_size([record for record in scan.records if is_still(record)]) > shard_size(scan.records)


@pytest.mark.slow
def test_shards_do_not_depend_on_the_number_of_workers(records, tmp_path):
    scan = scan_dataset(Path(records[0].path).parent, layout="images")
    files = []
    for executor, workers in (("serial", 1), ("process", 2)):
        out = tmp_path / executor
        extract(scan, ExtractConfig(), out, executor=executor, workers=workers, device="cpu", videos_per_shard=3)
        files.append({path.name: path.read_bytes() for path in out.glob("*.tar")})
    assert len(files[0]) == 3
    assert files[0] == files[1]


@given(st.tuples(st.integers(1, 20_000), st.integers(1, 20_000)))
def test_a_padded_size_depends_on_one_picture_and_wastes_little(size):
    for side, larger in zip(size, padded_size(size), strict=True):
        assert side <= larger <= 1.19 * side + 1
    assert len({padded_size((side, side)) for side in range(256, 1024)}) <= 9


def test_padding_keeps_coordinates():
    small, large = np.full((110, 115, 3), 7, np.uint8), np.full((112, 128, 3), 9, np.uint8)
    frames = padded([small, large])
    assert frames.shape == (2, 3, *padded_size((112, 128)))
    assert (frames[0, :, :110, :115] == 7).all()
    assert int(frames[0].sum()) == 7 * 110 * 115 * 3
    assert frames.is_contiguous(memory_format=torch.channels_last)


def test_real_pictures_have_the_same_faces_alone_and_in_a_batch(clips, extractor):
    paths = sorted(path for path in (clips / "stills").rglob("*.jpg"))[::68]
    records = [VideoRecord.unlabelled(str(path), key=f"k{i}") for i, path in enumerate(paths)]
    batch = batch_of(extractor, records)
    for record in records:
        a, b = (
            torch.cat([torch.zeros(0, 4), *(face.boxes for face in faces)])
            for faces in (batch.faces(record), batch_of(extractor, [record]).faces(record))
        )
        torch.testing.assert_close(a, b, rtol=0, atol=1e-3)
