"""Layout of DF40, which has forty methods and is stored as images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mgst_data.core import FAKE, REAL
from mgst_data.core.errors import printable
from mgst_data.core.locations import join
from mgst_data.datasets.celebdf import CELEB_NAME
from mgst_data.datasets.df40_json import DATASET_JSON, Place, read_official
from mgst_data.datasets.faceforensics import FFPP_NAME
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.tree import Tree

# Subfolders of the folder of a method: label, and the collection that defines its names and identities.
BRANCHES = {
    "": (FAKE, "ffpp"),
    "ff": (FAKE, "ffpp"),
    "cdf": (FAKE, "celeb_df"),
    "fake": (FAKE, ""),
    "real": (REAL, ""),
}
# Folder names of the methods that make videos.
METHODS = (
    "blendface", "deepfacelab", "e4s", "facedancer", "faceswap", "fsgan", "inswap", "mobileswap", "simswap", "uniface",
    "MRAA", "danet", "facevid2vid", "fomm", "heygen", "heygen_new", "hyperreenact", "lia", "mcnet", "one_shot_free",
    "pirender", "sadtalker", "tpsm", "wav2lip",
)  # fmt: skip
NAMES = {"ffpp": FFPP_NAME, "celeb_df": CELEB_NAME}


@LAYOUTS.register("df40")
@dataclass(frozen=True, slots=True)
class DF40:
    """Reads ``<method>/[ff|cdf|fake|real]/frames/<video>/*.png`` of the archives DF40_train and DF40 (the test set).

    The data set contains images instead of videos: the path of a record is the folder with the frames of one video. The
    images are named by frame number and already cropped. If a folder ``landmarks/`` is beside ``frames/``, they are
    prepared crops, as in DeepfakeBench. Methods that make single images have no ``frames/``; they are
    left out, with a note. The data set has only fakes, except for a few methods with a folder ``real/``. Its real
    videos are those of FaceForensics++ and Celeb-DF. File names contain their identities ("ffpp/000", "celeb_df/id0"),
    so that leakage between the data sets is found.

    The official splits are read from the JSON files of the authors in ``dataset_json/`` or in ``splits``. The authors
    list the test videos as val, too; these are test. A video that is listed for training and for testing has no split,
    with a note. Without the JSON files, the split comes from the folders: in a root whose name ends in "train", fakes
    of ``ff``, ``cdf`` or no subfolder are train. In other roots, ``ff`` and ``cdf`` are test. Otherwise it is "".

    Source: Yan et al., "DF40: Toward Next-Generation Deepfake Detection" (2024), https://github.com/YZY-stack/DF40.

    Attributes:
        splits: Folder of the JSON files; by default ``dataset_json/``.
    """

    splits: Path | None = None
    looks_for: ClassVar[str] = "frames/, ff/frames/ or cdf/frames/ in blendface/, simswap/, fomm/, ..."

    def recognises(self, root: Path) -> bool:
        """Returns whether the root has frames of one of the known methods."""
        tree = Tree.of(root)
        return any(tree.has_folder(_frames(method, branch)) for method in METHODS for branch in BRANCHES)

    def scan(self, root: Path) -> Scan:
        """Finds the frame folders of every method.

        Raises:
            LayoutError: if the root cannot be read, if a JSON file is malformed, or if ``splits`` has none.
        """
        tree = Tree.of(root, suffix="")
        notes: list[Note] = []
        records = []
        official = read_official(tree, self.splits)
        for method in [name for name in tree.listing().folders if name != DATASET_JSON]:
            places = [branch for branch in BRANCHES if tree.has_folder(_frames(method, branch))]
            if not places:
                notes.append(Note(printable(method), "has no folder frames/; single images are not used", "not_video"))
            for branch in places:
                label, collection = BRANCHES[branch]
                folder = _frames(method, branch)
                beside = f"{join(method, branch)}/landmarks"
                prepared = set(tree.listing(beside).folders) if tree.has_folder(beside) else set()
                for name in tree.listing(folder).folders:
                    target, source = _identities(name, collection)
                    split = _split(branch, tree.root.name)
                    if official is not None:
                        split = official.get(Place(_is_train(tree.root.name), method, _kind(branch), name), "")
                        if not split:
                            what = f"listed in no split or in train and test of {DATASET_JSON}/"
                            notes.append(Note(printable(join(folder, name)), what, "no_split"))
                    record = tree.record(
                        join(folder, name),
                        dataset="df40",
                        split=split,
                        label=label,
                        method=printable(method) if label == FAKE else "real",
                        target=target,
                        source=source,
                        landmarks=join(beside, name) if name in prepared else "",
                    )
                    records.append(record)
        if all(record.label == FAKE for record in records):
            what = "only fakes found; the real videos are those of FaceForensics++ and Celeb-DF"
            notes.append(Note(".", what, "no_reals"))
        return Scan.of(records, notes)


def _frames(method: str, branch: str) -> str:
    return join(join(method, branch), "frames")


def _is_train(root: str) -> bool:
    return root.lower().endswith("train")


def _split(branch: str, root: str) -> str:
    if branch in ("fake", "real"):
        return ""
    if _is_train(root):
        return "train"
    return "test" if branch else ""


def _kind(branch: str) -> str:
    return branch if branch in ("fake", "real") else ""


def _identities(name: str, collection: str) -> tuple[str, str]:
    """Returns target and source identity; "" if the name does not contain them."""
    match = NAMES[collection].fullmatch(name) if collection else None
    if match is None:
        return "", ""
    return f"{collection}/{match['target']}", f"{collection}/{match['source']}" if match["source"] else ""
