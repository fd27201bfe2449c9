"""Measures whether maps of the face show where a blend is: the shipped weights on self-blends of real clips.

    python benchmarks/bench_maps.py --shards runs/weights/shards/clips

It writes results/maps.json. Two frames of every real clip of the split val are blended with the presets sbi and varied.
A map hits if its highest point is inside the mask of the blend (pointing game, Zhang et al., ECCV 2016). It is compared
with three things that know nothing of the blend: a random point of the crop (the area of the mask), the middle of the
crop, and the map of another blend. ``inside`` is the share of a map inside the mask. The maps of a
network with shuffled weights must differ (Adebayo et al., 2018): see their rank correlation. Intervals are over clips.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import RESULTS, write_result
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn.functional import interpolate

from mgst_data.augment import FaceCrop, SelfBlend
from mgst_data.core import Segment, generator_for
from mgst_data.core.sampling import evenly_spaced
from mgst_data.shards import ShardReader
from mgst_model.evaluate.explain import Explainer
from mgst_model.evaluate.resampling import group_interval
from mgst_model.networks.checkpoint import PACKAGED, LoadedNetwork, load_network

PRESETS = ("sbi", "varied")
FRAMES = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=Path, required=True, help="folder of shards of real clips with the split val")
    parser.add_argument("--weights", type=Path, default=PACKAGED, help="weights of a network of single frames")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the figures")
    arguments = parser.parse_args()
    loaded = load_network(arguments.weights)
    figures: dict[str, Any] = {"weights": "shipped" if arguments.weights == PACKAGED else str(arguments.weights)}
    for preset in PRESETS:
        frames, masks, clips = _blends(arguments.shards, loaded, preset)
        figures[preset] = _measured(loaded, frames, masks, clips)
    print(write_result("maps", figures, folder=arguments.results))


def _blends(shards: Path, loaded: LoadedNetwork, preset: str) -> tuple[Tensor, Tensor, list[str]]:
    """Returns blended frames as the network sees them, their masks, and the clip of each."""
    reader = ShardReader.open(str(shards), split="val", label=0)
    blend = SelfBlend.preset(preset)
    margin = loaded.face_margin or 0.0
    crop = FaceCrop(size=loaded.size, margin_range=(margin, margin))
    frames, masks, clips = [], [], []
    for number, key in enumerate(reader.videos):
        rows = (reader.video == number).nonzero()[:, 0].tolist()
        for row in (rows[i] for i in evenly_spaced(len(rows), min(FRAMES, len(rows)))):
            chunk = reader[row]
            place = len(chunk) // 2
            pixels = torch.from_numpy(next(chunk.frames([place]))).permute(2, 0, 1)[None, None].float() / 255
            seen = torch.ones(1, 1, dtype=torch.bool)
            segment = Segment.of(pixels, chunk.landmarks[place][None, None], valid=seen)
            generator = generator_for(0, preset, key, row)
            fake = blend(segment, generator=generator).fake
            shown = crop.apply(fake, crop.sample(fake, generator))
            frames.append(shown.frames[0, 0].clamp(0, 1))
            masks.append(shown.mask[0, 0, 0] > 0.5)
            clips.append(key)
    return torch.stack(frames).mul(255).round().to(torch.uint8), torch.stack(masks), clips


def _measured(loaded: LoadedNetwork, frames: Tensor, masks: Tensor, clips: Sequence[str]) -> dict[str, Any]:
    maps = Explainer(loaded.network)(frames)
    other = Explainer(_randomised(loaded.network))(frames)
    with torch.no_grad():
        scores = torch.cat([loaded.network(one[None, None].float() / 255).logit.sigmoid() for one in frames])
    large = interpolate(maps[:, None], size=masks.shape[-2:], mode="bilinear")[:, 0]
    highest = large.flatten(1).argmax(dim=1)
    flat = masks.flatten(1)
    each = torch.arange(len(flat))
    # The next clip, so that it is another person.
    shifted = (each + FRAMES) % len(flat)
    middle = masks.shape[-1] // 2 * (masks.shape[-1] + 1)
    columns = {
        "hit": flat[each, highest],
        "area": flat.float().mean(dim=1),
        "hit_of_the_middle": flat[:, middle],
        "hit_of_another_map": flat[each, highest[shifted]],
        "inside": (large * masks).flatten(1).sum(dim=1) / large.flatten(1).sum(dim=1).clamp_min(1e-9),
    }
    ranks = [spearmanr(ours.flatten(), theirs.flatten()).statistic for ours, theirs in zip(maps, other, strict=True)]
    columns["correlation_with_randomised"] = torch.tensor(np.nan_to_num(ranks))
    rows = {"all": torch.ones(len(flat), dtype=torch.bool), "above_threshold": scores > loaded.threshold}
    return {name: _figures(columns, chosen, clips) for name, chosen in rows.items()}


def _figures(columns: dict[str, Tensor], chosen: Tensor, clips: Sequence[str]) -> dict[str, Any]:
    places = chosen.nonzero()[:, 0].tolist()
    groups = [clips[i] for i in places]
    found: dict[str, Any] = {"blends": len(places), "clips": len(set(groups))}
    for name, column in columns.items():
        values = column[places].double().numpy()
        found[name] = [round(one, 4) for one in group_interval(lambda some, v=values: float(v[some].mean()), groups)]
    return found


def _randomised(network: torch.nn.Module) -> torch.nn.Module:
    """Returns a copy whose weights are drawn anew: the order of the values of each tensor is shuffled."""
    made = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in made.parameters():
            weight.copy_(weight.flatten()[torch.randperm(weight.numel(), generator=generator)].reshape(weight.shape))
    return made


if __name__ == "__main__":
    main()
