"""Layout of DeepfakeTIMIT (DF-TIMIT), which has only fakes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mgst_data.core import FAKE, REAL, LayoutError, VideoRecord
from mgst_data.core.errors import printable
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.tree import Tree

QUALITIES = ("lower_quality", "higher_quality")
NAME = re.compile(r"(?P<sentence>[a-z0-9]+)-video-(?P<source>[a-z0-9]+)\.avi")
AUDIO = ".wav"


@LAYOUTS.register("deepfake_timit")
@dataclass(frozen=True, slots=True)
class DeepfakeTIMIT:
    """Reads ``{lower,higher}_quality/<target>/<sentence>-video-<source>.avi``.

    The method of a fake is the quality: "lower_quality" (a network for 64 x 64 pixels) or "higher_quality" (128 x 128).
    The persons are those of VidTIMIT ("vidtimit/fadg0"). Its real videos are the videos of VidTIMIT that were changed.
    They are read from ``reals``, as folders of images: ``<person>/video/<sentence>/``. Without ``reals``, only fakes
    are found, and a note reports this. There are no official splits.

    Source: Korshunov and Marcel, "DeepFakes: a New Threat to Face Recognition? Assessment and Detection" (2018),
    https://www.idiap.ch/en/scientific-research/data/deepfaketimit.

    Attributes:
        reals: Root of VidTIMIT.
    """

    reals: Path | None = None
    looks_for: ClassVar[str] = "lower_quality/ or higher_quality/ with fadg0/sa1-video-fram1.avi, ..."

    def recognises(self, root: Path) -> bool:
        """Returns whether one of the qualities has a person with a fake."""
        tree = Tree.of(root)
        for quality in filter(tree.has_folder, QUALITIES):
            for person in tree.listing(quality).folders[:1]:
                return any(NAME.fullmatch(name) for name in tree.listing(f"{quality}/{person}").files)
        return False

    def scan(self, root: Path) -> Scan:
        """Finds the fakes of both qualities, and the real videos if ``reals`` is given.

        Raises:
            LayoutError: if neither quality is found, or if ``reals`` has none of the videos or has images without
                suffix.
        """
        tree = Tree.of(root)
        notes: list[Note] = []
        present = [quality for quality in QUALITIES if tree.has_folder(quality)]
        if not present:
            what = f"contains none of the folders {', '.join(QUALITIES)}"
            raise LayoutError(what, where=root, hint="give the folder that contains them, or choose another layout")
        notes += [Note(quality, "not found", "missing_folder") for quality in QUALITIES if quality not in present]
        records = []
        changed: set[str] = set()
        for quality in present:
            for person in tree.listing(quality).folders:
                for name in tree.listing(f"{quality}/{person}").files:
                    video, match = f"{quality}/{person}/{name}", NAME.fullmatch(name)
                    if match:
                        records.append(_fake(tree, video, person, match["source"]))
                        changed.add(f"{person}/video/{match['sentence']}")
                    elif not name.endswith(AUDIO):
                        what = "file name does not follow the naming scheme"
                        notes.append(Note(printable(video), what, "unknown_name"))
        if self.reals:
            records += _reals(Tree.of(self.reals, suffix=""), sorted(changed))
        else:
            what = "only fakes: the real videos are those of VidTIMIT; give its folder (--reals)"
            notes.append(Note(".", what, "no_reals"))
        return Scan.of(records, notes)


def _fake(tree: Tree, video: str, target: str, source: str) -> VideoRecord:
    return tree.record(
        video,
        dataset="deepfake_timit",
        split="",
        label=FAKE,
        method=video.partition("/")[0],
        target=f"vidtimit/{printable(target)}",
        source=f"vidtimit/{source}",
    )


def _reals(tree: Tree, folders: list[str]) -> Iterator[VideoRecord]:
    """Yields the videos of VidTIMIT in these folders.

    Raises:
        LayoutError: if there is none of them, or if the images of one have no suffix.
    """
    present = [folder for folder in folders if tree.has_folder(folder)]
    if not present:
        hint = "expected <person>/video/<sentence>/, for example fadg0/video/sa1/"
        raise LayoutError("contains none of the changed videos of VidTIMIT", where=tree.root, hint=hint)
    for folder in present:
        if not all("." in name for name in tree.listing(folder).files):
            hint = "add the suffix .jpg to their names; the documentation of this data set has a command for it"
            raise LayoutError("the images have no suffix, so they cannot be read", where=tree.path(folder), hint=hint)
        person = folder.partition("/")[0]
        yield tree.record(folder, dataset="deepfake_timit", split="", label=REAL, target=f"vidtimit/{person}")
