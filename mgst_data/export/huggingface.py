"""A folder for Hugging Face ``datasets``: Parquet files of each split, and the head of the card."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mgst_data.export.fields import FRAME_FIELDS, TRACK_FIELDS, frame_fields, track_fields
from mgst_data.export.format import Format
from mgst_data.export.table import TABLE
from mgst_data.export.tracks import LABELS, Track, TrackFrame
from mgst_data.shards.storage import output_errors

# Names of the two configurations: one row per frame, one row per track.
FRAMES, TRACKS = "frames", "tracks"
# Bytes of crops and masks in one file, and in one row group. Readers hold a row group in memory.
FILE_BYTES, GROUP_BYTES = 400_000_000, 32_000_000
# Rows of a row group, for small crops.
_GROUP_ROWS = 1000


class ParquetFiles:
    """Writes the rows of one split. A file that is large enough is closed, and another one is begun.

    Args:
        folder: Folder of the files.
        split: Name of the split.
        schema: Schema of pyarrow.
        file_bytes: Bytes of pictures in one file.
        group_bytes: Bytes of pictures in one row group.
    """

    def __init__(self, folder: Path, split: str, schema: Any, *, file_bytes: int, group_bytes: int) -> None:
        self._folder, self._split, self._schema = folder, split, schema
        self._file_bytes, self._group_bytes = file_bytes, group_bytes
        self._rows: list[dict[str, Any]] = []
        self._waiting = self._in_file = self._files = 0
        self._file: Any = None
        self.rows = self.bytes = 0

    def add(self, row: dict[str, Any], size: int) -> None:
        """Adds a row.

        Args:
            row: Values by name of the column.
            size: Bytes of its pictures.

        Raises:
            OutputError: if the file cannot be written.
        """
        self._rows.append(row)
        self._waiting += size
        if self._waiting >= self._group_bytes or len(self._rows) >= _GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        """Writes the rows that are waiting as a row group.

        Raises:
            OutputError: if the file cannot be written.
        """
        import pyarrow as pa
        from pyarrow import parquet

        if not self._rows:
            return
        table = pa.Table.from_pylist(self._rows, schema=self._schema)
        path = self._folder / f"{self._split}-{self._files:05d}.parquet"
        with output_errors(path):
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                # JPEG does not get smaller, and the page index lets viewers read single rows.
                self._file = parquet.ParquetWriter(path, self._schema, compression="none", write_page_index=True)
            self._file.write_table(table, row_group_size=len(self._rows))
        self.rows += len(self._rows)
        self.bytes += table.nbytes
        self._in_file += self._waiting
        self._rows, self._waiting = [], 0
        if self._in_file >= self._file_bytes:
            self.close()
            self._files, self._in_file = self._files + 1, 0

    def close(self) -> None:
        """Closes the file that is open, if there is one."""
        if self._file is not None:
            self._file.close()
            self._file = None


class HuggingFaceWriter:
    """Writes ``data/SPLIT-00000.parquet`` with one row per frame.

    Args:
        out: Folder to write into.
        file_bytes: Bytes of pictures in one file.
        group_bytes: Bytes of pictures in one row group.
    """

    def __init__(self, out: Path, *, file_bytes: int = FILE_BYTES, group_bytes: int = GROUP_BYTES) -> None:
        self._out, self._features = out, _features()
        self._sizes = {"file_bytes": file_bytes, "group_bytes": group_bytes}
        self._splits: dict[str, ParquetFiles] = {}

    def add(self, track: Track, frames: Iterator[TrackFrame]) -> None:
        """Writes the rows of a track.

        Args:
            track: The track.
            frames: Its chosen frames.

        Raises:
            OutputError: if a file cannot be written.
        """
        if track.split not in self._splits:
            schema = self._features.arrow_schema
            self._splits[track.split] = ParquetFiles(self._out / "data", track.split, schema, **self._sizes)
        files, common = self._splits[track.split], track_fields(track)
        for frame in frames:
            pictures = _pictures(track, frame)
            size = sum(len(picture["bytes"]) for picture in pictures.values() if picture)
            files.add(pictures | common | frame_fields(frame), size)

    def finish(self) -> str:
        """Writes the last rows and the table of tracks; returns the YAML head of the card.

        Raises:
            OutputError: if a file cannot be written.
        """
        for files in self._splits.values():
            files.flush()
        self.close()
        _write_tracks(self._out)
        return self._head()

    def close(self) -> None:
        """Closes all files."""
        for files in self._splits.values():
            files.close()

    def _head(self) -> str:
        from datasets import DatasetInfo, SplitDict, SplitInfo
        from datasets.info import DatasetInfosDict
        from datasets.utils.metadata import MetadataConfigs
        from huggingface_hub import DatasetCardData

        splits = SplitDict()
        for name, files in self._splits.items():
            splits.add(SplitInfo(name, num_bytes=files.bytes, num_examples=files.rows))
        size = sum(files.bytes for files in self._splits.values())
        info = DatasetInfo(features=self._features, splits=splits, dataset_size=size, config_name=FRAMES)
        paths = [{"split": name, "path": f"data/{name}-*.parquet"} for name in self._splits]
        card = DatasetCardData(
            license="other",
            task_categories=["image-classification", "video-classification"],
            tags=["deepfake-detection", "face"],
            pretty_name="Face tracks",
        )
        DatasetInfosDict({FRAMES: info}).to_dataset_card_data(card)
        MetadataConfigs(
            {
                FRAMES: {"data_files": paths, "default": True},
                TRACKS: {"data_files": [{"split": "tracks", "path": f"{TRACKS}.parquet"}]},
            }
        ).to_dataset_card_data(card)
        return f"---\n{card}\n---\n"


def _features() -> Any:
    from datasets import ClassLabel, Features, Image, List, Value

    kinds = {
        "label": ClassLabel(names=list(LABELS)),
        **dict.fromkeys(("track_number", "width", "height", "frame"), Value("int32")),
        **dict.fromkeys(("time", "fps"), Value("float64")),
        **dict.fromkeys(("box", "frame_box"), List(Value("float32"), length=4)),
        "landmarks": List(List(Value("float32"), length=2)),
        "valid": List(Value("bool")),
        "score": Value("float32"),
        "damaged": Value("bool"),
        "crop_from_frame": List(List(Value("float64"), length=3), length=2),
    }
    names = (*FRAME_FIELDS, *TRACK_FIELDS)
    return Features({"image": Image(), "mask": Image(), **{name: kinds.get(name, Value("string")) for name in names}})


def _write_tracks(out: Path) -> None:
    """Writes the table of tracks again as Parquet: all files of a folder must have one format."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    words = dict.fromkeys((*TRACK_FIELDS, "split", "label"), pa.string())
    numbers = {"track_number": pa.int32(), "width": pa.int32(), "height": pa.int32(), "fps": pa.float64()}
    table = csv.read_csv(out / TABLE, convert_options=csv.ConvertOptions(column_types=words | numbers))
    path = out / f"{TRACKS}.parquet"
    with output_errors(path):
        parquet.write_table(table, path)


def _pictures(track: Track, frame: TrackFrame) -> dict[str, dict[str, Any] | None]:
    stem, mask = track.name.replace("/", "-"), frame.mask
    return {
        "image": {"bytes": bytes(frame.image), "path": f"{stem}-{frame.file}"},
        "mask": None if mask is None else {"bytes": bytes(mask), "path": f"{stem}-{frame.mask_file}"},
    }


def _command(out: Path, splits: Sequence[str]) -> str:  # noqa: ARG001 - other formats need the splits
    code = f"from datasets import load_dataset; print(load_dataset({json.dumps(str(out))}))"
    return f"python -c {shlex.quote(code)}"


FORMAT = Format(
    title="Hugging Face datasets",
    writer=HuggingFaceWriter,
    files="""\
- `data/SPLIT-00000.parquet`: one row per frame, with the crop (`image`) as it is in the shard, the manipulation `mask`
  where the data set has one, and the fields below.
- `tracks.parquet`: one row per track, the same as `tracks.csv`.
""",
    use="""\
from datasets import load_dataset

frames = load_dataset(".", split="{split}")  # streaming=True reads row by row, without a copy in the cache
tracks = load_dataset(".", "tracks", split="tracks")
""",
    command=_command,
    package="datasets",
)
