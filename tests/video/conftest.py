"""A small undamaged video for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from video_files import encode, plain_frames


@pytest.fixture
def video(tmp_path: Path) -> str:
    """A video of twenty numbered frames with B-frames; its index is at the start of the file."""
    return encode(tmp_path / "video.mp4", plain_frames(20), options={"bf": "3"}, container={"movflags": "+faststart"})
