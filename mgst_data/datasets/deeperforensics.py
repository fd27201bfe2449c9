"""Layout of DeeperForensics-1.0."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mgst_data.core import FAKE, REAL, LayoutError, VideoRecord
from mgst_data.core.errors import printable
from mgst_data.datasets.faceforensics import FaceForensics
from mgst_data.datasets.files import read_text
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.splits import find_split_files, merge_splits
from mgst_data.datasets.tree import Tree, stem

VIDEOS = "manipulated_videos"
VARIANTS = (
    "end_to_end",
    "reenact_postprocess",
    *(f"end_to_end_level_{level}" for level in range(1, 6)),
    "end_to_end_random_level",
    *(f"end_to_end_mix_{count}_distortions" for count in (2, 3, 4)),
)
NAME = re.compile(r"(?P<target>\d{3})_(?P<actor>[MW]\d{3})")


@LAYOUTS.register("deeperforensics")
@dataclass(frozen=True, slots=True)
class DeeperForensics:
    """Reads ``manipulated_videos/<variant>/<target>_<actor>.mp4`` and ``lists/splits/{train,val,test}.txt``.

    Targets are videos of FaceForensics++ and have its identities ("ffpp/000"). A model that is trained on
    FaceForensics++ must not be tested on fakes of targets that it was trained on; the leakage check finds them. The
    real videos of this data set are these targets at compression c23, not its own ``source_videos``. They are read from
    ``reals`` and get the split of their fakes. Without ``reals``, only fakes are found, and a note reports this.

    Source: Jiang et al., "DeeperForensics-1.0: A Large-Scale Dataset for Real-World Face Forgery Detection" (2020).

    Attributes:
        splits: Folder of train.txt, val.txt and test.txt; by default ``lists/splits``.
        reals: Root of FaceForensics++.
    """

    splits: Path | None = None
    reals: Path | None = None
    looks_for: ClassVar[str] = "manipulated_videos/end_to_end*/ or manipulated_videos/reenact_postprocess/"

    def recognises(self, root: Path) -> bool:
        """Returns whether the root has one of the eleven variants."""
        return any(Tree.of(root).has_folder(f"{VIDEOS}/{variant}") for variant in VARIANTS)

    def scan(self, root: Path) -> Scan:
        """Finds the fakes of every variant, and the real videos if ``reals`` is given.

        Raises:
            LayoutError: if the folder of manipulated videos is missing, or if ``reals`` has no originals at c23.
        """
        tree = Tree.of(root)
        notes: list[Note] = []
        files = find_split_files(tree, self.splits, ("lists/splits",), ".txt", notes)
        official = merge_splits(files, _read_names)
        variants = [name for name in tree.listing(VIDEOS).folders if name in VARIANTS]
        missing = sorted(set(VARIANTS) - set(variants))
        notes += [Note(f"{VIDEOS}/{name}", "not found", "missing_folder") for name in missing]
        records = []
        for variant in variants:
            videos = tree.videos(f"{VIDEOS}/{variant}", notes)
            for video in videos:
                record = _record(tree, variant, video, official)
                if record is None:
                    notes.append(Note(printable(video), "file name does not follow the naming scheme", "unknown_name"))
                    continue
                records.append(record)
                if official and not record.split:
                    notes.append(Note(record.video, "not in an official split file", "no_split"))
            absent = official.keys() - {stem(video) for video in videos}
            notes += [
                Note(printable(f"{VIDEOS}/{variant}/{name}.mp4"), f"listed in {official[name]}.txt, but not found",
                     "missing_video")
                for name in absent
            ]  # fmt: skip
        if self.reals:
            records += _reals(self.reals, {record.target_key: record.split for record in records})
        else:
            what = "only fakes: the real videos are the c23 originals of FaceForensics++; give its folder (--reals)"
            notes.append(Note(".", what, "no_reals"))
        return Scan.of(records, notes)


def _record(tree: Tree, variant: str, video: str, official: dict[str, str]) -> VideoRecord | None:
    match = NAME.fullmatch(stem(video))
    if match is None:
        return None
    return tree.record(
        video,
        dataset="deeperforensics",
        split=official.get(stem(video), ""),
        label=FAKE,
        method=variant,
        target=f"ffpp/{match['target']}",
        source=f"deeperforensics/{match['actor']}",
    )


def _reals(root: Path, split_of: dict[str, str]) -> Iterator[VideoRecord]:
    """Yields the originals at c23 that are targets of the fakes.

    Raises:
        LayoutError: if the root has no originals at c23.
    """
    originals = [
        record
        for record in FaceForensics().scan(root).records
        if record.label == REAL and record.dataset == "ffpp" and record.compression == "c23"
    ]
    if not originals:
        hint = "expected original_sequences/youtube/c23/videos/*.mp4"
        raise LayoutError("contains no originals of FaceForensics++ at c23", where=root, hint=hint)
    for record in originals:
        if record.target_key in split_of:
            yield dataclasses.replace(record, dataset="deeperforensics", split=split_of[record.target_key])


def _read_names(path: Path) -> list[str]:
    names = [stem(line.strip()) for line in read_text(path).split("\n") if line.strip()]
    for number, name in enumerate(names, start=1):
        if not NAME.fullmatch(name):
            hint = "expected one name per line, like 000_M101.mp4"
            raise LayoutError(f"cannot parse {name!r:.60}, entry {number}", where=path, hint=hint)
    return names
