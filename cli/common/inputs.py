"""Resolves command-line arguments to inputs: videos, pictures, folders of either, lists and patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from mgst_data.core import MgstError, ShardError, VideoError
from mgst_data.core.locations import PICTURE_SUFFIXES, is_url, join
from mgst_data.datasets.tree import VIDEO_SUFFIXES
from mgst_data.shards.remote_files import list_files
from mgst_data.shards.storage import read_bytes
from mgst_data.video.files import check_file, is_folder

LIST_SUFFIX = ".txt"
_WEB = ("http://", "https://")
_HINT = (
    "give a video, a picture, a folder of them, a list (.txt file with one path per line) or a pattern such as '*.mp4'"
)


def beside(location: str | Path, kind: str) -> Path:
    """Returns the folder ``NAME-KIND`` in the parent folder of a file or folder; for a URL, in the current folder.

    Args:
        location: File, folder or URL. NAME is its name; of a file or URL, without the suffix.
        kind: What the folder holds, such as "scores".
    """
    if is_url(str(location)):
        return Path(f"{PurePosixPath(str(location).partition('?')[0].rstrip('/')).stem}-{kind}")
    path = Path(location)
    if not is_folder(str(path)):
        return path.with_name(f"{path.stem}-{kind}")
    if path.name in ("", ".."):  # these have no name of their own
        path = path.resolve()
    return path.with_name(f"{path.name}-{kind}")


@dataclass(frozen=True, slots=True)
class Input:
    """One video or picture to score.

    Attributes:
        path: A file, URL or folder of frames, in the form that video readers open.
        root: The folder argument that contained it, by path or URL; None if the argument named it directly.
        problem: Why it cannot be read, as far as its name, size and file type show; None if they show no problem.
    """

    path: str
    root: str | Path | None = None
    problem: MgstError | None = None

    @property
    def stem(self) -> str:
        """First part of the names of its result files."""
        return PurePosixPath(self.path.partition("?")[0]).stem if is_url(self.path) else Path(self.path).stem

    @property
    def parents(self) -> Path:
        """Folders between the root and the file; empty if the argument named it directly."""
        if isinstance(self.root, str):
            return Path(PurePosixPath(self.path.removeprefix(self.root.rstrip("/")).lstrip("/")).parent)
        return Path(self.path).parent.relative_to(self.root) if self.root else Path()


def find_inputs(arguments: Sequence[str], *, results: str) -> list[Input]:
    """Returns all inputs that the arguments name, each path once.

    A folder means all videos below it. If it has no videos, its pictures are the frames of one video. Folders and lists
    may be behind URLs, but not the frames of a video.

    Args:
        arguments: Files, folders, URLs, lists and patterns.
        results: Name of a file that marks a folder of results. Such a folder is skipped.

    Returns:
        In the order of the arguments; inside a folder, sorted by name. An input that does not exist is included with
        its problem, so that it does not stop the others.
    """
    found: dict[str, Input] = {}
    for argument in arguments:
        for item in _resolve(argument, results):
            found.setdefault(item.path, item)
    return [_checked(item) for item in found.values()]


def one_input(path: str) -> Input:
    """Returns the input for one video or picture. The path is never read as a list or a pattern.

    Args:
        path: File or URL.
    """
    return _checked(Input(path))


def _resolve(argument: str, results: str, *, lists: bool = True) -> Iterator[Input]:
    path = Path(argument)
    if is_url(argument):
        yield from _behind_url(argument, results, lists=lists)
    elif is_folder(argument):
        yield from _in_folder(path, results)
    elif lists and path.suffix.lower() == LIST_SUFFIX and path.is_file():
        yield from _in_list(path, results)
    elif glob.has_magic(argument) and not os.path.lexists(argument):
        matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 (a pattern may be absolute)
        for match in matches:
            yield from _resolve(match, results)
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
    elif any(_is(path.name, PICTURE_SUFFIXES) for path in root.iterdir()):
        yield Input(str(root))
    else:
        problem = VideoError("this folder has no videos and no pictures", where=root, hint=_HINT, reason="missing")
        yield Input(str(root), problem=problem)


def _behind_url(url: str, results: str, *, lists: bool) -> Iterator[Input]:
    """Yields a video, the videos of a folder, or those of a list. Web servers have no folders: they are not asked."""
    plain = url.partition("?")[0].lower()
    if plain.endswith((*VIDEO_SUFFIXES, *PICTURE_SUFFIXES)):
        yield Input(url)
        return
    if lists and plain.endswith(LIST_SUFFIX):
        yield from _in_list(url, results)
        return
    if url.startswith(_WEB):
        yield Input(url)
        return
    try:
        names = list(list_files(url, fault=partial(VideoError, reason="unreadable")))
    except VideoError as error:
        yield Input(url, problem=error)
        return
    parts = {name: PurePosixPath(name) for name in names}
    done = {path.parent for path in parts.values() if path.name == results and path.parent.name}
    shown = [
        name
        for name, path in parts.items()
        if not done.intersection(path.parents) and not any(part.startswith(".") for part in path.parts)
    ]
    if videos := [name for name in shown if _is(name, VIDEO_SUFFIXES)]:
        yield from (Input(join(url, name), url) for name in videos)
    elif shown and shown != [""]:
        what, hint = "this folder has no videos", "copy the frames of a video to this machine first"
        yield Input(url, problem=VideoError(what, where=url, hint=hint, reason="missing"))
    else:  # a file without a suffix, or nothing
        yield Input(url)


def _in_list(place: str | Path, results: str) -> Iterator[Input]:
    path = str(place)
    try:
        lines = read_bytes(path).decode("utf-8-sig", "surrogateescape").splitlines()
    except FileNotFoundError:
        yield Input(path, problem=VideoError("no such file", where=path, hint="check the path", reason="missing"))
        return
    except ShardError as error:
        hint = error.hint or "check its permissions"
        yield Input(path, problem=VideoError(error.what.lower(), where=path, hint=hint, reason="unreadable"))
        return
    folder = path.rpartition("/")[0]
    named = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    for name in named:
        inside = join(folder, name) if is_url(path) else str(Path(path).parent / name)
        yield from _resolve(name if is_url(name) else inside, results, lists=False)
    if not named:
        problem = VideoError("this list has no paths", where=path, hint="write one path per line", reason="missing")
        yield Input(path, problem=problem)


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
