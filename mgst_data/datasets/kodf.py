"""Layout of KoDF, a data set of Korean persons."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mgst_data.core import FAKE, REAL, LayoutError, VideoRecord
from mgst_data.core.errors import printable
from mgst_data.datasets.files import read_csv
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.splits import merge_splits
from mgst_data.datasets.tree import Tree, stem

REALS, FAKES = "original_videos", "synthesized_videos"
REAL_NAME = re.compile(r"(?P<target>.+)_\d+")
FAKE_NAME = re.compile(r"(?P<target>[^_]+)_(?P<source>[^_]+)_\d+_[^_]+")
# Tables of AI-Hub: original and changed videos of a split. The column contains the file name of a video.
TABLES = {
    split: (f"원본영상_{name}_메타데이터.csv", f"변조영상_{name}_메타데이터.csv")
    for split, name in (("train", "training"), ("val", "validation"))
}
VIDEO_ID = "영상id"


@LAYOUTS.register("kodf")
@dataclass(frozen=True, slots=True)
class KoDF:
    """Reads ``original_videos/**/*.mp4`` and ``synthesized_videos/<method>/**/*.mp4``.

    The folders between are not used. Real videos are named ``<person>_<number>``, fakes are named
    ``<target>_<source>_<number of the method>_<number>``. Videos whose name has another form are used without
    identities, with a note. The splits train and val are read from the tables of AI-Hub (for example
    ``원본영상_training_메타데이터.csv``) in the root or in ``splits``. Without them, no video has a split, and a note
    reports this.

    Source: Kwon et al., "KoDF: A Large-scale Korean DeepFake Detection Dataset" (2021),
    https://github.com/deepbrainai-research/kodf. The authors do not describe the tree. The folders are those that the
    code of DiMoDif (Koutlis and Papadopoulos, 2024) reads; the file names are those that
    https://github.com/dfwb-research/deepfake-workbench describes, and the tables those that
    https://github.com/HanMoonSub/DeepGuard reads.

    Attributes:
        splits: Folder of the tables of AI-Hub; by default the root.
    """

    splits: Path | None = None
    looks_for: ClassVar[str] = "synthesized_videos/ (and original_videos/)"

    def recognises(self, root: Path) -> bool:
        """Returns whether the root has the folder of fakes."""
        return Tree.of(root).has_folder(FAKES)

    def scan(self, root: Path) -> Scan:
        """Finds the videos of both folders.

        Raises:
            LayoutError: if neither folder is found, or if a table is malformed.
        """
        tree = Tree.of(root)
        notes: list[Note] = []
        present = [folder for folder in (REALS, FAKES) if tree.has_folder(folder)]
        if not present:
            hint = "give the folder that contains them, or choose another layout"
            raise LayoutError(f"contains none of the folders {REALS}, {FAKES}", where=root, hint=hint)
        notes += [Note(folder, "not found", "missing_folder") for folder in (REALS, FAKES) if folder not in present]
        official = self._official(tree, notes)
        records = []
        for folder in present:
            for video in tree.videos_below(folder, notes):
                record = _record(tree, video, official)
                records.append(record)
                if not record.identities:
                    what = "file name does not contain the persons in the expected form"
                    notes.append(Note(printable(video), what, "no_identity"))
                if official and not record.split:
                    notes.append(Note(printable(video), "not in a table of AI-Hub", "no_split"))
        return Scan.of(records, notes)

    def _official(self, tree: Tree, notes: list[Note]) -> dict[str, str]:
        """Returns the split of each video that a table lists, by file name without suffix.

        Raises:
            LayoutError: if the folder ``splits`` has none of the tables, if a table is malformed, or if a video is in
                two splits.
        """
        folder = self.splits or tree.root
        official: dict[str, str] = {}
        for place in (0, 1):
            files = {split: folder / names[place] for split, names in TABLES.items()}
            official |= merge_splits({split: file for split, file in files.items() if file.is_file()}, _read_names)
        if self.splits and not official:
            expected = ", ".join(name for names in TABLES.values() for name in names)
            raise LayoutError(f"contains none of the tables {expected}", where=folder, hint="give their folder")
        if not official:
            what = "tables of AI-Hub not found, so no video has a split; give their folder (--splits)"
            notes.append(Note(TABLES["train"][0], what, "no_split_files"))
        return official


def _record(tree: Tree, video: str, official: dict[str, str]) -> VideoRecord:
    top, _, below = video.partition("/")
    label = FAKE if top == FAKES else REAL
    match = (FAKE_NAME if label == FAKE else REAL_NAME).fullmatch(stem(video))
    source = match["source"] if match and label == FAKE else ""
    return tree.record(
        video,
        dataset="kodf",
        split=official.get(stem(video), ""),
        label=label,
        method=printable(below.partition("/")[0]) if label == FAKE else "real",
        target=f"kodf/{match['target']}" if match else "",
        source=f"kodf/{source}" if source else "",
    )


def _read_names(path: Path) -> list[str]:
    table = read_csv(path)
    if VIDEO_ID not in table.columns:
        raise LayoutError(f"has no column {VIDEO_ID}", where=path, hint="use the published table, saved as UTF-8")
    return [stem(row[VIDEO_ID]) for _, row in table.rows]
