"""Near-duplicates: copies are found, other videos are not."""

from __future__ import annotations

from dataclasses import replace

import av
import cv2
import numpy as np
import pytest
import torch
from face_shards import face_chunk
from people.people_shards import person_record, write_records

from mgst_data.core.geometry import flip_landmarks
from mgst_data.datasets import scan_dataset
from mgst_data.demo import render_demo
from mgst_data.extract import ExtractConfig, extract
from mgst_data.people import near_duplicates
from mgst_data.shards import FaceChunk, encode_image


def copy_of(record, kind: str) -> FaceChunk:
    """The chunk of the video ``original``, changed as ``kind`` says, under another name."""
    chunk = face_chunk(person_record("original"))
    frames = [np.ascontiguousarray(frame) for frame in chunk.frames()]
    landmarks = chunk.landmarks
    if kind == "mirrored":
        frames, landmarks = [np.ascontiguousarray(frame[:, ::-1]) for frame in frames], flip_landmarks(landmarks, 64)
    if kind == "blurred":
        frames = [cv2.resize(cv2.resize(f, (40, 40), interpolation=cv2.INTER_AREA), (64, 64)) for f in frames]
    coded = tuple(encode_image(frame, image_format="jpg", quality=40) for frame in frames)
    return replace(chunk, record=record, images=coded, image_format="jpg", landmarks=landmarks, landmarks_raw=landmarks)


def chunk_of_name(record) -> FaceChunk:
    kind = record.key.partition("_")[2]
    return copy_of(record, kind) if kind else face_chunk(record)


@pytest.fixture
def copies(tmp_path):
    names = ("original", "copy_coded", "copy_blurred", "copy_mirrored", "another", "stranger")
    return write_records(tmp_path / "copies", [person_record(name) for name in names], chunk=chunk_of_name)


def test_copies_are_found_and_others_are_not(copies):
    found = {duplicate.videos: duplicate.mirrored for duplicate in near_duplicates([copies], workers=1)}
    alike = ("copy_blurred", "copy_coded", "original")
    expected = {(a, b): False for i, a in enumerate(alike) for b in alike[i + 1 :]}
    expected |= {tuple(sorted((name, "copy_mirrored"))): True for name in alike}
    assert found == expected


def test_copies_are_found_between_folders(copies, tmp_path):
    other = write_records(tmp_path / "other", [person_record("x_mirrored")], chunk=chunk_of_name)
    found = near_duplicates([copies, other], workers=1)
    across = [duplicate for duplicate in found if "x_mirrored" in duplicate.videos]
    assert {duplicate.folders for duplicate in across} == {(str(copies), str(other))}
    assert len(across) == 4
    assert across[0].among([other, copies])[1] == (0, "x_mirrored")


def test_a_fake_and_its_paired_real_video_are_not_copies(tmp_path):
    fake = person_record("copy_coded", label=1, source="set/2", target="set/1")
    out = write_records(tmp_path / "pair", [person_record("original", target="set/1"), fake], chunk=chunk_of_name)
    assert near_duplicates([out], workers=1) == []
    stranger = replace(fake, target_key="set/3")
    out = write_records(tmp_path / "other", [person_record("original", target="set/1"), stranger], chunk=chunk_of_name)
    assert len(near_duplicates([out], workers=1)) == 1


def test_hashes_are_kept_and_do_not_depend_on_the_workers(copies, tmp_path):
    first = near_duplicates([copies], workers=1)
    kept = {path.name: path.read_bytes() for path in (copies / "people").iterdir()}
    assert len(kept) == 2
    for path in (copies / "people").iterdir():
        path.unlink()
    assert near_duplicates([copies], workers=2) == first
    assert {path.name: path.read_bytes() for path in (copies / "people").iterdir()} == kept
    calls: list[tuple[int, int]] = []
    near_duplicates([copies], workers=1, saw=lambda *at: calls.append(at))
    assert calls == [(0, 0)]


def write(path, frames, *, crf, size=None):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": str(crf)})
        frames = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) if size else frame for frame in frames]
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        out.mux(stream.encode(None))


@pytest.mark.slow
def test_copies_of_rendered_videos_are_found_among_people_who_look_alike(tmp_path):
    render_demo(tmp_path / "demo", people=6, frames=40)
    videos = sorted((tmp_path / "demo" / "original_sequences").rglob("*.mp4"))
    folder = tmp_path / "set" / "real"
    folder.mkdir(parents=True)
    for path in videos:
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        (folder / path.name).write_bytes(path.read_bytes())
        if path.stem in ("000", "003"):
            write(folder / f"{path.stem}_coded.mp4", frames, crf=34)
            write(folder / f"{path.stem}_small.mp4", frames, crf=26, size=(288, 216))
            write(folder / f"{path.stem}_cut.mp4", frames[11:31], crf=23)
            write(folder / f"{path.stem}_mirrored.mp4", [frame[:, ::-1] for frame in frames], crf=28)
    out = tmp_path / "shards"
    extract(scan_dataset(tmp_path / "set"), ExtractConfig(), out, executor="serial", device="cpu")
    found = {tuple(key.rsplit("__", 1)[-1] for key in d.videos): d.mirrored for d in near_duplicates([out], workers=1)}
    assert all(a[:3] == b[:3] for a, b in found)
    for name in ("000", "003"):
        copies = {f"{name}_{kind}" for kind in ("coded", "small", "cut", "mirrored")}
        with_original = {b: mirrored for (a, b), mirrored in found.items() if a == name}
        assert set(with_original) == copies
        assert [kind for kind, mirrored in with_original.items() if mirrored] == [f"{name}_mirrored"]


def test_a_picture_has_one_hash(tmp_path):
    def still(record):
        chunk = face_chunk(record)
        one = {
            name: getattr(chunk, name)[:1] for name in ("pts", "landmarks", "landmarks_raw", "valid", "boxes", "scores")
        }
        return replace(chunk, images=chunk.images[:1], damaged=torch.zeros(1, dtype=torch.bool),
                       frame_indices=torch.tensor([3]), **one)  # fmt: skip

    out = write_records(tmp_path / "a", [person_record("same"), person_record("other")], chunk=still)
    assert near_duplicates([out], workers=1) == []
    again = write_records(tmp_path / "b", [person_record("same")], chunk=still)
    (found,) = near_duplicates([out, again], workers=1)
    assert found.videos == ("same", "same")
    assert found.share == 1.0
