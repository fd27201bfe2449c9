"""Layout of the videos of Deepfake-Eval-2024, which were collected from social media."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mgst_data.core import FAKE, LayoutError
from mgst_data.core.errors import printable
from mgst_data.datasets.files import parse_label, read_csv
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.listed import match_listed
from mgst_data.datasets.tree import Tree

VIDEOS = "video-data"
TABLES = ("video-metadata-publish-with-links.csv", "video-metadata-publish.csv")
FILE, LABEL, SET = "filename", "video ground truth", "finetuning set"


@LAYOUTS.register("deepfake_eval_2024")
@dataclass(frozen=True, slots=True)
class DeepfakeEval2024:
    """Reads ``video-data/*`` and ``video-metadata-publish.csv``, or the same table with links.

    The label is the column ``Video Ground Truth``. A real video may have a fake voice (``Audio Ground Truth``). Videos
    that are labelled "Unknown" are left out, with a note. The split is the column ``Finetuning Set``. The persons are
    unknown, so that leakage cannot be checked. Audio files and images of the data set are not read.

    Source: Chandra et al., "Deepfake-Eval-2024: A Multi-Modal In-the-Wild Benchmark of Deepfakes Circulated in 2024"
    (2025), https://huggingface.co/datasets/nuriachandra/Deepfake-Eval-2024.
    """

    looks_for: ClassVar[str] = "video-metadata-publish.csv next to video-data/"

    def recognises(self, root: Path) -> bool:
        """Returns whether the root has the table and the folder of videos."""
        tree = Tree.of(root)
        return tree.has_folder(VIDEOS) and any(tree.has_file(table) for table in TABLES)

    def scan(self, root: Path) -> Scan:
        """Finds the videos that the table lists.

        Raises:
            LayoutError: if the table or the folder is missing, or if the table is malformed.
        """
        tree = Tree.of(root)
        notes: list[Note] = []
        table = next((name for name in TABLES if tree.has_file(name)), TABLES[-1])
        rows = _read_rows(tree.root / table)
        records = []
        for video, row in match_listed(rows, tree.videos_below(VIDEOS, notes), table, notes):
            label = parse_label(row[LABEL])
            if label is None:
                notes.append(Note(printable(video), f"labelled {printable(row[LABEL])!r} in {table}", "no_label"))
                continue
            record = tree.record(
                video,
                dataset="deepfake_eval_2024",
                split=row[SET].lower(),
                label=label,
                method="Deepfake-Eval-2024" if label == FAKE else "real",
            )
            records.append(record)
        return Scan.of(records, notes)


def _read_rows(path: Path) -> dict[str, dict[str, str]]:
    """Returns the rows of the table by the path of the video, relative to the root.

    Raises:
        LayoutError: if the table is missing or malformed.
    """
    table = read_csv(path)
    hint = "use the published file, with the columns Filename, Video Ground Truth and Finetuning Set"
    if not {FILE, LABEL, SET} <= set(table.columns):
        raise LayoutError("columns are missing", where=path, hint=hint)
    for line, row in table.rows:
        if not row[FILE] or row[SET].lower() not in ("train", "test", ""):
            raise LayoutError("no file name or an unknown set", where=f"{path}:{line}", hint=hint)
    return {f"{VIDEOS}/{row[FILE]}": row for _, row in table.rows}
