"""The preview of the Deepfake Detection Challenge's data set (DFDCP)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mgst_data.core import FAKE, LayoutError, VideoRecord
from mgst_data.core.errors import printable
from mgst_data.datasets.files import parse_label, read_json
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.tree import Tree

INDEX = "dataset.json"
FOLDERS = ("original_videos", "method_A", "method_B")


@LAYOUTS.register("dfdc_preview")
@dataclass(frozen=True, slots=True)
class DFDCPreview:
    """``dataset.json`` and the videos it names in ``original_videos/``, ``method_A/`` and ``method_B/``.

    Label, split and both identities come from ``dataset.json``: ``target_id`` is the person filmed, ``swapped_id``
    the one whose face was put on.

    Source: Dolhansky et al., "The Deepfake Detection Challenge (DFDC) Preview Dataset" (2019).
    """

    looks_for: ClassVar[str] = "dataset.json beside original_videos/, method_A/ or method_B/"

    def recognises(self, root: Path) -> bool:
        """Looks for one of the folders beside the index."""
        tree = Tree.of(root)
        return tree.has_file(INDEX) and any(tree.has_folder(folder) for folder in FOLDERS)

    def scan(self, root: Path) -> Scan:
        """Finds the videos that the index describes.

        Raises:
            LayoutError: if the index is missing or malformed.
        """
        tree = Tree.of(root)
        notes: list[Note] = []
        index = read_json(tree.root / INDEX)
        if not isinstance(index, dict):
            raise LayoutError("is no table of videos", where=tree.root / INDEX, hint="fetch the file again")
        present = []
        for folder in FOLDERS:
            if tree.has_folder(folder):
                present += [video for at in tree.walk(folder, notes) for video in tree.videos_in(at, notes)]
            else:
                notes.append(Note(folder, "is not there", "missing_folder"))
        absent = sorted(index.keys() - set(present))
        notes += [Note(printable(video), f"in {INDEX}, but not there", "missing_video") for video in absent]
        records = []
        for video in present:
            if video in index:
                records.append(_record(tree, video, index[video]))
            else:
                notes.append(Note(printable(video), f"is not in {INDEX}, so its label is unknown", "no_label"))
        return Scan.of(records, notes)


def _record(tree: Tree, video: str, entry: Any) -> VideoRecord:
    fields: Mapping[str, Any] = entry if isinstance(entry, dict) else {}
    label, split = parse_label(fields.get("label")), fields.get("set")
    if label is None or split not in ("train", "test"):
        what = f"gives no label (real, fake) or no set (train, test) for {video!r}"
        raise LayoutError(what, where=tree.root / INDEX, hint="fetch the file again")
    target, source = fields.get("target_id"), fields.get("swapped_id")
    return tree.record(
        video,
        dataset="dfdc_preview",
        split=split,
        label=label,
        method=video.partition("/")[0] if label == FAKE else "real",
        target=f"dfdc_preview/{target}" if target else "",
        source=f"dfdc_preview/{source}" if source else "",
    )
