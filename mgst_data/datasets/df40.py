"""DF40: forty methods, as frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mgst_data.core import FAKE, REAL
from mgst_data.core.errors import printable
from mgst_data.core.locations import join
from mgst_data.datasets.celebdf import CELEB_NAME
from mgst_data.datasets.faceforensics import FFPP_NAME
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.tree import Tree

# What lies in a method's folder: label, and the collection that its names and people come from.
BRANCHES = {
    "": (FAKE, "ffpp"),
    "ff": (FAKE, "ffpp"),
    "cdf": (FAKE, "celeb_df"),
    "fake": (FAKE, ""),
    "real": (REAL, ""),
}
# The methods of the release that make videos, as their folders are named.
METHODS = (
    "blendface", "deepfacelab", "e4s", "facedancer", "faceswap", "fsgan", "inswap", "mobileswap", "simswap", "uniface",
    "MRAA", "danet", "facevid2vid", "fomm", "heygen", "heygen_new", "hyperreenact", "lia", "mcnet", "one_shot_free",
    "pirender", "sadtalker", "tpsm", "wav2lip",
)  # fmt: skip
NAMES = {"ffpp": FFPP_NAME, "celeb_df": CELEB_NAME}


@LAYOUTS.register("df40")
@dataclass(frozen=True, slots=True)
class DF40:
    """``<method>/[ff|cdf|fake|real]/frames/<video>/*.png``, in the archives DF40_train and DF40 (the test).

    These are no videos: a record's path is the folder of a video's frames, images named by frame number and already
    cropped. Methods that make single images, and have no ``frames/``, are noted and left out. Except for the few
    methods with a ``real/`` folder the set holds fakes only; its reals are those of FaceForensics++ and Celeb-DF,
    whose identities the names carry ("ffpp/000", "celeb_df/id0"), so that leakage towards them is found.

    Split: ``ff`` and ``cdf`` occur in the test archive only; ``<method>/frames`` is train where the root's name ends
    in "train", and "" otherwise.

    Source: Yan et al., "DF40: Toward Next-Generation Deepfake Detection" (2024).
    """

    looks_for: ClassVar[str] = "frames/, ff/frames/ or cdf/frames/ in blendface/, simswap/, fomm/, ..."

    def recognises(self, root: Path) -> bool:
        """Looks for frames of the methods it knows."""
        tree = Tree.of(root)
        return any(tree.has_folder(_frames(method, branch)) for method in METHODS for branch in BRANCHES)

    def scan(self, root: Path) -> Scan:
        """Finds the frame folders of every method.

        Raises:
            LayoutError: if the root cannot be read.
        """
        tree = Tree.of(root, suffix="")
        notes: list[Note] = []
        records = []
        for method in tree.listing().folders:
            places = [branch for branch in BRANCHES if tree.has_folder(_frames(method, branch))]
            if not places:
                notes.append(Note(printable(method), "has no frames/: single images are no videos", "not_video"))
            for branch in places:
                label, collection = BRANCHES[branch]
                folder = _frames(method, branch)
                for name in tree.listing(folder).folders:
                    target, source = _identities(name, collection)
                    record = tree.record(
                        join(folder, name),
                        dataset="df40",
                        split=_split(branch, tree.root.name),
                        label=label,
                        method=printable(method) if label == FAKE else "real",
                        target=target,
                        source=source,
                    )
                    records.append(record)
        if all(record.label == FAKE for record in records):
            what = "only fakes: the real videos are those of FaceForensics++ and Celeb-DF"
            notes.append(Note(".", what, "no_reals"))
        return Scan.of(records, notes)


def _frames(method: str, branch: str) -> str:
    return join(join(method, branch), "frames")


def _split(branch: str, root: str) -> str:
    if branch in ("ff", "cdf"):
        return "test"
    return "train" if not branch and root.lower().endswith("train") else ""


def _identities(name: str, collection: str) -> tuple[str, str]:
    """Target and source, where the name tells them."""
    match = NAMES[collection].fullmatch(name) if collection else None
    if match is None:
        return "", ""
    return f"{collection}/{match['target']}", f"{collection}/{match['source']}" if match["source"] else ""
