"""Layout of the videos of ForgeryNet, whose fakes may be fake only in parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mgst_data.core import FAKE, REAL, LayoutError, RecordTable
from mgst_data.datasets.files import read_text
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.listed import match_listed
from mgst_data.datasets.tree import Tree

LIST = "video_list.txt"
SUBSETS = {"Training": ("train", "train_video_release"), "Validation": ("val", "val_video_release")}
TEST = "Test"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a list.

    Attributes:
        label: 0 for real, 1 for fake.
        number: Number of the method, 1 to 15; 0 for real videos.
        parts: Number of parts of the video; each is real or fake as a whole.
    """

    label: int
    number: int
    parts: int


@LAYOUTS.register("forgerynet")
@dataclass(frozen=True, slots=True)
class ForgeryNet:
    """Reads ``{Training,Validation}/video_list.txt`` and ``.../video/{train,val}_video_release/**/video.mp4``.

    A line of a list is ``<parts> <video> [<first frame> <frames> <fake or real>]... <two-class label> <three-class
    label> <16-class label>``. The 16-class label is the number of the method, and 0 for real; the lists give no names.
    The split is train for the folder ``Training`` and val for ``Validation``. The identities are unknown.

    A fake with several parts is fake only in some of them. The lists give frame numbers but no frame rate, and the
    videos have between 20 and 30 frames per second. Therefore the parts cannot be given in seconds: ``fake_spans`` is
    empty, and a note reports the number of these videos. Test videos have no published labels in this tree; they are
    left out, with a note. Images of the data set are not read.

    Source: He et al., "ForgeryNet: A Versatile Benchmark for Comprehensive Forgery Analysis" (2021),
    https://github.com/yinanhe/ForgeryNet. The places of lists and videos are those that
    https://github.com/davide-coccomini/MINTIME-Multi-Identity-size-iNvariant-TIMEsformer-for-Video-Deepfake-Detection
    reads.
    """

    looks_for: ClassVar[str] = "Training/video_list.txt or Validation/video_list.txt"

    def recognises(self, root: Path) -> bool:
        """Returns whether the root has a list of videos and their folder."""
        tree = Tree.of(root)
        return any(
            tree.has_file(f"{folder}/{LIST}") and tree.has_folder(f"{folder}/video/{release}")
            for folder, (_, release) in SUBSETS.items()
        )

    def scan(self, root: Path) -> Scan:
        """Finds the videos that the lists contain.

        Raises:
            LayoutError: if neither subset is found, or if a list is missing or malformed.
        """
        tree = Tree.of(root)
        notes: list[Note] = []
        present = [folder for folder in SUBSETS if tree.has_folder(folder)]
        if not present:
            what = f"contains none of the folders {', '.join(SUBSETS)}"
            raise LayoutError(what, where=root, hint=f"expected {self.looks_for}")
        notes += [Note(folder, "not found", "missing_folder") for folder in SUBSETS if folder not in present]
        if tree.has_folder(TEST):
            notes.append(Note(TEST, "not used: its labels are unknown", "no_label"))
        records = RecordTable()
        for folder in present:
            split, release = SUBSETS[folder]
            videos = f"{folder}/video/{release}"
            lines = _read_lines(tree.root / folder / LIST, videos)
            found = list(match_listed(lines, tree.videos_below(videos, notes), f"{folder}/{LIST}", notes))
            partly = sum(line.label == FAKE and line.parts > 1 for _, line in found)
            if partly:
                what = (
                    f"videos that are fake only in parts: {partly}; their parts are not used, as there is no frame rate"
                )
                notes.append(Note(f"{folder}/{LIST}", what, "partly_fake"))
            for video, line in found:
                method = f"method_{line.number}" if line.label == FAKE else "real"
                records.append(tree.record(video, dataset="forgerynet", split=split, label=line.label, method=method))
        return Scan.of(records, notes)


def _read_lines(path: Path, videos: str) -> dict[str, Line]:
    """Returns the lines of a list by the path of the video, relative to the root.

    Raises:
        LayoutError: if a line is malformed.
    """
    release = videos.rpartition("/")[2]
    hint = "expected '<parts> <video> [<first frame> <frames> <fake or real>]... <label> <label> <label>'"
    lines = {}
    for number, text in enumerate(read_text(path).split("\n"), start=1):
        values = text.split()
        if not values:
            continue
        numbers = values[:1] + values[2:]
        whole = all(value.isascii() and value.isdigit() for value in numbers)
        if not whole or len(values) < 5 or len(values) != 5 + 3 * int(values[0]):
            raise LayoutError(f"cannot parse {text!r:.80}", where=f"{path}:{number}", hint=hint)
        parts, label, method = int(values[0]), int(values[-3]), int(values[-1])
        if label not in (REAL, FAKE) or (label == FAKE) != (method > 0):
            raise LayoutError("the two-class and the 16-class label differ", where=f"{path}:{number}", hint=hint)
        lines[f"{videos}/{values[1].removeprefix(f'{release}/')}"] = Line(label, method, parts)
    return lines
