"""Self-blending in the collate function of any DataLoader: lists of faces in, batches of real twins and fakes out.

Yours needs samples ``(frames, landmarks)``: (3, h, w) or (t, 3, h, w) uint8, and (k, 2) or (t, k, 2) pixels of 68 or 81
points. Run ``python examples/collate.py --workers 2`` to see how many faces a second it makes of noise.
"""

import argparse
import time

import torch
from torch.utils.data import DataLoader, default_collate, get_worker_info

from mgst_data.augment import SelfBlend, Step
from mgst_data.core import Segment, generator_for


class BlendCollate:
    """Draws from a generator of its own in every worker, and from another one when the workers start anew.

    What comes out depends on the seed, on the generator of the DataLoader and on the number of workers. Where several
    processes train, each needs a seed of its own.
    """

    def __init__(self, blend: Step, *, seed: int = 0) -> None:
        self.blend, self.seed = blend, seed
        self.stream, self.generator = None, None

    def __call__(self, samples: list[tuple[torch.Tensor, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Real twins, then fakes: frames (2b, t, 3, h, w) in [0, 1]; label (2b,); mask (2b, t, 1, h, w)."""
        # Worker processes are copies of this one, with whatever generator it has: theirs must be made in them.
        worker = get_worker_info()
        stream = ("worker", worker.id, worker.seed) if worker else ("main",)
        if stream != self.stream:
            self.stream, self.generator = stream, generator_for(self.seed, *stream)
        both = self.blend(Segment.of(*default_collate(samples)), generator=self.generator).both()
        return {name: getattr(both, name) for name in ("frames", "label", "mask", "frame_label", "patch_label")}


def main(argv: list[str] | None = None) -> None:
    """Blends noise, and prints how fast."""
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
    print(f"{fakes} fakes of {args.count} faces, {args.count / (time.perf_counter() - begin):.0f} a second")


if __name__ == "__main__":
    main()
