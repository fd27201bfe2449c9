"""Reads the JSON files of DF40, which list the frames of every split in the form of DeepfakeBench."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mgst_data.core import LayoutError
from mgst_data.core.records import SPLITS
from mgst_data.datasets.files import read_json
from mgst_data.datasets.tree import Tree

DATASET_JSON = "dataset_json"
# Names of the archives in the paths of frames; True for the archive for training.
ARCHIVES = {"DF40": False, "DF40_train": True}


class Place(NamedTuple):
    """Where a video of DF40 is.

    Attributes:
        train: Whether its archive is the one for training.
        method: Folder of the method.
        branch: "fake" or "real" for methods with these two folders; otherwise "".
        name: Folder with the frames of the video.
    """

    train: bool
    method: str
    branch: str
    name: str


def read_official(tree: Tree, given: Path | None) -> dict[Place, str] | None:
    """Reads the official splits.

    The authors list test videos as val, too, so that val counts only for videos in no other split. Videos in train and
    in test are left out.

    Args:
        tree: Folder of the data set.
        given: Folder that the user gave; by default ``dataset_json/``.

    Returns:
        Split of every video, or None if there are no JSON files.

    Raises:
        LayoutError: if a file is malformed, or if the folder that the user gave has none.
    """
    folder = given or tree.root / DATASET_JSON
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    if not files:
        if given:
            raise LayoutError("contains no JSON file", where=given, hint=f"give the folder {DATASET_JSON}/ of DF40")
        return None
    listed: dict[Place, set[str]] = {}
    for file in files:
        for place, split in _places(read_json(file), file):
            listed.setdefault(place, set()).add(split)
    found = {place: splits - {"val"} or splits for place, splits in listed.items()}
    return {place: min(splits) for place, splits in found.items() if len(splits) == 1}


def _places(data: Any, file: Path) -> Iterator[tuple[Place, str]]:
    """Yields place and split of the videos of DF40 in ``{name: {class: {split: {video: {"frames": [path, ...]}}}}}``.

    Real videos of other data sets, which the files list, too, are left out.

    Raises:
        LayoutError: if the file has another form.
    """
    try:
        frames = [
            (split, entry["frames"])
            for classes in data.values()
            for splits in classes.values()
            for split, videos in splits.items()
            for entry in videos.values()
        ]
        paths = [(split, str(names[0]).replace("\\", "/").split("/")) for split, names in frames if names]
    except (AttributeError, KeyError, TypeError) as error:
        hint = "use the published files, or delete this one"
        raise LayoutError("not a JSON file of DF40", where=file, hint=hint) from error
    for split, parts in paths:
        archive = next((part for part in parts if part in ARCHIVES), "")
        # <method>/[branch/]frames/<video>/<image>
        inner = parts[parts.index(archive) + 1 :] if archive else []
        if len(inner) >= 4 and inner[-3] == "frames" and split in SPLITS:
            branch = inner[1] if inner[1] in ("fake", "real") else ""
            yield Place(ARCHIVES[archive], inner[0], branch, inner[-2]), split
