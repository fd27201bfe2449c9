"""Trains a network of your own, here a CNN of timm with a GRU over its frames, on self-blended segments of real videos.

Run ``python examples/own_network.py SHARDS --out runs/mine``, with shards as ``mgst-data extract`` writes them, of the
splits train and val. The same command continues a training that was stopped.
"""

import argparse
from dataclasses import asdict

import timm
import torch
from safetensors.torch import load_file
from torch import nn

from mgst_model.train import DataConfig, DetectionTask, TrainConfig, Trainer, make_loaders


class RecurrentNetwork(nn.Module):
    """Frames (b, t, 3, h, w) in [0, 1] to logits (b,): above 0 where a segment looks fake."""

    def __init__(self, model: str, width: int = 128) -> None:
        super().__init__()
        self.backbone = timm.create_model(model, num_classes=0)
        self.time = nn.GRU(self.backbone.num_features, width, batch_first=True)
        self.head = nn.Linear(width, 1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Reads the frames in their order, and judges by the mean of what the GRU makes of them."""
        features = self.backbone(frames.flatten(0, 1) * 2 - 1).unflatten(0, frames.shape[:2])
        return self.head(self.time(features)[0].mean(dim=1))[:, 0]


def main(argv: list[str] | None = None) -> None:
    """Trains; prints the best validation."""
    parser = argparse.ArgumentParser()
    parser.add_argument("shards", help="folder, or URL of one")
    parser.add_argument("--model", default="resnet10t", help="any model of timm")
    parser.add_argument("--out", default="runs/own_network")
    for name, default in (("frames", 8), ("size", 96), ("batch", 8), ("epochs", 5), ("workers", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args(argv)
    data = DataConfig(frames=args.frames, size=args.size, batch_size=args.batch, workers=args.workers)
    network = RecurrentNetwork(args.model)
    config = TrainConfig(epochs=args.epochs, lr=1e-3, backbone_lr_scale=1.0, ema_decay=0.99)
    settings = {"shards": args.shards, "model": args.model, "data": asdict(data)}
    loaders = make_loaders(args.shards, data)
    best = Trainer(network, DetectionTask(data), loaders, config, out=args.out, settings=settings).train()
    network.load_state_dict(load_file(f"{args.out}/best.safetensors"))
    print(f"validation AUC {best.auc:.3f} in epoch {best.epoch + 1}: {args.out}/best.safetensors")


if __name__ == "__main__":
    main()
