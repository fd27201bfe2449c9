"""Self-blending on a GPU: speed against what its memory allows, peak memory, share of a training step."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from _common import compare, measure
from extraction.report import Figure, Section
from torch import nn

from augmentation.faces import Faces
from augmentation.speed import rates
from mgst_data.augment import SelfBlend, SelfBlendParams
from mgst_data.core import Segment, generator_for
from mgst_data.core.segment import RealFakePair

Apply = Callable[[Segment, SelfBlendParams], RealFakePair]

SEGMENTS, FRAMES, TRAINED_SEGMENTS = 32, 16, 8
# Pairs per second that a GPU should make, twice as many where numbers are half as long.
DTYPES = {torch.float32: 25_000, torch.bfloat16: 50_000, torch.float16: 50_000}
PRESETS = ("sbi", "frame_random")
# Batches drawn beforehand: what is computed depends on who got which region and recolouring.
DRAWS = 8
NETWORK = "convnext_tiny"


def eager(faces: Faces, *, quick: bool, device: str = "cuda") -> Section:
    """As it is called."""
    return section(faces, "eager", lambda apply: apply, quick=quick, device=device)


def compiled(faces: Faces, *, quick: bool, device: str = "cuda") -> Section:
    """As one graph of torch.compile."""
    return section(faces, "compiled", compile_afresh, quick=quick, device=device)


def compile_afresh(apply: Apply) -> Apply:
    """Forgets what was compiled before: a few variants of a function are all that torch keeps."""
    torch.compiler.reset()
    done: Apply = torch.compile(apply, fullgraph=True)
    return done


def section(faces: Faces, title: str, prepare: Callable[[Apply], Apply], *, quick: bool, device: str) -> Section:
    """Rates and peaks of all types of numbers, then the share of training."""
    segments, frames, size = (2, 2, 64) if quick else (SEGMENTS, FRAMES, faces.pictures.shape[-1])
    here, repeats = faces.segments(segments, frames, size), 2 if quick else 15
    bandwidth = copy_bandwidth(device, 2**20 if quick else 2**30)
    rows: list[dict[str, Any]] = []
    found: list[Figure] = []
    for preset in PRESETS:
        for dtype, least in DTYPES.items():
            row = one_setting(here, preset, dtype, prepare, device, repeats)
            row["share_of_bandwidth"] = row["bytes"] / bandwidth / (segments / row["apply"]["per_s"])
            rows.append(row)
            name = f"{title}, `{preset}`, {row['dtype']}"
            goal = least if preset == PRESETS[0] else None
            found += [
                Figure(f"{name}: apply", row["apply"]["per_s"], "pairs/s", at_least=goal),
                Figure(f"{name}: draw and apply", row["draw and apply"]["per_s"], "pairs/s"),
                Figure(f"{name}: least time to read and write / time", row["share_of_bandwidth"]),
                Figure(f"{name}: peak memory / bytes of the frames", row["peak"], "x", at_most=6),
            ]
            print({name: round(row["apply"]["per_s"])}, flush=True)
    few = faces.segments(2 if quick else TRAINED_SEGMENTS, frames, size)
    training = training_share(few, prepare, device, repeats)
    name = f"{title}, `{PRESETS[1]}`, bfloat16: share of a training step of {NETWORK}"
    found.append(Figure(name, training["share"], at_most=0.1))
    details = {"setting": {"segments": segments, "frames": frames, "size": size}, "copied_bytes_per_s": bandwidth}
    return Section(tuple(found), {**details, "rows": rows, "training": training})


def one_setting(
    faces: Faces, preset: str, dtype: torch.dtype, prepare: Callable[[Apply], Apply], device: str, repeats: int
) -> dict[str, Any]:
    """Rates with parameters that were drawn beforehand, and with drawing on the CPU in between; peak memory."""
    start_of_peak(device)
    before = allocated(device)
    segment = faces.segment().to(device, dtype)
    blend = SelfBlend.preset(preset)
    apply = prepare(blend.apply)
    drawn = [blend.sample(segment, generator_for(i, "draws")) for i in range(DRAWS)]
    generator = generator_for(0, "live")
    began = time.perf_counter()
    apply(segment, drawn[0])
    first_call = time.perf_counter() - began
    works: dict[str, Callable[[SelfBlendParams], object]] = {
        "apply": lambda params: apply(segment, params),
        "draw": lambda _: blend.sample(segment, generator),
        "draw and apply": lambda _: apply(segment, blend.sample(segment, generator)),
    }
    start_of_peak(device)
    for_each(drawn, works["apply"])
    peak = (highest(device) - before) / (segment.frames.numel() * segment.frames.element_size())
    batches = [partial(for_each, drawn, work) for work in works.values()]
    timings = dict(zip(works, compare(batches, repeats, warmup=2), strict=True))
    frames = segment.frames
    # Read the frames; write the real twins, the fakes and the mask, which has one channel.
    moved = frames.element_size() * (3 * frames.numel() + frames.numel() // 3)
    return {
        "preset": preset,
        "dtype": str(dtype).removeprefix("torch."),
        "bytes": moved,
        "peak": peak,
        "first_call_s": first_call,
        **{name: rates(timing, len(segment) * DRAWS) for name, timing in timings.items()},
    }


def training_share(faces: Faces, prepare: Callable[[Apply], Apply], device: str, repeats: int) -> dict[str, float]:
    """Drawing and blending, as a share of them and a step on all frames of both twins, in bfloat16."""
    try:
        import timm
    except ImportError as error:
        raise ImportError("the share of training needs timm: pip install 'mgst[train]'") from error

    network = timm.create_model(NETWORK, pretrained=False, num_classes=1).to(device)
    optimizer = torch.optim.AdamW(network.parameters())
    segment = faces.segment().to(device, torch.bfloat16)
    blend, generator = SelfBlend.preset(PRESETS[1]), generator_for(0, "training")
    apply = prepare(blend.apply)
    batch = apply(segment, blend.sample(segment, generator)).both()
    pictures, labels = batch.frames.flatten(0, 1), batch.frame_label.flatten().float()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16):
            logits = network(pictures)
        nn.functional.binary_cross_entropy_with_logits(logits[:, 0].float(), labels).backward()
        optimizer.step()

    augment, train = compare(
        [lambda: apply(segment, blend.sample(segment, generator)), step], min(repeats, 9), warmup=2
    )
    share = augment.median / (augment.median + train.median)
    return {"augment_s": augment.median, "step_s": train.median, "pictures": float(len(pictures)), "share": share}


def for_each(drawn: list[SelfBlendParams], work: Callable[[SelfBlendParams], object]) -> None:
    """Keeps nothing of what comes out: a list would hold all pairs at once."""
    for params in drawn:
        work(params)


def copy_bandwidth(device: str, size: int) -> float:
    """Bytes per second that are read or written while ``size`` bytes are copied."""
    here = torch.zeros(size, dtype=torch.uint8, device=device)
    there = torch.empty_like(here)
    return 2 * size / measure(lambda: there.copy_(here), 10, warmup=3).median


def start_of_peak(device: str) -> None:
    """Forgets how much was allocated before."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()


def allocated(device: str) -> int:
    """Bytes of the tensors that there are; unknown on a CPU."""
    return torch.cuda.memory_allocated() if device == "cuda" else 0


def highest(device: str) -> int:
    """The most there were since :func:`start_of_peak`."""
    return torch.cuda.max_memory_allocated() if device == "cuda" else 0
