"""Layout of the data that DeepfakeBench prepared: aligned crops with landmarks and masks, listed in JSON files."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, NamedTuple

from mgst_data.core import FAKE, REAL, LayoutError, VideoRecord
from mgst_data.core.errors import printable
from mgst_data.core.locations import join
from mgst_data.datasets import celebdf, deeperforensics, faceforensics
from mgst_data.datasets.deepfakebench_json import Listed, read_listed
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.tree import Tree, some

DATASETS = (
    "FaceForensics++", "DeepFakeDetection", "FaceShifter", "Celeb-DF-v1", "Celeb-DF-v2", "DFDCP", "DFDC",
    "DeeperForensics-1.0", "UADFV",
)  # fmt: skip
# Folders of the JSON files and of the data sets, relative to the root.
JSON_FOLDERS = ("dataset_json", "preprocessing/dataset_json")
DATA_FOLDERS = ("", "datasets", "datasets/rgb", "rgb")
FRAMES = "frames"


class Kind(NamedTuple):
    """What a class of videos becomes: name of the data set in shards, method, and collection of its identities."""

    dataset: str
    method: str
    people: str = ""

    @property
    def label(self) -> int:
        """Label of the videos: 0 real, 1 fake."""
        return REAL if self.method == "real" else FAKE


KINDS = {
    "FF-real": Kind("ffpp", "real", "ffpp"),
    "FF-DF": Kind("ffpp", "Deepfakes", "ffpp"),
    "FF-F2F": Kind("ffpp", "Face2Face", "ffpp"),
    "FF-FS": Kind("ffpp", "FaceSwap", "ffpp"),
    "FF-NT": Kind("ffpp", "NeuralTextures", "ffpp"),
    "FF-FH": Kind("ffpp", "FaceShifter", "ffpp"),
    "FF-SH": Kind("ffpp", "FaceShifter", "ffpp"),
    "DFD_real": Kind("dfd", "real", "dfd"),
    "DFD_fake": Kind("dfd", "DeepFakeDetection", "dfd"),
    "CelebDFv1_real": Kind("celeb_df_v1", "real", "celeb_df"),
    "CelebDFv1_fake": Kind("celeb_df_v1", "Celeb-synthesis", "celeb_df"),
    "CelebDFv2_real": Kind("celeb_df_v2", "real", "celeb_df"),
    "CelebDFv2_fake": Kind("celeb_df_v2", "Celeb-synthesis", "celeb_df"),
    "DFDCP_Real": Kind("dfdc_preview", "real"),
    "DFDCP_FakeA": Kind("dfdc_preview", "method_A"),
    "DFDCP_FakeB": Kind("dfdc_preview", "method_B"),
    "DFDC_Real": Kind("dfdc", "real"),
    "DFDC_Fake": Kind("dfdc", "DFDC"),
    "DF_real": Kind("deeperforensics", "real", "deeperforensics"),
    "DF_fake": Kind("deeperforensics", "DeeperForensics", "deeperforensics"),
    "UADFV_Real": Kind("uadfv", "real", "uadfv"),
    "UADFV_Fake": Kind("uadfv", "UADFV", "uadfv"),
}
# Classes of other data sets: a name that ends in "_real" or "_fake".
OTHER_KIND = re.compile(r".+[_-](real|fake)", re.IGNORECASE)
# Data sets that define test videos only. DeepfakeBench lists their videos for training, too.
TEST_ONLY = ("dfd", "celeb_df_v1", "celeb_df_v2", "uadfv")
NAMES = {
    "ffpp": faceforensics.FFPP_NAME,
    "dfd": faceforensics.DFD_NAME,
    "celeb_df": celebdf.CELEB_NAME,
    "uadfv": re.compile(r"(?P<target>\d{4})(?P<source>(?!))?(?:_fake)?"),
}


@dataclass(slots=True)
class _Video:
    """One video, found on disk, with everything that the JSON files say about it."""

    folder: str
    kind: str
    dataset: str
    compression: str
    name: str
    splits: set[str] = field(default_factory=set)
    frames: set[str] = field(default_factory=set)
    masks: tuple[str, ...] = ()


@LAYOUTS.register("deepfakebench")
@dataclass(frozen=True, slots=True)
class DeepfakeBench:
    """Reads the JSON files of DeepfakeBench and ``<data set>/.../{frames,landmarks,masks}/<video>/NNN.{png,npy}``.

    The frames are prepared crops: 256 pixels, one aligned face, 81 landmarks. The extraction uses them as they are if
    the landmarks are good. The JSON files are in ``dataset_json/`` or ``preprocessing/dataset_json/``, or in
    ``splits``; the data sets are in the root, in ``datasets/`` or in ``datasets/rgb/``. The root may also be one data
    set. The paths in the files may come from another computer: a path is shortened from the left until it exists below
    the root.

    Label and method come from the class ("FF-DF", "CelebDFv2_real"). For classes of other data sets, the name must end
    in "real" or "fake". The names of data sets, methods and identities in the records are those of the layouts of the
    original data sets.

    DeepfakeBench lists test videos as val, too, so val counts only for videos in no other split. A video in train and
    test has no split, with a note. In data sets that define test videos only (DeepFakeDetection, Celeb-DF, UADFV), the
    videos of test are test, and the others have no split: the same persons are in both.

    Source: Yan et al., "DeepfakeBench: A Comprehensive Benchmark of Deepfake Detection" (2023),
    https://github.com/SCLBD/DeepfakeBench, README and preprocessing/.

    Attributes:
        splits: Folder of the JSON files.
        masks: Whether to add the folders of masks.
    """

    splits: Path | None = None
    masks: bool = False
    looks_for: ClassVar[str] = "dataset_json/ or preprocessing/dataset_json/ beside FaceForensics++/, Celeb-DF-v2/, ..."

    def recognises(self, root: Path) -> bool:
        """Returns whether the root has a folder of JSON files and one of the data sets."""
        tree = Tree.of(root)
        listed = any(tree.has_folder(folder) for folder in JSON_FOLDERS)
        return listed and any(tree.has_folder(join(base, name)) for base in DATA_FOLDERS for name in DATASETS)

    def scan(self, root: Path) -> Scan:
        """Finds the frame folders of all listed videos.

        Raises:
            LayoutError: if there is no JSON file, if one is malformed, or if two files contradict each other.
        """
        tree = Tree.of(root, suffix="")
        notes: list[Note] = []
        videos: dict[str, _Video] = {}
        finder = _Finder(tree)
        for file in self._files(tree):
            for listed in read_listed(file):
                _add(listed, file, finder, videos, notes)
        _note_unlisted(tree, videos, notes)
        records = []
        for folder, group in _by_parent(videos.values()):
            records += _Folder(tree, folder, finder, masks=self.masks).records(group, notes)
        return Scan.of(records, notes)

    def _files(self, tree: Tree) -> list[Path]:
        places = [self.splits] if self.splits else [Path(tree.path(folder)) for folder in JSON_FOLDERS]
        files = [file for place in places if place.is_dir() for file in sorted(place.glob("*.json"))]
        if not files:
            where = self.splits or tree.root
            hint = "run rearrange.py of DeepfakeBench, and give the folder of its files with --splits"
            raise LayoutError("no dataset JSON files of DeepfakeBench found", where=where, hint=hint)
        return files


class _Finder:
    """Finds the paths of the JSON files on this computer."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._known: dict[tuple[str, ...], str | None] = {}

    def folder_of(self, parts: Sequence[str]) -> str | None:
        """Returns the folder of a file, relative to the root; None if it does not exist.

        Args:
            parts: Parts of the path of a file; ``.../frames/<video>/<image>``.
        """
        parent = tuple(parts[:-1])
        if parent not in self._known:
            # The last three parts are, for example, "c23/frames/000": fewer would fit to folders of other data sets.
            ends = (parent[start:] for start in range(max(0, len(parent) - 2)))
            found = (join(base, "/".join(end)) for end in ends if ".." not in end for base in DATA_FOLDERS)
            self._known[parent] = next((folder for folder in found if self._tree.has_folder(folder)), None)
        return self._known[parent]


