"""Layout of DFDCP, the preview data set of the Deepfake Detection Challenge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mgst_data.core import FAKE, LayoutError, VideoRecord
from mgst_data.datasets.files import parse_label, read_json
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.listed import match_listed
from mgst_data.datasets.tree import Tree

INDEX = "dataset.json"
FOLDERS = ("original_videos", "method_A", "method_B")


@LAYOUTS.register("dfdc_preview")
@dataclass(frozen=True, slots=True)
class DFDCPreview:
    """Reads ``dataset.json`` and the listed videos in ``original_videos/``, ``method_A/`` and ``method_B/``.

    Label, split and both identities come from ``dataset.json``: ``target_id`` is the target identity (whose video it
    was), ``swapped_id`` is the source identity (whose face is shown).

    Source: Dolhansky et al., "The Deepfake Detection Challenge (DFDC) Preview Dataset" (2019).
    """

    looks_for: ClassVar[str] = "dataset.json next to original_videos/, method_A/ or method_B/"

    def recognises(self, root: Path) -> bool:
        """Returns whether the root has the index file and one of the folders."""
        tree = Tree.of(root)
        return tree.has_file(INDEX) and any(tree.has_folder(folder) for folder in FOLDERS)

    def scan(self, root: Path) -> Scan:
        """Finds the videos that the index file lists.

        Raises:
            LayoutError: if the index file is missing or malformed.
        """
        tree = Tree.of(root)
        notes: list[Note] = []
        index = read_json(tree.root / INDEX)
        if not isinstance(index, dict):
            what = "not a JSON object with one entry per video"
            raise LayoutError(what, where=tree.root / INDEX, hint="download the file again")
        present = []
        for folder in FOLDERS:
            if tree.has_folder(folder):
                present += tree.videos_below(folder, notes)
            else:
                notes.append(Note(folder, "not found", "missing_folder"))
        records = [_record(tree, video, entry) for video, entry in match_listed(index, present, INDEX, notes)]
        return Scan.of(records, notes)


def _record(tree: Tree, video: str, entry: Any) -> VideoRecord:
    fields: Mapping[str, Any] = entry if isinstance(entry, dict) else {}
    label, split = parse_label(fields.get("label")), fields.get("set")
    if label is None or split not in ("train", "test"):
        what = f"no label (real, fake) or no set (train, test) for {video!r}"
        raise LayoutError(what, where=tree.root / INDEX, hint="download the file again")
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
