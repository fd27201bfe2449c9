"""Reads frames that are stored as images: one file, a folder, or an archive of folders."""

from __future__ import annotations

import gzip
import re
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from mgst_data.core import VideoError
from mgst_data.core.locations import HEIC_SUFFIXES, PICTURE_SUFFIXES, is_url
from mgst_data.video.batches import Picture
from mgst_data.video.damage import CORRUPT_FRAMES
from mgst_data.video.files import cannot_open, check_file, is_folder, not_a_video
from mgst_data.video.stills import DECODE_ERRORS, add_heic, upright_rgb

ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar")
NOMINAL_FPS = 25.0


def holds_images(path: str) -> bool:
    """Returns whether a path is read as images: it has the suffix of an image or archive, or it is a folder."""
    named_so = path.lower().endswith((*PICTURE_SUFFIXES, *ARCHIVE_SUFFIXES))
    return is_folder(path) or (named_so and not is_url(path))


def numbered_images(folder: str) -> dict[int, Path]:
    """Returns the images of a folder by frame number, in ascending order; see :class:`ImageSource`."""
    return dict(_number([(PurePosixPath(file.name), file) for file in _images_in(folder)]))


class ImageSource:
    """An open sequence of images, in order of the frame numbers in their names.

    A single image has the frame number 0. In a folder, the frame number is the last number in the file name. It becomes
    the index of the frame, so that gaps are kept. If a name has no number, or if two names have the same number, all
    images of the folder are numbered in order of their names. The folders of an archive are read in order of their
    names, with a gap of one index between them. Images have no times: ``pts`` assumes 25 frames per second, and ``fps``
    is 0. Images that cannot be decoded are left out and reported by ``damage`` as corrupt_frames.

    Args:
        path: Image, folder of images, or archive.

    Raises:
        VideoError: if nothing can be read. The reasons are missing, not_a_file, unreadable, empty_file, not_a_video (a
            broken archive), no_frames and decode_error.
    """

    fps = 0.0

    def __init__(self, path: str) -> None:
        self.damage = ""
        self._path = path
        with ExitStack() as stack:
            try:
                files = _find_images(path, stack)
            except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise not_a_video(path) from error
            except OSError as error:
                raise cannot_open(path, error) from error
            self._resources = stack.pop_all()
        self._images = [(0, file) for _, file in files] if _is_image(path) else _number(files)

    def close(self) -> None:
        """Closes files and deletes unpacked archives."""
        self._resources.close()

    def __iter__(self) -> Iterator[Picture]:
        nothing = True
        for index, file in self._images:
            try:
                rgb = _decode(file)
            except DECODE_ERRORS:
                self.damage = CORRUPT_FRAMES
                continue
            nothing = False
            yield Picture(index, index / NOMINAL_FPS, rgb)
        if nothing:
            what, reason = ("no image can be decoded", "decode_error") if self._images else ("no images", "no_frames")
            hint = f"supported image files: {', '.join(PICTURE_SUFFIXES)}"
            raise VideoError(what, where=self._path, hint=hint, reason=reason)


def _decode(file: Path) -> UInt8[np.ndarray, "h w 3"]:
    if not file.is_file():
        raise OSError("not a regular file")  # opening a pipe would block until a writer opens it
    if file.name.lower().endswith(HEIC_SUFFIXES):
        add_heic(str(file))
    with Image.open(file) as image:
        return upright_rgb(image)


def _find_images(path: str, stack: ExitStack) -> list[tuple[PurePosixPath, Path]]:
    """Returns relative name and file of all images; an archive is unpacked into a temporary folder."""
    if is_folder(path):
        return [(PurePosixPath(file.name), file) for file in _images_in(path)]
    check_file(path)
    if _is_image(path):
        return [(PurePosixPath(Path(path).name), Path(path))]
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mgst-")))
    found: list[tuple[PurePosixPath, Path]] = []
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() and _is_image(member.name) else None
            if content is not None:
                # The file gets a generated name: member names of an archive are never used as paths, so that a
                # malicious archive cannot write outside the folder.
                file = folder / f"{len(found)}{PurePosixPath(member.name).suffix}"
                file.write_bytes(content.read())
                found.append((PurePosixPath(member.name), file))
    return found


def _images_in(folder: str) -> list[Path]:
    return [file for file in sorted(Path(folder).iterdir()) if _is_image(file.name)]


def _is_image(name: str) -> bool:
    return name.lower().endswith(PICTURE_SUFFIXES) and not PurePosixPath(name).name.startswith(".")


def _number(files: Sequence[tuple[PurePosixPath, Path]]) -> list[tuple[int, Path]]:
    """Returns the images with their frame numbers over all folders, in ascending order."""
    ordered = sorted(files, key=lambda named: [_natural(part) for part in named[0].parts])
    numbered: list[tuple[int, Path]] = []
    for _, group in groupby(ordered, key=lambda named: named[0].parent):
        images = list(group)
        numbers = [_last_number(name) for name, _ in images]
        known = [number for number in numbers if number is not None]
        if len(set(known)) < len(images):
            known = list(range(len(images)))
        start = numbered[-1][0] + 2 - min(known) if numbered else 0
        numbered += sorted((start + number, file) for number, (_, file) in zip(known, images, strict=True))
    return numbered


def _last_number(name: PurePosixPath) -> int | None:
    digits = re.findall(r"\d+", name.stem)
    return int(digits[-1]) if digits else None


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Returns a sort key that puts "frame10" after "frame9"."""
    parts = re.findall(r"\d+|\D+", text)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]
