"""The contract of augmentations, checked on a batch of segments."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from hypothesis import HealthCheck, settings
from jaxtyping import Bool
from torch import Tensor

from mgst_data.augment.base import Augmentation
from mgst_data.core import Segment, generator_for
from mgst_data.core.labels import patches
from mgst_data.core.segment import RealFakePair

drawn = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
Make = Callable[..., Segment]


def fields(segment: Segment) -> dict[str, Tensor]:
    return {f.name: getattr(segment, f.name) for f in dataclasses.fields(segment)}


def assert_same(a: Segment, b: Segment, atol: float = 0.0) -> None:
    for name, value in fields(a).items():
        torch.testing.assert_close(fields(b)[name], value, rtol=0, atol=atol, equal_nan=True, msg=name)


def forged(segment: Segment, *, seed: int = 0) -> Segment:
    """A fake whose mask is a soft blob that moves from frame to frame; labels agree with the mask."""
    b, t, _, h, w = segment.frames.shape
    place = torch.rand(b, t, 2, generator=generator_for(seed, "blob")) * 0.4 + 0.3
    y, x = torch.meshgrid((torch.arange(h) + 0.5) / h, (torch.arange(w) + 0.5) / w, indexing="ij")
    far = (x - place[:, :, 0, None, None]).square() + (y - place[:, :, 1, None, None]).square()
    mask = (1.2 - far.sqrt() / 0.2).clamp(0, 1)[:, :, None]
    g = segment.patch_label.shape[-1]
    one = torch.ones(b, t)
    return segment.replace(mask=mask, label=one[:, 0], frame_label=one, patch_label=patches(mask, g))


def twins(real: Segment, *, seed: int = 0) -> RealFakePair:
    """A real-fake pair: the pixels of the :func:`forged` segment become their negative with the mask."""
    fake = forged(real, seed=seed)
    return RealFakePair(real, fake.replace(frames=torch.lerp(real.frames, 1 - real.frames, fake.mask)))


def some_valid(b: int, t: int, seed: int, *, share: float = 0.7) -> Bool[Tensor, "b t"]:
    """Marks about this share of the frames as valid."""
    return torch.rand(b, t, generator=generator_for(seed, "valid")) < share


def check(step: Augmentation, segment: Segment, seed: int = 0) -> None:
    """Checks the contract of augmentations. Every test also checks that the global random state is unchanged."""
    before = Segment(**{name: value.clone() for name, value in fields(segment).items()})
    params = step.sample(segment, generator_for(seed, "draw"))
    out = step.apply(segment, params)
    assert step.sample(segment, generator_for(seed, "draw")).as_dict() == params.as_dict()
    assert len(params) == len(segment)
    assert_same(segment, before)
    assert_same(step.apply(segment, params), out)
    assert step.shape_after(segment).frames.shape == out.frames.shape
    for i in range(len(segment)):
        assert_same(step.apply(segment[i : i + 1], params[i : i + 1]), out[i : i + 1], atol=1e-6)
    assert out.frames.min() >= 0
    assert out.frames.max() <= 1
    for dtype in (torch.bfloat16, torch.float16):
        half = step.apply(segment.to(dtype=dtype), params)
        for name, value in fields(half).items():
            assert value.dtype == (fields(segment)[name].dtype if name in ("landmarks", "valid") else dtype), name
        torch.testing.assert_close(half.frames.float(), out.frames, rtol=0, atol=0.02)
        torch.testing.assert_close(half.mask.float(), out.mask, rtol=0, atol=0.02)
    # Tensors on this device have no values, so reading a value fails.
    assert step.apply(segment.to("meta"), params).frames.shape == out.frames.shape
    leaf = segment.frames.clone().requires_grad_()
    (step.apply(segment.replace(frames=leaf), params).frames ** 2).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()
    assert leaf.grad.abs().sum() > 0