def _add(listed: Listed, file: Path, finder: _Finder, videos: dict[str, _Video], notes: list[Note]) -> None:
    """Adds what a JSON file says about a video.

    Raises:
        LayoutError: if another entry gives the same folder another class.
    """
    where = printable(f"{file.name}: {listed.kind}/{listed.split}/{listed.name}")
    if not listed.frames:
        notes.append(Note(where, "listed without frames", "missing_frames"))
        return
    folder = finder.folder_of(listed.frames[0])
    if folder is None:
        notes.append(Note(where, f"folder not found: {printable('/'.join(listed.frames[0][:-1]))}", "missing_video"))
        return
    video = videos.setdefault(folder, _Video(folder, listed.kind, listed.dataset, listed.compression, listed.name))
    if video.kind != listed.kind:
        what = f"{printable(folder)} is listed as {video.kind} and as {listed.kind}"
        raise LayoutError(what, where=file, hint="write the JSON files again, or move one of them away")
    video.splits.add(listed.split)
    video.frames.update(path[-1] for path in listed.frames)
    video.masks = video.masks or listed.masks


class _Folder:
    """One folder ``frames/`` with the videos in it, and the folders of landmarks and masks beside it."""

    def __init__(self, tree: Tree, folder: str, finder: _Finder, *, masks: bool) -> None:
        self._tree, self._folder, self._finder, self._masks = tree, folder, finder, masks
        self._beside = folder.rpartition("/")[0]
        self._missing: Counter[str] = Counter()

    def records(self, videos: Iterable[_Video], notes: list[Note]) -> list[VideoRecord]:
        """Returns the records of the videos.

        Args:
            videos: Videos of the folder.
            notes: List to which notes are added.
        """
        records = [record for video in videos if (record := self._record(video, notes)) is not None]
        there = printable(self._folder)
        if count := self._missing["landmarks"]:
            what = f"{count} videos without a folder in landmarks/; their faces will be detected"
            notes.append(Note(there, what, "missing_landmarks"))
        if count := self._missing["masks"]:
            notes.append(Note(there, f"{count} fake videos without a folder of masks", "missing_mask"))
        return records

    def _record(self, video: _Video, notes: list[Note]) -> VideoRecord | None:
        where = printable(video.folder)
        kind = kind_of(video)
        if kind is None:
            what = f"the name of its class {printable(video.kind)} does not end in real or fake"
            notes.append(Note(where, what, "no_label"))
            return None
        _note_frames(self._tree, video, notes)
        split = _split(video.splits, kind.dataset)
        if not split:
            what = "listed in train and test" if "test" in video.splits else "not a test video of a test set"
            notes.append(Note(where, what, "no_split"))
        target, source = _identities(video, kind)
        return self._tree.record(
            video.folder,
            dataset=kind.dataset,
            split=split,
            label=kind.label,
            method=kind.method,
            compression=video.compression,
            target=target,
            source=source,
            mask=self._mask(video) if self._masks and kind.label == FAKE else "",
            landmarks=self._next_to(video, "landmarks"),
        )

    def _next_to(self, video: _Video, kind: str) -> str:
        """Returns the folder of a video in ``landmarks/`` or ``masks/``; "" if it does not exist."""
        folder = join(self._beside, f"{kind}/{video.folder.rpartition('/')[2]}")
        if self._tree.has_folder(folder):
            return folder
        self._missing[kind] += 1
        return ""

    def _mask(self, video: _Video) -> str:
        # The masks of c40 videos are listed in the folder of c23: they are made once.
        listed = self._finder.folder_of(video.masks) if video.masks else None
        return listed or self._next_to(video, "masks")


