"""Trains a 3D network of torchvision on self-blended segments from shards that ``mgst-data extract`` has written.

Run ``python examples/clip_model.py SHARDS --model r3d_18``. Only the real videos of the training split are read.
"""

import argparse

import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.models import video

from mgst_data.augment import SegmentSequential, SelfBlend, temporal_fakes, train_default
from mgst_data.core import RandomWindow, generator_for
from mgst_data.shards import SegmentDataset, SegmentLoader, SegmentSampler, ShardReader, warn_and_skip


def main(argv: list[str] | None = None) -> None:
    """Trains the network and prints loss and accuracy."""
    parser = argparse.ArgumentParser()
    parser.add_argument("shards", help="folder of shards, path or URL")
    parser.add_argument("--split", default="train")
    parser.add_argument("--model", default="r3d_18", help="r3d_18, mc3_18, r2plus1d_18, mvit_v2_s, s3d, swin3d_t, ...")
    for name, default in (("frames", 16), ("size", 112), ("batch", 8), ("epochs", 10), ("workers", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args(argv)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    reader = ShardReader.open(args.shards, split=args.split, label=0)
    dataset = SegmentDataset(reader, RandomWindow(args.frames), size=args.size, on_error=warn_and_skip)
    loader = SegmentLoader(dataset, SegmentSampler(dataset.reader, args.batch), workers=args.workers)
    model = getattr(video, args.model)(num_classes=1).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)
    augment = SegmentSequential(SelfBlend(), temporal_fakes(), train_default())
    generator = generator_for(0, "augment")
    for batch in (batch for _ in range(args.epochs) for batch in loader):
        both = augment(batch.to_segment(device), generator=generator).both()  # real segments, then fakes
        logits = model(both.frames.movedim(2, 1) * 2 - 1)[:, 0]
        loss = binary_cross_entropy_with_logits(logits, both.label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        print(f"loss {loss:.3f}, accuracy {((logits > 0) == (both.label > 0)).float().mean():.2f}")


if __name__ == "__main__":
    main()
