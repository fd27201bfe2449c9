"""A tiny video for every test that needs a sound one."""

from __future__ import annotations

from pathlib import Path

import pytest
from video_files import encode, plain_frames


@pytest.fixture
def video(tmp_path: Path) -> str:
    """Twenty numbered frames with B-frames between them, index at the front."""
    return encode(tmp_path / "video.mp4", plain_frames(20), options={"bf": "3"}, container={"movflags": "+faststart"})
