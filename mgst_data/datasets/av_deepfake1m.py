"""Layout of AV-Deepfake1M and AV-Deepfake1M++, whose fakes are fake only in parts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from mgst_data.core import FAKE, REAL, LayoutError, RecordTable, VideoRecord
from mgst_data.datasets.files import read_json
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.listed import match_listed
from mgst_data.datasets.tree import Tree

SUBSETS = ("train", "val")
# The label says whether the picture was changed; a changed voice does not count.
LABELS = {"real": REAL, "audio_modified": REAL, "visual_modified": FAKE, "both_modified": FAKE}
# Path of a video below its subset. The first version has only videos of VoxCeleb2, without a folder for it.
PERSONS = (
    (re.compile(r"(?:vox_celeb_2/)?(id\d{4,5})/.+"), "voxceleb2"),
    (re.compile(r"lrs3/([^/]+)/.+"), "lrs3"),
    (re.compile(r"silent_videos/(subject_\d+)_.+"), "silent_videos"),
)

Spans = tuple[tuple[float, float], ...]


class Entry(NamedTuple):
    """Metadata of one video.

    Attributes:
        kind: Key of ``LABELS``.
        method: Method of a fake.
        spans: Changed parts of the picture, seconds.
    """

    kind: str
    method: str
    spans: Spans


@LAYOUTS.register("av_deepfake1m")
@dataclass(frozen=True, slots=True)
class AVDeepfake1M:
    """Reads ``{train,val}_metadata.json`` and the listed videos in ``train/`` and ``val/``, of either version.

    The label says whether the picture was changed: ``visual_modified`` and ``both_modified`` are fake. Videos with
    ``audio_modified`` have a real picture and a fake voice; they are **real**. Fakes are fake only in the parts
    ``visual_fake_segments``, in seconds; these are the fake spans of the record. The method is the video model where
    the metadata names it (version ++), or else the kind of change. The person is read from the path. Test videos have
    no published labels; they are left out, with a note.

    Sources: Cai et al., "AV-Deepfake1M: A Large-Scale LLM-Driven Audio-Visual Deepfake Dataset" (2024), and
    "AV-Deepfake1M++: A Large-Scale Audio-Visual Deepfake Benchmark with Real-World Perturbations" (2025),
    https://github.com/ControlNet/AV-Deepfake1M.
    """

    looks_for: ClassVar[str] = "train_metadata.json or val_metadata.json next to train/ or val/"

    def recognises(self, root: Path) -> bool:
        """Returns whether the root has the metadata and the folder of a subset."""
        tree = Tree.of(root)
        return any(tree.has_file(_metadata(subset)) and tree.has_folder(subset) for subset in SUBSETS)

    def scan(self, root: Path) -> Scan:
        """Finds the videos that the metadata list.

        Raises:
            LayoutError: if no subset is found, or if metadata are missing or malformed.
        """
        tree = Tree.of(root)
        notes: list[Note] = []
        subsets = [subset for subset in SUBSETS if tree.has_folder(subset)]
        if not subsets:
            raise LayoutError("contains none of the folders train, val", where=root, hint=f"expected {self.looks_for}")
        notes += [Note(subset, "not found", "missing_folder") for subset in SUBSETS if subset not in subsets]
        notes += [
            Note(name, "not used: the labels of test videos are not published", "no_label")
            for name in tree.listing().folders
            if name.lower().startswith("test")
        ]
        records = RecordTable()
        for subset in subsets:
            source = _metadata(subset)
            listed = _read_entries(tree.root / source, subset)
            for video, entry in match_listed(listed, tree.videos_below(subset, notes), source, notes):
                records.append(_record(tree, video, subset, entry))
        return Scan.of(records, notes)


def _metadata(subset: str) -> str:
    return f"{subset}_metadata.json"


def _record(tree: Tree, video: str, subset: str, entry: Entry) -> VideoRecord:
    fake = LABELS[entry.kind] == FAKE
    return tree.record(
        video,
        dataset="av_deepfake1m",
        split=subset,
        label=LABELS[entry.kind],
        method=entry.method if fake else "real",
        target=_person(video.removeprefix(f"{subset}/")),
        fake_spans=entry.spans if fake else (),
    )


def _person(path: str) -> str:
    for pattern, collection in PERSONS:
        match = pattern.fullmatch(path)
        if match:
            return f"{collection}/{match[1]}"
    return ""


def _read_entries(path: Path, subset: str) -> dict[str, Entry]:
    """Returns the entries by the path of the video, relative to the root.

    Raises:
        LayoutError: if the file is missing or malformed.
    """
    hint = "use the published file: a list with file, modify_type and visual_fake_segments of each video"
    data = read_json(path)
    if not isinstance(data, list):
        raise LayoutError("not a JSON list", where=path, hint=hint)
    entries = {}
    for number, entry in enumerate(data, start=1):
        fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
        kind = str(fields.get("modify_type")).replace("-", "_")
        file, spans = fields.get("file"), _spans(fields.get("visual_fake_segments", ()))
        if kind not in LABELS or not isinstance(file, str) or spans is None:
            raise LayoutError(f"cannot read entry {number}: {entry!r:.80}", where=path, hint=hint)
        entries[f"{subset}/{file}"] = Entry(kind, str(fields.get("video_model") or kind), spans)
    return entries


def _spans(value: object) -> Spans | None:
    """Returns the spans sorted and without overlap, or None if the value is not a list of spans."""
    if not isinstance(value, list | tuple) or not all(_is_span(item) for item in value):
        return None
    merged: list[tuple[float, float]] = []
    for start, end in sorted((float(start), float(end)) for start, end in value):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return tuple(merged)


def _is_span(item: object) -> bool:
    if not isinstance(item, Iterable):
        return False
    times = list(item)
    return len(times) == 2 and all(isinstance(time, int | float) for time in times) and 0 <= times[0] <= times[1]
