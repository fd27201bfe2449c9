"""A folder that FiftyOne imports: its own JSON format, written without its database."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mgst_data.export.fields import FRAME_FIELDS, TRACK_FIELDS, frame_fields, track_fields
from mgst_data.export.format import Format, JsonLines, save
from mgst_data.export.points import landmark_lines, landmark_names
from mgst_data.export.tracks import LABELS, Track, TrackFrame
from mgst_data.shards.storage import output_errors, write_atomic

# Version of the format. Later versions of FiftyOne migrate it while they read it; 1.22 was tested.
VERSION = "1.0.0"
PICTURES, MASKS = "data", "fields/manipulation"
_CORE = "fiftyone.core"
_TYPES = {
    **dict.fromkeys(("text", *TRACK_FIELDS), "StringField"),
    **dict.fromkeys(("track_number", "width", "height", "frame", "index", "size_bytes", "num_channels"), "IntField"),
    **dict.fromkeys(("fps", "time", "confidence"), "FloatField"),
    "damaged": "BooleanField",
}
_MIME = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}


class FiftyOneWriter:
    """Writes ``data/SPLIT/TRACK/FRAME.jpg``, masks below ``fields/``, ``metadata.json`` and ``samples.json``.

    Args:
        out: Folder to write into.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._samples = JsonLines(out / "samples.part")
        self._points: set[int] = set()

    def add(self, track: Track, frames: Iterator[TrackFrame]) -> None:
        """Writes the pictures of a track, and one sample for each.

        Args:
            track: The track.
            frames: Its chosen frames.

        Raises:
            OutputError: if a file cannot be written.
        """
        about = track_fields(track)
        for frame in frames:
            folder = f"{track.split}/{track.name}"
            save(self._out / PICTURES / folder / frame.file, frame.image)
            sample = {
                "filepath": f"{PICTURES}/{folder}/{frame.file}",
                "tags": [track.split],
                "_media_type": "image",
                "metadata": {
                    "_cls": "ImageMetadata",
                    "size_bytes": len(frame.image),
                    "mime_type": _MIME[frame.image_format],
                    "width": frame.size,
                    "height": frame.size,
                    "num_channels": 3,
                },
                **_labels(f"{folder}/{frame.number}", frame),
                "manipulation": None,
                **about,
                **{name: value for name, value in frame_fields(frame).items() if name in _PLAIN},
            }
            if frame.mask is not None:
                path = f"{MASKS}/{folder}/{frame.mask_file}"
                save(self._out / path, frame.mask)
                # Masks of compressed videos have values in between, so they are heat maps and not classes.
                sample["manipulation"] = _document("Heatmap", path, map_path=path, range=[0, 255])
            self._samples.write(sample)
            self._points.add(len(frame.landmarks))

    def finish(self) -> str:
        """Writes the description of the fields, and puts the samples together.

        Raises:
            OutputError: if a file cannot be written.
        """
        write_atomic(self._out / "metadata.json", json.dumps(self._description(), indent=1).encode())
        path = self._out / "samples.json"
        with output_errors(path), path.open("w", encoding="ascii") as file:
            file.write('{"samples": ')
            self._samples.move_into(file)
            file.write("}\n")
        return ""

    def close(self) -> None:
        """Closes the file of the samples."""
        self._samples.close()

    def _description(self) -> dict[str, Any]:
        one = next(iter(self._points)) if len(self._points) == 1 else 0
        skeleton = {"labels": landmark_names(one), "edges": landmark_lines(one)}
        return {
            "name": "mgst",
            "slug": "mgst",
            "version": VERSION,
            "media_type": "image",
            "tags": [],
            "info": {"labels": list(LABELS)},
            "default_classes": list(LABELS),
            "default_skeleton": skeleton if landmark_lines(one) else None,
            "sample_fields": _SAMPLE_FIELDS,
        }


def _identity(*parts: str) -> dict[str, str]:
    # The database wants 12 bytes that are unique.
    return {"$oid": hashlib.blake2b("/".join(parts).encode(), digest_size=12).hexdigest()}


def _random(name: str) -> float:
    # FiftyOne shuffles by this number. It depends on the name only, so that an export is bit-identical when repeated.
    return int(_identity("random", name)["$oid"], 16) / 16**24


def _document(kind: str, name: str, **values: Any) -> dict[str, Any]:
    return {"_id": _identity(kind, name), "_cls": kind, "tags": [], **values}


