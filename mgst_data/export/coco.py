"""COCO with videos: the form of TAO, YouTube-VIS and MMTracking. Each track is a video of its crops."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mgst_data.core import ShardError, UsageError
from mgst_data.export.fields import track_fields
from mgst_data.export.format import Format, JsonLines, save
from mgst_data.export.points import landmark_edges, landmark_names
from mgst_data.export.tracks import LABELS, Track, TrackFrame
from mgst_data.shards import decode_mask
from mgst_data.shards.schema import Data
from mgst_data.shards.storage import DAMAGED, output_errors

PICTURES, ANNOTATIONS = "frames", "annotations"
# Grey level of a mask from which a pixel is manipulated.
_MANIPULATED = 128
_LISTS = ("videos", "tracks", "images", "annotations")


class CocoWriter:
    """Writes ``frames/SPLIT/TRACK/FRAME.jpg`` and ``annotations/SPLIT.json``.

    Args:
        out: Folder to write into.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._lists: dict[str, dict[str, JsonLines]] = {}
        self._tracks = self._frames = self._points = 0

    def add(self, track: Track, frames: Iterator[TrackFrame]) -> None:
        """Writes the pictures and the annotations of a track.

        Args:
            track: The track.
            frames: Its chosen frames.

        Raises:
            OutputError: if a file cannot be written.
            ShardError: if a mask is damaged.
            UsageError: if it has another number of landmarks than the tracks before.
        """
        self._tracks += 1
        lists, name, size, label = self._of(track.split), f"{track.split}/{track.name}", 0, 0
        for position, frame in enumerate(frames):
            self._frames += 1
            file = f"{name}/{frame.file}"
            save(self._out / PICTURES / file, frame.image)
            image = {
                "id": self._frames,
                "video_id": self._tracks,
                "file_name": file,
                "width": frame.size,
                "height": frame.size,
                "frame_id": position,
                "frame_index": frame.number,
                "time": frame.time,
            }
            lists["images"].write(image)
            lists["annotations"].write(self._annotation(track, frame))
            size, label = max(size, frame.size), max(label, frame.label)
        about = track_fields(track)
        source_size = {"source_width": about.pop("width"), "source_height": about.pop("height")}
        number = {"id": self._tracks}
        lists["videos"].write({**number, "name": name, "width": size, "height": size, **about, **source_size})
        lists["tracks"].write({**number, "category_id": label + 1, "video_id": self._tracks})

    def finish(self) -> str:
        """Puts the lists of each split together.

        Raises:
            OutputError: if a file cannot be written.
        """
        for split, lists in self._lists.items():
            path = self._out / ANNOTATIONS / f"{split}.json"
            with output_errors(path), path.open("w", encoding="ascii") as file:
                info = {"description": "face tracks exported by mgst", "split": split}
                head = {"info": info, "licenses": [], "categories": self._categories()}
                file.write(json.dumps(head, indent=1)[:-2])
                for name, items in lists.items():
                    file.write(f',\n "{name}": ')
                    items.move_into(file)
                file.write("\n}\n")
        return ""

    def close(self) -> None:
        """Closes all files."""
        for lists in self._lists.values():
            for items in lists.values():
                items.close()

    def _of(self, split: str) -> dict[str, JsonLines]:
        if split not in self._lists:
            folder = self._out / ANNOTATIONS
            self._lists[split] = {name: JsonLines(folder / f"{split}.{name}") for name in _LISTS}
        return self._lists[split]

    def _categories(self) -> list[dict[str, Any]]:
        names = landmark_names(self._points)
        skeleton = [[a + 1, b + 1] for a, b in landmark_edges(self._points)]
        return [
            {"id": number + 1, "name": label, "supercategory": "face", "keypoints": names, "skeleton": skeleton}
            for number, label in enumerate(LABELS)
        ]

    def _annotation(self, track: Track, frame: TrackFrame) -> dict[str, Any]:
        count = len(frame.landmarks)
        if self._points not in (0, count):
            what = f"{track.name} has {count} landmarks, other tracks have {self._points}"
            raise UsageError(what, where=track.source, hint="export folders of one landmark model at a time")
        self._points = count
        x0, y0, x1, y1 = frame.inner_box
        # As COCO defines it, a point that is not labelled is (0, 0) with visibility 0.
        points = [
            [round(x, 2), round(y, 2), 2] if good else [0, 0, 0]
            for (x, y), good in zip(frame.landmarks, frame.valid, strict=True)
        ]
        made = {
            "id": self._frames,
            "image_id": self._frames,
            "video_id": self._tracks,
            "track_id": self._tracks,
            "instance_id": self._tracks,
            "category_id": frame.label + 1,
            "bbox": [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)],
            "area": round((x1 - x0) * (y1 - y0), 2),
            "iscrowd": 0,
            "score": round(frame.score, 4),
            "keypoints": [value for point in points for value in point],
            "num_keypoints": sum(point[2] > 0 for point in points),
        }
        if frame.mask is not None:
            made["segmentation"] = _rle(frame.mask, f"{track.name}, frame {frame.number}")
        return made


def _rle(data: Data, where: str) -> dict[str, Any]:
    """Returns the manipulated pixels as run lengths, compressed as COCO does.

    Raises:
        ShardError: if the mask is damaged.
    """
    import numpy as np
    from pycocotools import mask as coco

    mask = decode_mask(data)
    if mask is None:
        raise ShardError("the mask is damaged", where=where, hint=DAMAGED)
    made = coco.encode(np.asfortranarray(mask >= _MANIPULATED, dtype=np.uint8))
    return {"size": list(made["size"]), "counts": made["counts"].decode("ascii")}


def _command(out: Path, splits: Sequence[str]) -> str:
    path = json.dumps(str(out / ANNOTATIONS / f"{splits[0]}.json"))
    return f"python -c {shlex.quote(f'from pycocotools.coco import COCO; COCO({path}).info()')}"


FORMAT = Format(
    title="COCO with videos",
    writer=CocoWriter,
    files="""\
- `frames/SPLIT/TRACK/FRAME.jpg`: the crops.
- `annotations/SPLIT.json`: `videos` (one per track: its crops), `tracks`, `images` with `video_id`, `frame_id` (from 0
  in the export) and `frame_index` (in the video), `annotations` with `track_id`, `instance_id`, `bbox`, `keypoints` and
  `segmentation`, and the `categories` real (1) and fake (2). `file_name` is relative to `frames/`.

`bbox` is the face box in pixels of the crop, cut at its edges; `area` is its area. Landmarks that lie outside the frame
or jump have visibility 0, all others 2. `segmentation` is the manipulation mask, where the data set has one.
""",
    use="""\
from pycocotools.coco import COCO

data = COCO("annotations/{split}.json")
""",
    command=_command,
    package="pycocotools",
)