def kind_of(video: _Video) -> Kind | None:
    """Returns data set, method and collection of the class of a video; None if its label is unknown."""
    if video.kind in KINDS:
        kind = KINDS[video.kind]
        # The manipulated videos of DeeperForensics are named by their variant, as in its own layout.
        variant = video.folder.split("/")[-3] if video.kind == "DF_fake" else kind.method
        return kind._replace(method=variant)
    match = OTHER_KIND.fullmatch(video.kind)
    if match is None:
        return None
    return Kind(printable(video.dataset), "real" if match[1].lower() == "real" else printable(video.kind))


def _split(splits: set[str], dataset: str) -> str:
    if dataset in TEST_ONLY:
        return "test" if "test" in splits else ""
    found = splits - {"val"} or splits
    return min(found) if len(found) == 1 else ""


def _identities(video: _Video, kind: Kind) -> tuple[str, str]:
    """Returns target and source identity; "" if they are unknown."""
    parts = video.folder.split("/")
    name = parts[-1]
    if kind.people == "deeperforensics":
        if kind.label == REAL:  # source_videos/<actor>/frames/<video>
            return f"deeperforensics/{parts[-3]}", ""
        match = deeperforensics.NAME.fullmatch(name)
        return (f"ffpp/{match['target']}", f"deeperforensics/{match['actor']}") if match else ("", "")
    if kind.people == "celeb_df" and "youtube-real" in video.folder.lower():
        return f"celeb_df/youtube_{name}", ""
    match = NAMES[kind.people].fullmatch(name) if kind.people else None
    if match is None:
        return "", ""
    return f"{kind.people}/{match['target']}", f"{kind.people}/{match['source']}" if match["source"] else ""


def _by_parent(videos: Iterable[_Video]) -> list[tuple[str, list[_Video]]]:
    groups: defaultdict[str, list[_Video]] = defaultdict(list)
    for video in videos:
        groups[video.folder.rpartition("/")[0]].append(video)
    return sorted(groups.items())


def _note_unlisted(tree: Tree, videos: dict[str, _Video], notes: list[Note]) -> None:
    """Adds a note for every folder ``frames/`` that contains videos which no JSON file lists."""
    for folder, _ in _by_parent(videos.values()):
        unlisted = [name for name in tree.listing(folder).folders if join(folder, name) not in videos]
        if unlisted:
            notes.append(Note(printable(folder), f"listed in no JSON file: {some(unlisted)}", "no_label"))


def _note_frames(tree: Tree, video: _Video, notes: list[Note]) -> None:
    """Adds notes if the images of a video are not those that are listed. All images in the folder are used."""
    there = set(tree.listing(video.folder).files)
    missing, others = len(video.frames - there), len(there - video.frames)
    if missing:
        what = f"{missing} of {len(video.frames)} listed frames not found"
        notes.append(Note(printable(video.folder), what, "missing_frames"))
    if others:
        notes.append(
            Note(printable(video.folder), f"{others} images that are not listed are used, too", "extra_frames")
        )
