"""Subclasses of Step compute without autocast and refuse generators that are not on the CPU."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import dataclass

import jaxtyping
import numpy as np
import pytest
import torch
from torch import Tensor

from mgst_data.augment import (
    RECIPES,
    Apply,
    Augmentation,
    ColourJitter,
    Donor,
    HorizontalFlip,
    OneOf,
    Params,
    SegmentSequential,
    SelfBlend,
    Step,
)
from mgst_data.core import RealFakePair

ACCELERATOR = torch.accelerator.current_accelerator()
KINDS = {"cpu": "cpu", "accelerator": ACCELERATOR and ACCELERATOR.type}


@dataclass(frozen=True)
class Drawn(Params):
    value: Tensor


class Watcher(Augmentation[Drawn]):
    """Records in which of its methods autocast is on."""

    def __init__(self):
        self.called = []

    def note(self, name):
        self.called.append((name, any(torch.is_autocast_enabled(kind) for kind in KINDS.values() if kind)))

    def sample(self, segment, generator):
        """Its docstring."""
        self.note("sample")
        return Drawn(torch.zeros(len(segment)))

    def apply(self, segment, params):
        self.note("apply")
        return segment

    def apply_to_pair(self, pair, params):
        self.note("apply_to_pair")
        return super().apply_to_pair(pair, params)

    def apply_any(self, data, params):
        self.note("apply_any")
        return super().apply_any(data, params)

    def __call__(self, data, *, generator):
        self.note("__call__")
        return super().__call__(data, generator=generator)


class Blend(Step[Drawn]):
    """Derived from Step itself, as blends are."""

    called: list

    def sample(self, segment, generator):
        return Drawn(torch.zeros(len(segment)))

    def apply_any(self, data, params):
        self.called = [("apply_any", torch.is_autocast_enabled("cpu"))]
        return data


class Mixed:
    """A class that is not a step and provides a method."""

    def apply(self, segment, params):
        self.note("mixed")
        return segment


class WithMixin(Mixed, Watcher):
    pass


@pytest.fixture(params=["cpu", "accelerator"])
def autocast(request):
    """Autocast as in training with mixed precision. It needs no GPU, but a torch that is built for one."""
    device = KINDS[request.param]
    if device is None:
        pytest.skip("this torch is built for no accelerator")
    before = torch.is_autocast_enabled(device)
    torch.set_autocast_enabled(device, True)
    yield device
    torch.set_autocast_enabled(device, before)


def test_methods_of_a_step_run_without_autocast(make_segment, generator, autocast):
    segment, watcher = make_segment(size=16), Watcher()
    params = watcher.sample(segment, generator)
    pair = RealFakePair(segment, segment)
    watcher.apply(segment, params)
    watcher.apply_to_pair(pair, params)
    watcher.apply_any(pair, params)
    watcher(segment, generator=generator)
    assert {name for name, _ in watcher.called} == {"sample", "apply", "apply_to_pair", "apply_any", "__call__"}
    assert not any(seen for _, seen in watcher.called)
    mixed = WithMixin()
    mixed.apply(segment, params)
    assert mixed.called == [("mixed", False)]
    assert torch.is_autocast_enabled(autocast)


def test_a_step_of_another_package_runs_without_autocast(make_segment, generator):
    segment, blend = make_segment(size=16), Blend()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        blend.apply_any(segment, blend.sample(segment, generator))
        assert torch.is_autocast_enabled("cpu")
    assert blend.called == [("apply_any", False)]


def test_wrapped_methods_keep_signature_and_docstring():
    assert list(inspect.signature(Watcher.sample).parameters) == ["self", "segment", "generator"]
    assert (Watcher.sample.__name__, Watcher.sample.__doc__) == ("sample", "Its docstring.")
    assert list(inspect.signature(SelfBlend.apply).parameters) == ["self", "segment", "params"]
    assert SelfBlend.apply.__doc__.startswith("Blends segments with drawn parameters.")


def test_a_blend_is_bit_identical_inside_autocast(make_segment):
    blend = SelfBlend(donor=Donor(p=0.5), pyramid=0.5, match_colour=0.5)
    segment = make_segment(3, 3, 96)
    exact = blend(segment, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = blend(segment, generator=torch.Generator().manual_seed(1))
    assert exact.fake.label.any()
    for name in ("frames", "mask", "patch_label", "valid"):
        assert torch.equal(getattr(cast.fake, name), getattr(exact.fake, name)), name
    assert torch.equal(cast.real.frames, exact.real.frames)


COMPILED = """
from dataclasses import dataclass
import torch
from mgst_data.augment import Augmentation, Params
from mgst_data.core import Segment

