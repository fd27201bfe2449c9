"""Measures self-blending on a GPU: speed relative to the memory bandwidth, peak memory, share of a training step."""

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
# Targets, pairs per second: twice as many for 16-bit types as for float32.
DTYPES = {torch.float32: 25_000, torch.bfloat16: 50_000, torch.float16: 50_000}
PRESETS = ("sbi", "frame_random")
# Number of batches of parameters. The computation depends on the sampled regions and recolourings.
DRAWS = 8
NETWORK = "convnext_tiny"


def eager(faces: Faces, *, quick: bool, device: str = "cuda") -> Section:
    """Measures self-blending in eager mode."""
    return section(faces, "eager", lambda apply: apply, PRESETS, quick=quick, device=device)


def compiled(faces: Faces, *, quick: bool, device: str = "cuda") -> Section:
    """Measures self-blending as one graph of torch.compile. All presets have nearly the same graph: one is measured."""
    return section(faces, "compiled", partial(compile_afresh, device=device), PRESETS[:1], quick=quick, device=device)


def compile_afresh(apply: Apply, *, device: str) -> Apply:
    """Compiles without earlier graphs, because torch keeps only a few variants of a function.

    On a CPU, where only this code is tried, the graph is built but no kernel is compiled: that would take minutes.
    """
    torch.compiler.reset()
    done: Apply = torch.compile(apply, fullgraph=True, backend="aot_eager" if device == "cpu" else "inductor")
    return done


def section(
    faces: Faces,
    title: str,
    prepare: Callable[[Apply], Apply],
    presets: tuple[str, ...],
    *,
    quick: bool,
    device: str,
) -> Section:
    """Measures rates and peak memory for all data types, then the share of a training step."""
    segments, frames, size = (2, 2, 64) if quick else (SEGMENTS, FRAMES, faces.pictures.shape[-1])
    here, repeats = faces.segments(segments, frames, size), 2 if quick else 15
    bandwidth = copy_bandwidth(device, 2**20 if quick else 2**30)
    rows: list[dict[str, Any]] = []
    found: list[Figure] = []
    for preset in presets[:1] if quick else presets:
        for dtype, least in list(DTYPES.items())[: 1 if quick else None]:
            row = one_setting(here, preset, dtype, prepare, device, repeats)
            row["share_of_bandwidth"] = row["bytes"] / bandwidth / (segments / row["apply"]["per_s"])
            rows.append(row)
            name = f"{title}, `{preset}`, {row['dtype']}"
            goal = least if preset == PRESETS[0] else None
            found += [
                Figure(f"{name}: apply", row["apply"]["per_s"], "pairs/s", at_least=goal),
                Figure(f"{name}: sample and apply", row["draw and apply"]["per_s"], "pairs/s"),
                Figure(f"{name}: minimum time to read and write / measured time", row["share_of_bandwidth"]),
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
    """Measures rates with parameters sampled in advance and with sampling on the CPU, and the peak memory."""
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
    # The frames are read; the real frames, the fakes and the one-channel mask are written.
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
    """Measures sampling and blending as a share of a training step on all frames of the real-fake pairs, in bfloat16.

    Raises:
        ImportError: if timm is not installed.
    """
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
    """Calls ``work`` with all parameters and drops the results, so that only one batch of pairs is in memory."""
    for params in drawn:
        work(params)


def copy_bandwidth(device: str, size: int) -> float:
    """Returns the bytes per second that are read and written while ``size`` bytes are copied."""
    here = torch.zeros(size, dtype=torch.uint8, device=device)
    there = torch.empty_like(here)
    return 2 * size / measure(lambda: there.copy_(here), 10, warmup=3).median


def start_of_peak(device: str) -> None:
    """Resets the statistics of the peak memory."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()


def allocated(device: str) -> int:
    """Returns the allocated bytes; 0 on a CPU, where they are unknown."""
    return torch.cuda.memory_allocated() if device == "cuda" else 0


def highest(device: str) -> int:
    """Returns the peak of the allocated bytes since :func:`start_of_peak`; 0 on a CPU."""
    return torch.cuda.max_memory_allocated() if device == "cuda" else 0
