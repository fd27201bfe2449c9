"""Reads one picture from a file or URL as upright 8-bit RGB.

Grey, CMYK and palette pictures are converted, 16 bits are reduced to 8. Transparent parts become white, as on a white
page. The orientation in the EXIF data is applied. Of a file with several pictures, the first one is read.
"""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from mgst_data.core import VideoError
from mgst_data.core.locations import HEIC_SUFFIXES
from mgst_data.video.files import cannot_open, open_bytes

# Everything that the decoders of Pillow raise for damaged files.
DECODE_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, ArithmeticError, struct.error,
    Image.DecompressionBombError,
)  # fmt: skip
# Number of pixels above which Pillow refuses a picture: twice the limit at which it warns. A file that is small on disk
# could otherwise fill the memory.
MOST_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 0)
# Formats of several pictures in which the others are previews or gain maps of the first one.
_WITH_PREVIEWS = ("MPO", "HEIF")


@dataclass(frozen=True, slots=True, eq=False)
class Still:
    """One picture.

    Attributes:
        rgb: Upright pixels, [0, 255].
        notes: Reason code and text, without the path, of every defect that did not prevent reading.
    """

    rgb: UInt8[np.ndarray, "h w 3"]
    notes: tuple[tuple[str, str], ...] = ()


def read_still(path: str) -> Still:
    """Reads a picture.

    Args:
        path: File or URL.

    Raises:
        VideoError: if it cannot be read. The reasons are missing, not_a_file, unreadable, empty_file, not_a_picture,
            no_heic_reader, too_large, truncated and decode_error.
    """
    if path.lower().endswith(HEIC_SUFFIXES):
        add_heic(path)
    try:
        with open_bytes(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, about metadata and very large pictures
            return _read(file)
    except FileNotFoundError as error:  # of a URL; for a file, open_bytes has its own error
        failure = cannot_open(path, error)
        raise failure from error
    except UnidentifiedImageError as error:
        hint = "the format is unknown, or the file ends within its header; check the file"
        raise VideoError("not a picture", where=path, hint=hint, reason="not_a_picture") from error
    except Image.DecompressionBombError as error:
        hint = f"more than {MOST_PIXELS / 1e6:.0f} million pixels; reduce its size first"
        raise VideoError("the picture is too large", where=path, hint=hint, reason="too_large") from error
    except DECODE_ERRORS as error:
        if "truncated" in str(error):
            hint = "copy or download it again"
            raise VideoError("the picture is truncated", where=path, hint=hint, reason="truncated") from error
        what = f"the picture cannot be decoded: {error}"
        raise VideoError(what, where=path, hint="check the file", reason="decode_error") from error


def _read(file: BinaryIO) -> Still:
    with Image.open(file) as image:
        image.load()
        notes = []
        if image.format not in _WITH_PREVIEWS and (count := getattr(image, "n_frames", 1)) > 1:
            notes.append(("several_pictures", f"the first of {count} pictures is used"))
        return Still(upright_rgb(image), tuple(notes))


def upright_rgb(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """Converts a picture of any mode to upright RGB with 8 bits.

    Raises:
        ValueError: if the values have no known range, as those of floating point pictures.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16-bit greyscale, which Pillow would clip at 255
        image = Image.fromarray((np.asarray(image) // 257).clip(0, 255).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating point pixels have no fixed range")
    if image.has_transparency_data:
        page = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(page, image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def add_heic(path: str) -> None:
    """Makes Pillow read HEIC.

    Raises:
        VideoError: if pillow-heif is not installed. The message names the extra.
    """
    try:
        import pillow_heif  # imported here, because it is optional
    except ImportError as error:
        hint = "install the extra: pip install 'mgst[heic]'; then use --retry-skipped no_heic_reader"
        raise VideoError("HEIC needs pillow-heif", where=path, hint=hint, reason="no_heic_reader") from error
    pillow_heif.register_heif_opener()
