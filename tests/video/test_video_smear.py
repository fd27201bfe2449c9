"""Damaged frames and all frames that may be predicted from them are marked, and no others."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor
from video_files import drifting_frames, encode

from mgst_data.video import PyAVReader

# Key frames come every ten frames.
GROUP, COUNT = 10, 40


def read(path: Path, **options) -> tuple[UInt8[Tensor, "n 3 h w"], Tensor, Bool[Tensor, " n"]]:
    """Returns frames, their numbers in the undamaged video, and their marks."""
    batches = list(PyAVReader(**options).chunks(str(path), 8))
    assert torch.cat([batch.index for batch in batches]).tolist() == list(range(sum(map(len, batches))))
    times = torch.cat([batch.pts for batch in batches])
    return (
        torch.cat([batch.frames for batch in batches]),
        (times * 25).round().long(),
        torch.cat([batch.damaged for batch in batches]),
    )


def make(path: Path, *, bf: int = 3) -> Path:
    options = {"g": str(GROUP), "bf": str(bf), "qp": "18", "x264-params": "scenecut=0:threads=1:b-adapt=0"}
    return Path(encode(path, drifting_frames(COUNT), options=options))


def spoil(path: Path, frame: int, kind: str) -> None:
    """Damages the packet of the frame with this number in display order."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        shown = sorted(packets, key=lambda packet: packet.pts)
        place, size = shown[frame].pos, shown[frame].size
    data = bytearray(path.read_bytes())
    if kind == "bytes":
        middle = place + size // 2
        data[middle : middle + 12] = bytes(range(60, 72))
    if kind == "packet":
        data[place : place + size] = bytes(size)
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["bytes", "packet"])
@pytest.mark.parametrize("bf", [0, 3])
@pytest.mark.parametrize("frame", range(10, 20))
def test_every_damaged_frame_is_marked_and_no_other_group(tmp_path, kind, bf, frame):
    path = make(tmp_path / "a.mp4", bf=bf)
    whole, _, sound = read(path)
    assert not sound.any()
    spoil(path, frame, kind)
    frames, number, damaged = read(path)
    smeared = (frames.int() - whole[number].int()).abs().amax(dim=(1, 2, 3)) > 8
    assert not (smeared & ~damaged).any()
    # A lost packet may be reported while frames before it are still held.
    assert set(number[damaged].tolist()) <= set(range(10 - 2 * bf, 20))
    # No frame is predicted from the last frame of a group; if it is lost, no other frame is damaged.
    assert damaged.any() or frame not in number.tolist()


def test_every_damaged_frame_is_marked_with_several_threads(tmp_path):
    """With several threads, the decoder reports a loss later, but it returns the frames later, too."""
    path = make(tmp_path / "a.mp4")
    whole, _, _ = read(path)
    spoil(path, 14, "packet")
    frames, number, damaged = read(path, threads=3)
    smeared = (frames.int() - whole[number].int()).abs().amax(dim=(1, 2, 3)) > 8
    assert smeared.any()
    assert not (smeared & ~damaged).any()
    assert not damaged[number >= 30].any()


def test_without_a_later_key_frame_all_frames_are_marked(tmp_path):
    path = make(tmp_path / "a.mp4")
    spoil(path, 34, "bytes")
    _, number, damaged = read(path)
    assert number[damaged].tolist()[-1] == COUNT - 1


def test_only_the_end_of_a_truncated_file_is_marked(tmp_path):
    path = Path(
        encode(tmp_path / "a.mp4", drifting_frames(COUNT), options={"g": "10"}, container={"movflags": "+faststart"})
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    _, _, damaged = read(path)
    assert damaged.any()
    assert not damaged[: len(damaged) // 2].any()


def test_among_key_frames_only_the_damaged_one_is_marked(tmp_path):
    path = Path(encode(tmp_path / "a.mp4", drifting_frames(COUNT), options={"g": "1", "x264-params": "threads=1"}))
    spoil(path, 12, "bytes")
    _, number, damaged = read(path)
    assert number[damaged].tolist() == [12]
