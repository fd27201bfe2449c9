"""Trains your own network on self-blended segments of real videos; here a CNN of timm with a GRU over its frames.

Run ``python examples/own_network.py SHARDS --out runs/mine``, with shards of the splits train and val that
``mgst-data extract`` has written. The same command resumes a stopped training.
"""

import argparse
from dataclasses import asdict

import timm
import torch
from safetensors.torch import load_file
from torch import nn

from mgst_model.train import DataConfig, DetectionTask, TrainConfig, Trainer, make_loaders


class RecurrentNetwork(nn.Module):
    """Maps frames (b, t, 3, h, w) in [0, 1] to logits (b,); logits above 0 mean fake."""

    def __init__(self, model: str, width: int = 128) -> None:
        super().__init__()
        self.backbone = timm.create_model(model, num_classes=0)
        self.time = nn.GRU(self.backbone.num_features, width, batch_first=True)
        self.head = nn.Linear(width, 1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Computes features of all frames, and a logit from the mean output of the GRU over the frames."""
        features = self.backbone(frames.flatten(0, 1) * 2 - 1).unflatten(0, frames.shape[:2])
        return self.head(self.time(features)[0].mean(dim=1))[:, 0]


def main(argv: list[str] | None = None) -> None:
    """Trains the network and prints the best validation AUC."""
    parser = argparse.ArgumentParser()
    parser.add_argument("shards", help="folder of shards, path or URL")
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
