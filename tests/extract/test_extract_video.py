"""Extraction of one video into memory."""

from __future__ import annotations

import pytest
import torch
from face_videos import empty_rooms, encode, faces

import mgst_data
from mgst_data.core import NoFaceError, UsageError
from mgst_data.core.geometry import apply_transform


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    """Tracks of a video with two faces."""
    frames = faces(40, (0, 20), (220, 40), size=(460, 280))
    return mgst_data.extract_video(encode(tmp_path_factory.mktemp("video") / "two.mp4", frames), size=96, device="cpu")


def test_every_face_has_boxes_scores_landmarks_and_crops(tracks):
    assert [track.id for track in tracks] == [0, 1]
    assert [len(track) for track in tracks] == [40, 40]
    for track in tracks:
        n = len(track)
        assert track.crops.shape == (n, 3, 96, 96)
        assert track.crops.dtype == torch.uint8
        assert track.landmarks.shape == (n, 68, 2)
        assert track.valid.shape == (n, 68)
        assert track.frame.tolist() == list(range(n))
        assert track.time.tolist() == pytest.approx([i / 25 for i in range(n)])
        assert (track.fps, track.frame_size) == (25.0, (460, 280))
        assert "crops of 96" in repr(track)


def test_the_transform_maps_the_crop_to_the_frame(tracks):
    for track in tracks:
        marks = apply_transform(track.frame_from_crop, track.landmarks.double())
        corner, end = track.boxes[:, None, :2], track.boxes[:, None, 2:]
        inside = ((marks > corner - 20) & (marks < end + 20)).all(dim=-1)
        assert inside.float().mean() > 0.95
        there = apply_transform(track.crop_from_frame, marks)
        torch.testing.assert_close(there.float(), track.landmarks, atol=1e-3, rtol=0)


def test_an_extraction_that_fails_gives_the_reason(tmp_path):
    with pytest.raises(NoFaceError, match="no face in 5 frames"):
        mgst_data.extract_video(encode(tmp_path / "room.mp4", empty_rooms(5)))
    with pytest.raises(UsageError, match=r"size must be in .* got 3"):
        mgst_data.extract_video(tmp_path / "room.mp4", size=3)
