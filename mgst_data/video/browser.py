"""Which files a web browser shows without conversion."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from mgst_data.core import VideoError
from mgst_data.core.locations import is_picture, is_url
from mgst_data.video.pyav import open_container, video_stream

# By suffix: the codecs that all common browsers decode. Other containers, such as MKV, AVI and MOV, play in some only.
_VIDEOS = {".mp4": ("h264",), ".m4v": ("h264",), ".webm": ("vp8", "vp9")}
# 8 bits and 4:2:0: with other formats of the pixels, most browsers cannot decode H.264.
_PIXELS = ("yuv420p", "yuvj420p")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")


def plays_in_browsers(path: str) -> bool:
    """Returns whether all common browsers show a local video or picture. Only the header of a video is read.

    Args:
        path: Path or URL. For a URL the answer is always no: a page that shows it would need the network.
    """
    if is_url(path) or not Path(path).is_file():
        return False
    suffix = Path(path).suffix.lower()
    if is_picture(path):
        return suffix in _PICTURES
    if suffix not in _VIDEOS:
        return False
    try:
        with ExitStack() as stack:
            found = video_stream(open_container(path, stack), path).codec_context
            return found.codec.canonical_name in _VIDEOS[suffix] and found.pix_fmt in _PIXELS
    except VideoError:
        return False