@dataclass(frozen=True)
class By(Params):
    by: torch.Tensor

class Mixing(Augmentation[By]):
    def sample(self, segment, generator):
        return By(torch.rand(len(segment), generator=generator))
    def apply(self, segment, params):
        return segment.replace(frames=segment.frames @ matrix)

segment, matrix = Segment.of(torch.rand(2, 3, 3, 16, 16)), torch.rand(16, 16)
mixing = Mixing()
params = mixing.sample(segment, torch.Generator())
exact = mixing.apply(segment, params).frames
compiled = torch.compile(mixing.apply, fullgraph=True, backend="aot_eager")
plain = compiled(segment, params).frames
with torch.autocast("cpu", dtype=torch.bfloat16):
    cast = compiled(segment, params).frames
print(torch.equal(plain, exact), torch.equal(cast, exact))
"""


def test_it_compiles_to_one_graph_inside_autocast_too():
    # In another process, because the annotation checks of the tests cannot be compiled.
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", COMPILED], capture_output=True, text=True)
    assert done.stdout.strip() == "True True", done.stderr


STEPS = [
    SelfBlend(),
    HorizontalFlip(),
    Apply(ColourJitter(), p=0.5),
    OneOf(ColourJitter(), HorizontalFlip()),
    SegmentSequential(SelfBlend(), HorizontalFlip()),
    Watcher(),
]


@pytest.fixture
def no_shape_checks():
    """Switches off the annotation checks that only the tests have, so that the checks of the library are tested."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
@pytest.mark.parametrize("wrong", [None, 3, np.random.default_rng(0)], ids=["None", "number", "numpy"])
def test_values_that_are_not_generators_are_refused(no_shape_checks, make_segment, step, wrong):
    segment = make_segment(size=32)
    for draw in (lambda: step.sample(segment, wrong), lambda: step(segment, generator=wrong)):
        with pytest.raises(TypeError, match=r"for example torch\.Generator\(\)\.manual_seed\(0\), got "):
            draw()


@pytest.mark.gpu
def test_a_generator_of_a_gpu_is_refused(make_segment, cuda):
    with pytest.raises(TypeError, match="got one on cuda"):
        HorizontalFlip()(make_segment(size=16), generator=torch.Generator(cuda))


@pytest.mark.parametrize("at_once", [False, True])
def test_a_blend_of_an_empty_batch_is_empty(monkeypatch, make_segment, generator, at_once):
    blend = SelfBlend(donor=Donor(p=1.0), pyramid=0.5, match_colour=0.5)
    empty = make_segment(2, 3, 64)[:0]
    params = blend.sample(empty, generator)
    # Without values, for example while torch compiles, a batch is blended at once.
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: at_once)
    pair = blend.apply(empty, params)
    assert pair.fake.frames.shape == pair.real.frames.shape == (0, 3, 3, 64, 64)
    assert pair.fake.label.shape == (0,)


@pytest.mark.parametrize("recipe", tuple(RECIPES))
def test_a_recipe_on_an_empty_batch_gives_an_empty_batch(make_segment, generator, recipe):
    empty = make_segment(2, 8, 64)[:0]
    pair = SelfBlend(donor=Donor(p=1.0))(empty, generator=generator)
    assert pair.both().frames.shape == (0, 8, 3, 64, 64)
    assert pair.temporal_patches.shape == (0, 7, 14, 14)
    for data in (empty, pair):
        out = RECIPES.get(recipe)()(data, generator=generator)
        fake = out.fake if isinstance(out, RealFakePair) else out
        assert fake.frames.shape == (0, 8, 3, 64, 64)
        assert fake.patch_label.shape == (0, 8, 14, 14)
