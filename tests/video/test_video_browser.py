import pytest
from PIL import Image
from video_files import encode, plain_frames

from mgst_data.video.browser import plays_in_browsers


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "plays"),
    [
        ("a.mp4", "libx264", "yuv420p", True),
        ("a.MP4", "libx264", "yuv420p", True),
        ("a.webm", "libvpx", "yuv420p", True),
        ("a.mp4", "libx264", "yuv444p", False),
        ("a.mp4", "mpeg4", "yuv420p", False),
        ("a.mkv", "libx264", "yuv420p", False),
    ],
)
def test_browsers_play_common_codecs_in_common_containers(name, codec, pix_fmt, plays, tmp_path):
    path = encode(tmp_path / name, plain_frames(2), codec=codec, pix_fmt=pix_fmt)
    assert plays_in_browsers(path) == plays


def test_browsers_show_common_pictures_only(tmp_path):
    for suffix in ("png", "jpg", "webp", "tiff"):
        Image.new("RGB", (4, 4)).save(tmp_path / f"a.{suffix}")
    shown = [path.suffix for path in sorted(tmp_path.iterdir()) if plays_in_browsers(str(path))]
    assert shown == [".jpg", ".png", ".webp"]


def test_what_is_no_local_video_is_not_shown(tmp_path):
    (tmp_path / "text.mp4").write_text("not a video\n" * 50)
    (tmp_path / "folder.mp4").mkdir()
    for place in (tmp_path / "text.mp4", tmp_path / "folder.mp4", tmp_path / "none.mp4", "https://127.0.0.1:9/a.mp4"):
        assert not plays_in_browsers(str(place))
