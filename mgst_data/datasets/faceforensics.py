"""Layout of FaceForensics++, with FaceShifter and DeepFakeDetection, which share its folders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mgst_data.core import FAKE, REAL, LayoutError, VideoRecord
from mgst_data.core.errors import printable
from mgst_data.datasets.files import read_json
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.splits import find_split_files, merge_splits
from mgst_data.datasets.tree import Tree, stem

BRANCHES = {"original_sequences": REAL, "manipulated_sequences": FAKE}
# Folders of the first release. FaceShifter and DeepFakeDetection were added later and are often left out.
CORE = (
    "original_sequences/youtube",
    *(f"manipulated_sequences/{method}" for method in ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")),
)
DFD = ("actors", "DeepFakeDetection")
FFPP_NAME = re.compile(r"(?P<target>\d{3})(?:_(?P<source>\d{3}))?")
DFD_NAME = re.compile(r"(?P<target>\d{2})(?:_(?P<source>\d{2}))?__.+")
COMPRESSION = re.compile(r"raw|c\d+")


@dataclass(frozen=True, slots=True)
class Source:
    """One folder of videos: a collection at one compression.

    Attributes:
        branch: "original_sequences" or "manipulated_sequences".
        collection: Method, or kind of originals ("youtube", "actors").
        compression: Compression level, for example "c23".
    """

    branch: str
    collection: str
    compression: str

    @property
    def folder(self) -> str:
        """Path of the folder, relative to the root."""
        return f"{self.branch}/{self.collection}/{self.compression}"

    @property
    def label(self) -> int:
        """Label of the videos: 0 for originals, 1 for manipulated videos."""
        return BRANCHES[self.branch]

    @property
    def is_dfd(self) -> bool:
        """Whether the folder belongs to DeepFakeDetection."""
        return self.collection in DFD


@LAYOUTS.register("faceforensics")
@dataclass(frozen=True, slots=True)
class FaceForensics:
    """Reads ``{original,manipulated}_sequences/<collection>/<compression>/[videos/]*.mp4``.

    A fake is named ``<target>_<source>``, and both ids determine its split. The official split files list pairs of ids;
    a pair [a, b] puts the videos a, b, a_b and b_a into the split. The files are read from the option ``splits``, or
    else from the folder ``splits/`` or the root. Without them, every split is "", and a note names the expected place.

    DeepFakeDetection (``actors``, ``DeepFakeDetection``) has no official split. Its 28 actors are combined with each
    other, so that no split keeps the identities separate. Therefore all its videos are in test, as data set "dfd".

    Source: Rössler et al., "FaceForensics++: Learning to Detect Manipulated Facial Images" (2019).

    Attributes:
        splits: Folder of train.json, val.json and test.json.
        masks: Whether to add the mask videos of ``manipulated_sequences/<method>/masks/videos``. FaceShifter has none.
    """

    splits: Path | None = None
    masks: bool = False
    looks_for: ClassVar[str] = "original_sequences/ or manipulated_sequences/"

    def recognises(self, root: Path) -> bool:
        """Returns whether the root has one of the two branches."""
        return any(Tree.of(root).has_folder(branch) for branch in BRANCHES)

    def scan(self, root: Path) -> Scan:
        """Finds the videos of every collection and compression.

        Raises:
            LayoutError: if a split file is malformed, or if neither branch is found.
        """
        tree = Tree.of(root)
        notes: list[Note] = []
        sources = list(_sources(tree, notes))
        official: dict[str, str] = {}
        if not all(source.is_dfd for source in sources):
            files = find_split_files(tree, self.splits, ("splits", ""), ".json", notes)
            official = merge_splits(files, _read_pairs)
            notes += [Note(folder, "not found", "missing_folder") for folder in CORE if not tree.has_folder(folder)]
        records = []
        for source in sources:
            masks = _masks(tree, source, notes) if self.masks and source.label == FAKE else None
            videos = tree.videos(source.folder, notes)
            for video in videos:
                mask = masks.get(stem(video), "") if masks is not None else ""
                if masks is not None and not mask:
                    notes.append(Note(printable(video), "no mask video found", "missing_mask"))
                record = _record(tree, source, video, official, mask)
                if record is None:
                    notes.append(Note(printable(video), "file name does not follow the naming scheme", "unknown_name"))
                else:
                    records.append(record)
                    notes += _no_split(record, official)
            if not source.is_dfd:
                notes += _missing(source, {stem(video) for video in videos}, official)
        return Scan.of(records, notes)


def _sources(tree: Tree, notes: list[Note]) -> Iterator[Source]:
    branches = [branch for branch in BRANCHES if tree.has_folder(branch)]
    if not branches:
        hint = "give the folder that contains them, or choose another layout"
        raise LayoutError(f"contains none of the folders {', '.join(BRANCHES)}", where=tree.root, hint=hint)
    for branch in branches:
        for collection in tree.listing(branch).folders:
            folders = tree.listing(f"{branch}/{collection}").folders
            found = [name for name in folders if COMPRESSION.fullmatch(name)]
            if not found:
                what = "contains no compression level (raw, c0, c23, c40)"
                notes.append(Note(printable(f"{branch}/{collection}"), what, "missing_folder"))
            for compression in found:
                yield Source(branch, collection, compression)


def _record(tree: Tree, source: Source, video: str, official: dict[str, str], mask: str) -> VideoRecord | None:
    dataset, pattern = ("dfd", DFD_NAME) if source.is_dfd else ("ffpp", FFPP_NAME)
    match = pattern.fullmatch(stem(video))
    if match is None or (match["source"] is None) != (source.label == REAL):
        return None
    splits = {official.get(name, "") for name in match.group("target", "source") if name}
    split = "test" if source.is_dfd else splits.pop() if len(splits) == 1 else ""
    return tree.record(
        video,
        dataset=dataset,
        split=split,
        label=source.label,
        method=source.collection if source.label == FAKE else "real",
        compression=source.compression,
        target=f"{dataset}/{match['target']}",
        source=f"{dataset}/{match['source']}" if match["source"] else "",
        mask=mask,
    )


def _no_split(record: VideoRecord, official: dict[str, str]) -> list[Note]:
    if not official or record.split:
        return []
    return [Note(record.video, "its ids are not in the same official split file", "no_split")]


def _missing(source: Source, present: set[str], official: dict[str, str]) -> list[Note]:
    """Returns a note for every video that is listed in the split files and missing in this folder."""
    expected = (name for name in official if ("_" in name) == (source.label == FAKE))
    return [
        Note(f"{source.folder}/{name}.mp4", f"listed in {official[name]}.json, but not found", "missing_video")
        for name in expected
        if name not in present
    ]


def _masks(tree: Tree, source: Source, notes: list[Note]) -> dict[str, str] | None:
    folder = f"{source.branch}/{source.collection}/masks"
    if not tree.has_folder(folder):
        notes.append(Note(folder, "no mask videos found for this method", "missing_mask"))
        return None
    return {stem(video): video for video in tree.videos(folder, notes)}


def _read_pairs(path: Path) -> Iterator[str]:
    """Yields the video names of one official split file: for every pair [a, b] the videos a, b, a_b and b_a.

    Raises:
        LayoutError: if the file is not a list of pairs of ids.
    """
    pairs = read_json(path)
    hint = "expected a list of pairs of ids, as in the FaceForensics++ repository"
    if not isinstance(pairs, list):
        raise LayoutError("not a JSON list", where=path, hint=hint)
    for number, pair in enumerate(pairs, start=1):
        if not (isinstance(pair, list) and len(pair) == 2 and all(_is_id(name) for name in pair)):
            raise LayoutError(f"entry {number} is {pair!r:.60}, not a pair of ids", where=path, hint=hint)
        a, b = pair
        yield from (a, b, f"{a}_{b}", f"{b}_{a}")


def _is_id(name: object) -> bool:
    return isinstance(name, str) and re.fullmatch(r"\d{3}", name) is not None
