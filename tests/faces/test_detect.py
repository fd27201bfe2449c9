"""The batched cascade finds the same faces as MTCNN of facenet-pytorch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN
from torch.nn import functional

from mgst_data.core.geometry import iou
from mgst_data.faces.detect import MTCNNDetector, crop_area, integral_image, resize_area


@pytest.fixture
def facenet() -> Iterator[type[MTCNN]]:
    """MTCNN of facenet-pytorch; its constructor draws from the global generator."""
    with torch.random.fork_rng(devices=[]):
        yield MTCNN


def as_batch(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2)


def test_area_resizing_equals_torch(generator):
    frames = torch.randint(0, 256, (2, 3, 61, 47), dtype=torch.uint8, generator=generator)
    expected = functional.interpolate(frames.float(), size=(20, 33), mode="area")
    torch.testing.assert_close(resize_area(integral_image(frames), (20, 33)), expected)


@pytest.mark.parametrize("box", [(3.0, 5.0, 40.0, 42.0), (-9.0, -2.0, 20.0, 27.0), (30.0, 40.0, 70.0, 80.0)])
def test_area_crops_equal_torch(generator, box):
    frames = torch.randint(0, 256, (2, 3, 61, 47), dtype=torch.uint8, generator=generator)
    crop = crop_area(integral_image(frames), torch.tensor([1]), torch.tensor([box]), 24)
    x0, y0, x1, y1 = (int(v) for v in box)
    window = frames[1:, :, max(y0 - 1, 0) : min(y1, 61), max(x0 - 1, 0) : min(x1, 47)].float()
    expected = (functional.interpolate(window, size=24, mode="area") - 127.5) / 128
    torch.testing.assert_close(crop, expected)


def test_the_faces_in_the_portrait_are_those_of_facenet_pytorch(portrait, device, facenet):
    found = MTCNNDetector(device=device)(as_batch(portrait[None]))
    boxes, scores, points = facenet(keep_all=True).detect(portrait, landmarks=True)
    assert len(found) == len(boxes) == 1
    torch.testing.assert_close(found.boxes, torch.tensor(boxes.astype(np.float32)), atol=0.05, rtol=0)
    torch.testing.assert_close(found.points, torch.tensor(points.astype(np.float32)), atol=0.05, rtol=0)
    torch.testing.assert_close(found.scores, torch.tensor(scores.astype(np.float32)), atol=1e-3, rtol=0)


def test_a_batch_gives_the_same_faces_as_its_frames(portrait):
    frames = np.stack([portrait, np.zeros_like(portrait), portrait[:, ::-1], np.roll(portrait, 60, axis=0)])
    detector = MTCNNDetector(min_face=30.0)
    together = detector(as_batch(frames))
    assert together.frame.tolist() == [0, 2, 3]
    for i in (0, 2, 3):
        alone = detector(as_batch(frames[i : i + 1]))
        torch.testing.assert_close(together[together.frame == i].boxes, alone.boxes, atol=0.05, rtol=0)


@pytest.mark.parametrize("size", [(8, 8), (64, 48), (512, 13)])
def test_frames_without_a_face_give_nothing(size):
    assert len(MTCNNDetector()(torch.full((2, 3, *size), 127, dtype=torch.uint8))) == 0


def test_the_faces_in_the_clips_are_those_of_facenet_pytorch(clips: Path, facenet):
    theirs, ours = facenet(keep_all=True, min_face_size=40), MTCNNDetector(min_face=40.0)
    overlaps: list[float] = []
    for name in ("real/ghost_dirtydancing.mp4", "real/lp_d0.mp4", "real/hamilton_short_hamilton_clip.mp4"):
        with av.open(str(clips / name)) as container:
            picked = [f for i, f in enumerate(container.decode(video=0)) if i % 40 == 0][:3]
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in picked])
        found = ours(as_batch(frames))
        for i, frame in enumerate(frames):
            boxes, _ = theirs.detect(frame)
            mine = found.boxes[found.frame == i]
            assert len(mine) == (0 if boxes is None else len(boxes))
            if boxes is not None:
                overlaps += iou(torch.tensor(boxes.astype(np.float32)), mine).amax(dim=1).tolist()
    assert len(overlaps) >= 6
    assert np.median(overlaps) >= 0.98


@pytest.mark.parametrize("options", [{"min_face": 0.0}, {"factor": 1.0}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        MTCNNDetector(**options)