def _labels(name: str, frame: TrackFrame) -> dict[str, Any]:
    """Returns the label, the face box and the landmarks of a frame, relative to the side of the crop."""
    label = LABELS[frame.label]
    x0, y0, x1, y1 = (edge / frame.size for edge in frame.inner_box)
    box = _document("Detection", name, attributes={}, label=label, bounding_box=[x0, y0, x1 - x0, y1 - y0])
    points = [[round(x / frame.size, 6), round(y / frame.size, 6)] for x, y in frame.landmarks]
    landmarks = _document("Keypoint", name, attributes={}, label=label, points=points, valid=frame.valid)
    return {
        "_id": _identity("Sample", name),
        "_rand": _random(name),
        "ground_truth": _document("Classification", name, label=label),
        "face": {"_cls": "Detections", "detections": [{**box, "confidence": frame.score}]},
        "landmarks": {"_cls": "Keypoints", "keypoints": [landmarks]},
    }


def _field(name: str, kind: str, document: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "ftype": f"{_CORE}.fields.{kind}",
        "embedded_doc_type": document and f"{_CORE}.{document}",
        "subfield": None,
        "fields": [],
        "db_field": "_id" if name == "id" else name,
        "description": None,
        "info": None,
        "read_only": False,
        **more,
    }


def _list(name: str, kind: str, document: str | None = None, **more: Any) -> dict[str, Any]:
    return _field(name, "ListField", document, subfield=f"{_CORE}.fields.{kind}", **more)


def _embedded(name: str, document: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    return _field(name, "EmbeddedDocumentField", document, fields=fields)


def _plain(*names: str) -> list[dict[str, Any]]:
    about = FRAME_FIELDS | TRACK_FIELDS
    return [_field(name, _TYPES[name], description=about.get(name)) for name in names]


_PLAIN = ("frame", "time", "damaged")
_LABEL = [_field("id", "ObjectIdField"), _list("tags", "StringField")]
_NAMED = [*_LABEL, _field("label", "StringField")]
_BOX = [*_NAMED, _list("bounding_box", "FloatField"), *_plain("confidence", "index")]
_KEYPOINT = [*_NAMED, _field("points", "KeypointsField"), _list("valid", "BooleanField")]
_SAMPLE_FIELDS = [
    _field("id", "ObjectIdField"),
    _field("filepath", "StringField"),
    _list("tags", "StringField"),
    _embedded(
        "metadata",
        "metadata.ImageMetadata",
        [*_plain("size_bytes"), _field("mime_type", "StringField"), *_plain("width", "height", "num_channels")],
    ),
    _field("_media_type", "StringField"),
    _field("_rand", "FloatField"),
    _field("_dataset_id", "ObjectIdField"),
    _field("created_at", "DateTimeField", read_only=True),
    _field("last_modified_at", "DateTimeField", read_only=True),
    _embedded("ground_truth", "labels.Classification", [*_NAMED, *_plain("confidence")]),
    _embedded(
        "face",
        "labels.Detections",
        [_list("detections", "EmbeddedDocumentField", "labels.Detection", fields=_BOX)],
    ),
    _embedded(
        "landmarks",
        "labels.Keypoints",
        [_list("keypoints", "EmbeddedDocumentField", "labels.Keypoint", fields=_KEYPOINT)],
    ),
    _embedded(
        "manipulation",
        "labels.Heatmap",
        [*_LABEL, _field("map_path", "StringField"), _field("range", "HeatmapRangeField")],
    ),
    *_plain(*TRACK_FIELDS, *_PLAIN),
]


def _command(out: Path, splits: Sequence[str]) -> str:  # noqa: ARG001 - other formats need the splits
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", out.resolve().name).strip("-") or "mgst"
    kind = "fiftyone.types.FiftyOneDataset"
    made = f"fiftyone datasets create --name {name} --dataset-dir {shlex.quote(str(out))} --type {kind}"
    return f"{made} && fiftyone app launch {name}"


FORMAT = Format(
    title="FiftyOne",
    writer=FiftyOneWriter,
    files="""\
- `data/SPLIT/TRACK/FRAME.jpg`: the crops. The split is a tag.
- `samples.json` and `metadata.json`: one sample per frame, with `ground_truth` (real or fake), the `face` box, the
  `landmarks`, the fields below, and the mask as heat map (`manipulation`) where the data set has one.
- `fields/manipulation/`: the masks.

Boxes (cut at the edges of the crop) and landmarks are relative to the side of the crop, as FiftyOne wants them.
The format is that of FiftyOne 1.0.
""",
    use="""\
import fiftyone

data = fiftyone.Dataset.from_dir(".", dataset_type=fiftyone.types.FiftyOneDataset, name="faces")
tracks = data.group_by("track", order_by="frame")  # plays each track
fiftyone.launch_app(tracks)
""",
    command=_command,
)
