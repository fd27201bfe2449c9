"""Layout of FakeAVCeleb, which changes faces, voices, or both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mgst_data.core import FAKE, REAL, LayoutError, VideoRecord
from mgst_data.datasets.files import read_csv
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.listed import match_listed
from mgst_data.datasets.tree import Tree

METADATA = "meta_data.csv"
CATEGORIES = {
    "RealVideo-RealAudio": REAL,
    "RealVideo-FakeAudio": REAL,
    "FakeVideo-RealAudio": FAKE,
    "FakeVideo-FakeAudio": FAKE,
}
# The header of the published table ends in a comma: the last column, with the folder, has no name.
FILE, FOLDER = "path", ""
COLUMNS = ("source", "target1", "method", FILE, FOLDER)
TOP = "FakeAVCeleb/"
# This method changes only the mouth, so that the identity of its column target1 is a voice and not a face.
LIP_SYNC = "wav2lip"


@LAYOUTS.register("fakeavceleb")
@dataclass(frozen=True, slots=True)
class FakeAVCeleb:
    """Reads ``meta_data.csv`` and ``{Real,Fake}Video-{Real,Fake}Audio/<race>/<gender>/<person>/*.mp4``.

    The label says whether the face was changed. Videos of ``RealVideo-FakeAudio`` have a real face and a fake voice;
    they are **real**. Method and identities come from the table. Its column ``source`` is the person in the video, here
    the target identity. Its column ``target1`` is the person whose face is shown, here the source identity. The persons
    are those of VoxCeleb2 ("voxceleb2/id00076"), so that leakage between data sets is found. There are no official
    splits.

    Source: Khalid et al., "FakeAVCeleb: A Novel Audio-Video Multimodal Deepfake Dataset" (2021),
    https://github.com/DASH-Lab/FakeAVCeleb.
    """

    looks_for: ClassVar[str] = "meta_data.csv next to RealVideo-RealAudio/, FakeVideo-RealAudio/, ..."

    def recognises(self, root: Path) -> bool:
        """Returns whether the root has one of the four categories."""
        tree = Tree.of(root)
        return any(tree.has_folder(category) for category in CATEGORIES)

    def scan(self, root: Path) -> Scan:
        """Finds the videos that the table lists.

        Raises:
            LayoutError: if the table is missing or malformed.
        """
        tree = Tree.of(root)
        notes: list[Note] = []
        rows = _read_rows(tree.root / METADATA)
        present = []
        for category in CATEGORIES:
            if tree.has_folder(category):
                present += tree.videos_below(category, notes)
            else:
                notes.append(Note(category, "not found", "missing_folder"))
        records = [_record(tree, video, row) for video, row in match_listed(rows, present, METADATA, notes)]
        return Scan.of(records, notes)


def _record(tree: Tree, video: str, row: dict[str, str]) -> VideoRecord:
    label = CATEGORIES[video.partition("/")[0]]
    shown = row["target1"] if label == FAKE and row["method"] != LIP_SYNC else ""
    return tree.record(
        video,
        dataset="fakeavceleb",
        split="",
        label=label,
        method=row["method"] if label == FAKE else "real",
        target=f"voxceleb2/{row['source']}",
        source=f"voxceleb2/{shown}" if shown.startswith("id") else "",
    )


def _read_rows(path: Path) -> dict[str, dict[str, str]]:
    """Returns the rows of the table by the path of the video, relative to the root.

    Raises:
        LayoutError: if the table is missing or malformed.
    """
    table = read_csv(path)
    hint = "use the published file, with the header source,target1,target2,method,category,type,race,gender,path,"
    if not set(COLUMNS) <= set(table.columns):
        raise LayoutError("columns are missing", where=path, hint=hint)
    rows = {}
    for line, row in table.rows:
        if not (row["source"] and row["method"] and row[FILE]):
            raise LayoutError("no source, no method or no path", where=f"{path}:{line}", hint=hint)
        rows[f"{row[FOLDER].removeprefix(TOP).strip('/')}/{row[FILE]}"] = row
    return rows
