"""What the arguments of a command stand for: videos, pictures, folders of either, lists and patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from mgst_data.core import MgstError, VideoError
from mgst_data.core.locations import is_url
from mgst_data.datasets.tree import VIDEO_SUFFIXES
from mgst_data.video.files import check_file, is_folder
from mgst_data.video.images import IMAGE_SUFFIXES

LIST_SUFFIX = ".txt"
_HINT = "give a video, a picture, a folder of them, a list (.txt with a path on each line) or a pattern such as '*.mp4'"


def beside(location: str | Path, kind: str) -> Path:
    """The folder ``NAME-kind`` beside a file or folder; that of a URL is in the current folder."""
    if is_url(str(location)):
        return Path(f"{PurePosixPath(str(location).partition('?')[0].rstrip('/')).stem}-{kind}")
    path = Path(location)
    if not is_folder(str(path)):
        return path.with_name(f"{path.stem}-{kind}")
    if path.name in ("", ".."):  # a name that says nothing
        path = path.resolve()
    return path.with_name(f"{path.name}-{kind}")


@dataclass(frozen=True, slots=True)
class Input:
    """One thing to score.

    Attributes:
        path: A file, URL or folder of frames, as readers open it.
        root: The folder that was given and in which it was found; None where it was named itself.
        problem: Why it cannot be read, as far as its name, its size and its kind tell; None if it may be sound.
    """

    path: str
    root: Path | None = None
    problem: MgstError | None = None

    @property
    def stem(self) -> str:
        """What the names of its files begin with."""
        return PurePosixPath(self.path.partition("?")[0]).stem if is_url(self.path) else Path(self.path).stem

    @property
    def parents(self) -> Path:
        """Folders between the root and the file; none for what was named itself."""
        return Path(self.path).parent.relative_to(self.root) if self.root else Path()


def find_inputs(arguments: Sequence[str], *, results: str) -> list[Input]:
    """Everything that some arguments stand for, each path once.

    A folder stands for the videos below it; where there are none, its pictures are the frames of one video.

    Args:
        arguments: Files, folders, URLs, lists and patterns.
        results: Name of a file that marks a folder of results, which is passed over.

    Returns:
        In the order of the arguments, and by name below a folder. What is not there comes with its problem: the others
        are none the worse for it.
    """
    found: dict[str, Input] = {}
    for argument in arguments:
        for item in _stands_for(argument, results):
            found.setdefault(item.path, item)
    return [_checked(item) for item in found.values()]


def _stands_for(argument: str, results: str, *, lists: bool = True) -> Iterator[Input]:
    path = Path(argument)
    if is_url(argument):
        yield Input(argument)
    elif is_folder(argument):
        yield from _in_folder(path, results)
    elif lists and path.suffix.lower() == LIST_SUFFIX and path.is_file():
        yield from _in_list(path, results)
    elif glob.has_magic(argument) and not os.path.lexists(argument):
        matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 (a pattern may be absolute)
        for match in matches:
            yield from _stands_for(match, results)
        if not matches:
            problem = VideoError("no file matches this pattern", where=argument, hint=_HINT, reason="missing")
            yield Input(argument, problem=problem)
    else:
        yield Input(argument)


def _in_folder(root: Path, results: str) -> Iterator[Input]:
    videos: list[Path] = []
    for folder, below, names in os.walk(root):
        below[:] = sorted(
            name for name in below if not name.startswith(".") and not Path(folder, name, results).exists()
        )
        videos += [Path(folder, name) for name in sorted(names) if _is(name, VIDEO_SUFFIXES)]
    if videos:
        yield from (Input(str(path), root) for path in videos)
    elif any(_is(path.name, IMAGE_SUFFIXES) for path in root.iterdir()):
        yield Input(str(root))
    else:
        problem = VideoError("no videos and no pictures in this folder", where=root, hint=_HINT, reason="missing")
        yield Input(str(root), problem=problem)


def _in_list(path: Path, results: str) -> Iterator[Input]:
    try:
        lines = path.read_bytes().decode("utf-8-sig", "surrogateescape").splitlines()
    except OSError as error:
        what = (error.strerror or "cannot be read").lower()
        yield Input(str(path), problem=VideoError(what, where=path, hint="check its permissions", reason="unreadable"))
        return
    named = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    for name in named:
        yield from _stands_for(name if is_url(name) else str(path.parent / name), results, lists=False)
    if not named:
        problem = VideoError("this list names no file", where=path, hint="write a path on each line", reason="missing")
        yield Input(str(path), problem=problem)


def _is(name: str, suffixes: tuple[str, ...]) -> bool:
    return name.lower().endswith(suffixes) and not name.startswith(".")


def _checked(item: Input) -> Input:
    if item.problem or is_url(item.path) or is_folder(item.path):
        return item
    try:
        check_file(item.path)
    except VideoError as error:
        return replace(item, problem=error)
    return item
