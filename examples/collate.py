"""Self-blends faces in the collate function of any DataLoader, and returns batches of real-fake pairs.

The samples of your data set are pairs ``(frames, landmarks)``: uint8 frames of shape (3, h, w) or (t, 3, h, w), and 68
or 81 landmarks in pixels, of shape (k, 2) or (t, k, 2). ``python examples/collate.py --workers 2`` measures the speed
with noise.
"""

import argparse
import time

import torch
from torch.utils.data import DataLoader, default_collate, get_worker_info

from mgst_data.augment import SelfBlend, Step
from mgst_data.core import Segment, generator_for


class BlendCollate:
    """Self-blends the samples of a batch. Every worker has its own generator, and a new one when the workers restart.

    The result depends on the seed, on the generator of the DataLoader and on the number of workers. If several
    processes train, each needs a different seed.
    """

    def __init__(self, blend: Step, *, seed: int = 0) -> None:
        self.blend, self.seed = blend, seed
        self.stream, self.generator = None, None

    def __call__(self, samples: list[tuple[torch.Tensor, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Returns real segments, then fakes: frames (2b, t, 3, h, w) in [0, 1]; label (2b,); mask (2b, t, 1, h, w)."""
        # Workers are copies of the main process, with a copy of its generator. Each must make its own generator.
        worker = get_worker_info()
        stream = ("worker", worker.id, worker.seed) if worker else ("main",)
        if stream != self.stream:
            self.stream, self.generator = stream, generator_for(self.seed, *stream)
        both = self.blend(Segment.of(*default_collate(samples)), generator=self.generator).both()
        return {name: getattr(both, name) for name in ("frames", "label", "mask", "frame_label", "patch_label")}


def main(argv: list[str] | None = None) -> None:
    """Blends noise and prints the speed."""
    parser = argparse.ArgumentParser()
    for name, default in (("count", 512), ("size", 224), ("batch", 16), ("workers", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args(argv)
    random = generator_for(0, "noise")
    frames = torch.randint(0, 256, (8, 3, args.size, args.size), dtype=torch.uint8, generator=random)
    landmarks = (torch.rand(8, 68, 2, generator=random) * 0.6 + 0.2) * args.size
    faces = [(frames[i % 8], landmarks[i % 8]) for i in range(args.count)]
    loader = DataLoader(faces, args.batch, num_workers=args.workers, collate_fn=BlendCollate(SelfBlend.preset("sbi")))
    begin = time.perf_counter()
    fakes = sum(int(batch["label"].sum()) for batch in loader)
    print(f"{fakes} fakes from {args.count} faces, {args.count / (time.perf_counter() - begin):.0f} faces/s")


if __name__ == "__main__":
    main()
