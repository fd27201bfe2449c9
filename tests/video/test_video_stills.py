"""Single pictures of every format and pixel type, and files that are not pictures."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from mgst_data.core import VideoError
from mgst_data.video.stills import read_still

# Left half red, right half blue, in a picture that is wider than high.
COLOURS = np.zeros((40, 60, 3), np.uint8)
COLOURS[:, :30] = (200, 30, 20)
COLOURS[:, 30:] = (20, 30, 200)


def reason(path) -> str:
    with pytest.raises(VideoError) as caught:
        read_still(str(path))
    assert caught.value.hint
    return caught.value.reason


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "heic"])
def test_every_format_gives_the_same_colours(tmp_path, suffix):
    if suffix == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(COLOURS).save(path)
    still = read_still(str(path))
    assert still.rgb.shape == COLOURS.shape
    assert still.notes == ()
    inside = np.s_[5:35, [*range(5, 25), *range(35, 55)]]  # lossy formats blur the edge
    np.testing.assert_allclose(still.rgb[inside].astype(float), COLOURS[inside].astype(float), atol=12)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_the_orientation_of_exif_is_applied(tmp_path, suffix):
    path = tmp_path / f"turned.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the first row of the file is the right side of the picture
    Image.fromarray(COLOURS).save(path, exif=exif)
    rgb = read_still(str(path)).rgb
    assert rgb.shape == (60, 40, 3)
    assert rgb[10, 20, 0] > 150
    assert rgb[50, 20, 2] > 150


def grey16(value: int) -> Image.Image:
    return Image.fromarray(np.full((8, 8), value, np.uint16))


@pytest.mark.parametrize(
    ("name", "image", "expected"),
    [
        ("grey.png", Image.new("L", (8, 8), 77), (77, 77, 77)),
        ("bits.png", Image.new("1", (8, 8), 1), (255, 255, 255)),
        ("cmyk.jpg", Image.new("CMYK", (8, 8), (0, 255, 255, 0)), (255, 0, 0)),
        ("cmyk.tif", Image.new("CMYK", (8, 8), (0, 255, 255, 0)), (255, 0, 0)),
        ("deep.png", grey16(77 * 257), (77, 77, 77)),
        ("deep.tif", grey16(65535), (255, 255, 255)),
        ("solid.png", Image.new("RGBA", (8, 8), (10, 20, 30, 255)), (10, 20, 30)),
        ("clear.png", Image.new("RGBA", (8, 8), (10, 20, 30, 0)), (255, 255, 255)),
        ("half.webp", Image.new("RGBA", (8, 8), (0, 0, 0, 128)), (127, 127, 127)),
        ("grey_alpha.png", Image.new("LA", (8, 8), (0, 0)), (255, 255, 255)),
        ("palette.png", Image.new("P", (8, 8), 3), (3, 3, 3)),
    ],
)
def test_every_pixel_type_becomes_8_bit_rgb_on_white(tmp_path, name, image, expected):
    if image.mode == "P":
        image.putpalette([i for i in range(256) for _ in range(3)])
    image.save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
    rgb = read_still(str(tmp_path / name)).rgb
    assert rgb.dtype == np.uint8
    np.testing.assert_allclose(rgb.reshape(-1, 3), np.broadcast_to(expected, (64, 3)), atol=3)


def test_16_bit_colour_keeps_its_range(tmp_path):
    import cv2

    deep = np.full((8, 8, 3), (30 * 257, 20 * 257, 10 * 257), np.uint16)  # blue, green, red
    assert cv2.imwrite(str(tmp_path / "deep.png"), deep)
    assert read_still(str(tmp_path / "deep.png")).rgb[0, 0].tolist() == [10, 20, 30]


def test_of_several_pictures_the_first_is_read_with_a_note(tmp_path):
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    first.save(tmp_path / "two.tif", save_all=True, append_images=[second])
    still = read_still(str(tmp_path / "two.tif"))
    assert still.rgb[0, 0].tolist() == [255, 0, 0]
    assert still.notes == (("several_pictures", "the first of 2 pictures is used"),)


def test_the_reasons_of_files_that_cannot_be_read(tmp_path, monkeypatch):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    Image.fromarray(np.zeros((8, 8), np.float32)).save(tmp_path / "float.tif")
    assert reason(tmp_path / "half.jpg") == "truncated"
    assert reason(tmp_path / "text.jpg") == "not_a_picture"
    assert reason(tmp_path / "empty.png") == "empty_file"
    assert reason(tmp_path / "gone.png") == "missing"
    assert reason(tmp_path / "folder.png") == "not_a_file"
    assert reason(tmp_path / "float.tif") == "decode_error"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert reason(tmp_path / "whole.jpg") == "too_large"


def test_without_a_reader_heic_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "a.HEIC").write_bytes(b"any")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(VideoError, match=r"mgst\[heic\]") as caught:
        read_still(str(tmp_path / "a.HEIC"))
    assert caught.value.reason == "no_heic_reader"


def test_a_picture_can_be_a_url(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "picture.png")
    assert (read_still(f"file://{tmp_path}/picture.png").rgb == COLOURS).all()
    assert reason(f"file://{tmp_path}/gone.png") == "missing"
