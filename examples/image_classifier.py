"""Trains an image classifier of timm on self-blended faces, from frames in the format of DeepfakeBench and SBI.

Run ``python examples/image_classifier.py FOLDER --model efficientnet_b4``. All frames in the folder are treated as
real: frames/<video>/<name>.png with landmarks/<video>/<name>.npy (68 or 81 landmarks of one face, or of several faces,
largest first).
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from torch.utils.data import DataLoader, default_collate

from mgst_data.augment import SegmentSequential, SelfBlend, train_default
from mgst_data.core import Segment, generator_for


def read(files: list[Path], size: int, margin: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns faces (n, 3, size, size), uint8, and landmarks (n, k, 2) in pixels; frames limit the margin."""
    faces = []
    for file in files:
        frame = Image.open(file.parents[2] / "frames" / file.parent.name / f"{file.stem}.png").convert("RGB")
        points = (
            torch.from_numpy(np.array(np.load(file), np.float32, ndmin=3)[0]) + 0.5
        )  # 0 is the edge of the first pixel
        low, high = points.amin(dim=0), points.amax(dim=0)
        side = min(float((high - low).max()) * (1 + 2 * margin), *frame.size)
        corner = ((low + high - side) / 2).clamp_min(0).minimum(torch.tensor(frame.size) - side)
        face = frame.resize((size, size), box=(*corner.tolist(), *(corner + side).tolist()))
        faces.append((torch.from_numpy(np.array(face)).movedim(2, 0), (points - corner) * size / side - 0.5))
    return default_collate(faces)


def main(argv: list[str] | None = None) -> None:
    """Trains the network and prints loss and accuracy."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="resnet10t")
    for name, default in (("size", 224), ("batch", 16), ("epochs", 10), ("workers", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args(argv)
    files, load = sorted(args.folder.rglob("landmarks/*/*.npy")), partial(read, size=args.size)
    loader = DataLoader(files, args.batch, shuffle=True, num_workers=args.workers, collate_fn=load)
    model = timm.create_model(args.model, num_classes=1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)
    augment, generator = SegmentSequential(SelfBlend.preset("sbi"), train_default()), generator_for(0, "augment")
    for frames, landmarks in (batch for _ in range(args.epochs) for batch in loader):
        both = augment(Segment.of(frames, landmarks), generator=generator).both()  # real segments, then fakes
        logits = model(both.frames[:, 0] * 2 - 1)[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, both.label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        print(f"loss {loss:.3f}, accuracy {((logits > 0) == (both.label > 0)).float().mean():.2f}")


if __name__ == "__main__":
    main()
