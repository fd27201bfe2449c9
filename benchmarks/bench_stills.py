"""Measures the extraction of still pictures against facenet-pytorch and dlib, picture by picture, on one core.

    python benchmarks/bench_stills.py            # writes results/stills.json
    python benchmarks/bench_stills.py --quick    # smoke test with a few pictures

The pictures are in the folder stills/ of the clips: --clips, or the environment variable MGST_CLIPS.
"""

from __future__ import annotations

import argparse
import os

# Must be set before torch and OpenCV are imported. Every process uses one thread, so that it uses one core.
os.environ["OMP_NUM_THREADS"] = "1"

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import dlib
import numpy as np
import torch
from _common import RESULTS, compare, write_result
from extraction.clips import parse_with_clips
from extraction.pipelines import Peer
from extraction.report import Figure, Section, alone, show
from PIL import Image

from mgst_data.core import NoFaceError, VideoRecord
from mgst_data.core.geometry import iou
from mgst_data.extract import ExtractConfig, Extractor
from mgst_data.extract.stills import StillBatch
from mgst_data.shards import encode_chunk

PICTURES, REPEATS = 256, 3
# Overlap (IoU) of two boxes of the same face.
SAME = 0.5

# Boxes of the faces of each picture.
Boxes = list[torch.Tensor]


class Ours:
    """Pictures to encoded samples with the defaults of this project, in batches, as a worker does it."""

    def __init__(self, *, samples: bool = True) -> None:
        self.extractor = Extractor(ExtractConfig())
        self.samples = samples

    def __call__(self, paths: list[Path]) -> Boxes:
        """Extracts the pictures, and returns the boxes of the faces."""
        records = [VideoRecord.unlabelled(str(path), key=f"picture{i}") for i, path in enumerate(paths)]
        found: Boxes = []
        batch, pending = StillBatch(self.extractor), []
        for record in records:
            batch.read(record)
            pending.append(record)
            if batch.full or record is records[-1]:
                found += [self._faces(batch, one) for one in pending]
                batch, pending = StillBatch(self.extractor), []
        return found

    def _faces(self, batch: StillBatch, record: VideoRecord) -> torch.Tensor:
        if self.samples:
            try:
                for chunk in batch.extraction(record):
                    encode_chunk(chunk)
            except NoFaceError:
                pass  # explaining it is part of the work
        return torch.cat([torch.zeros(0, 4), *(face.boxes for face in batch.faces(record))])


class PeerOnStills(Peer):
    """``MTCNN(keep_all=True).detect(picture, landmarks=True)``, and dlib's 68 points of every face above 0.9."""

    def stills(self, paths: list[Path]) -> Boxes:
        """Processes the pictures one by one, and returns the boxes of the faces."""
        return [self._faces(path) for path in paths]

    def _faces(self, path: Path) -> torch.Tensor:
        rgb = np.array(Image.open(path).convert("RGB"))
        boxes, scores, _ = self.mtcnn.detect(rgb, landmarks=True)
        sure = [box for box, score in zip(boxes if boxes is not None else (), scores, strict=False) if score > 0.9]
        for box in sure:
            shape = self.predictor(rgb, dlib.rectangle(*(int(v) for v in box)))
            np.array([(point.x, point.y) for point in shape.parts()])
        return torch.tensor(np.array(sure, dtype=np.float32).reshape(-1, 4))


def run(folder: Path, *, quick: bool) -> Section:
    """Measures all pipelines in turn on the same pictures."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix == ".jpg")
    count = 16 if quick else PICTURES
    sample = paths[:: max(1, len(paths) // count)][:count]
    mixed = [sample[i] for i in np.random.default_rng(0).permutation(len(sample))]  # as in shards
    return alone(measure, mixed, 1 if quick else REPEATS)


def measure(paths: list[Path], repeats: int) -> Section:
    """Measures the processor time per picture, and compares the faces that are found."""
    ours, faces_only, peer, peer_40 = Ours(), Ours(samples=False), PeerOnStills(), PeerOnStills(min_face=40)
    works = {
        "ours": lambda: ours(paths),
        "ours, faces and landmarks only": lambda: faces_only(paths),
        "peer": lambda: peer.stills(paths),
        "peer, min_face_size=40": lambda: peer_40.stills(paths),
    }
    timings = dict(zip(works, compare(list(works.values()), repeats, clock=time.process_time), strict=True))
    ms: dict[str, float] = {name: 1000 * timing.median / len(paths) for name, timing in timings.items()}
    found, expected = faces_only(paths), peer_40.stills(paths)
    covered = [bool(iou(theirs[None], mine).amax() > SAME) if len(mine) else False
               for mine, those in zip(found, expected, strict=True) for theirs in those]  # fmt: skip
    figures = (
        Figure("stills: ours / peer, one core", ms["peer"] / ms["ours"], "x", at_least=2),
        Figure("stills: the same, peer with min_face_size=40", ms["peer, min_face_size=40"] / ms["ours"], "x"),
        Figure("stills: the same, ours without crops", ms["peer"] / ms["ours, faces and landmarks only"], "x"),
        Figure("stills: time per picture, one core", ms["ours"], "ms"),
        Figure("stills: faces of the peer with min_face_size=40 that are found", 100 * statistics.mean(covered), "%"),
        Figure("stills: pictures with a face", 100 * statistics.mean(len(boxes) > 0 for boxes in found), "%"),
    )
    sides = [max(Image.open(path).size) for path in paths]
    details: dict[str, Any] = {
        "pictures": len(paths),
        "longer_side": {"median": statistics.median(sides), "low": min(sides), "high": max(sides)},
        "ms_per_picture": ms,
        "spread": {name: [1000 * t.low / len(paths), 1000 * t.high / len(paths)] for name, t in timings.items()},
        "repeats": repeats,
    }
    return Section(figures, details)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smoke test with few pictures; figures are not valid")
    options = parse_with_clips(parser)
    section = run(options.clips / "stills", quick=options.quick)
    out = Path(tempfile.gettempdir(), "bench_stills") if options.quick else RESULTS
    print(write_result("stills", {"quick": options.quick, **section.as_dict()}, folder=out))
    show("Still pictures", {"stills": section})


if __name__ == "__main__":
    main()
