"""Losses equal values computed by hand, ignore unknown parts, and do not depend on the number of processes."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mgst_data.core import generator_for
from mgst_data.core.labels import boundary
from mgst_model import losses
from mgst_model.losses import (
    Prototype,
    boundary_regression_loss,
    boundary_targets,
    frame_distance,
    frame_loss,
    paired_margin_loss,
    patch_loss,
    patch_targets,
    segment_loss,
    single_centre_loss,
    temporal_targets,
)

B, T, G, E = 4, 5, 3, 8


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=generator_for(seed, "losses", *shape))


def flags(*shape: int, seed: int = 0, share: float = 0.5) -> Tensor:
    return torch.rand(*shape, generator=generator_for(seed, "flags", *shape)) < share


def near(value: Tensor, wanted: float) -> None:
    torch.testing.assert_close(value, torch.tensor(wanted), rtol=1e-5, atol=1e-6)


# Every loss as a function of one output of a network and of the rows of the batch that a process has.
def rows(name: str, given: Tensor, part: slice, average: Callable[[Tensor], Tensor]) -> Tensor:
    fake = flags(B, T).float()
    severity, valid = flags(B, T, seed=1).float() * 0.15, flags(B, T, seed=2, share=0.8)
    target, known = flags(B, T - 1, G, G, share=0.2), flags(B, T - 1, 1, 1, share=0.7)
    mask = torch.rand(B, T, 1, 12, 12, generator=generator_for(0, "mask"))
    label, weight = flags(B).float(), torch.tensor([0.1, 0.2, 0.0, 0.3])
    d = frame_distance(given, torch.eye(E)[0]) if given.shape[1:] == (T, E) else given
    made: dict[str, Callable[[], Tensor]] = {
        "segment": lambda: segment_loss(given.mean(dim=(1, 2)), label[part], weight=weight[part], average=average),
        "patch": lambda: patch_loss(given, target[part], known[part], average=average),
        "boundary": lambda: boundary_regression_loss(given, boundary(mask[part]), known[part], average=average),
        "frame": lambda: frame_loss(d, fake[part], severity[part], valid[part], average=average),
        "paired": lambda: paired_margin_loss(0.4 * d, d, severity[part], valid[part], average=average),
        "centre": lambda: single_centre_loss(given, torch.eye(E)[0], fake[part], valid[part], average=average),
    }
    return made[name]()


NAMES = ("segment", "patch", "boundary", "frame", "paired", "centre")


def network_output(name: str) -> Tensor:
    return draw(B, T - 1, G, G) if name in ("patch", "boundary") else draw(B, T, E)


def test_the_public_names_exist():
    assert losses.__all__ == sorted(losses.__all__)
    assert all(hasattr(losses, name) for name in losses.__all__)


def test_the_segment_loss_is_the_weighted_cross_entropy():
    near(segment_loss(torch.zeros(2), torch.tensor([0.0, 1.0])), math.log(2))
    logit = torch.tensor([math.log(3), -math.log(3)])  # p = 3/4 and 1/4
    near(segment_loss(logit, torch.tensor([1.0, 1.0])), -(math.log(0.75) + math.log(0.25)) / 2)
    near(segment_loss(logit, torch.tensor([1.0, 1.0]), weight=torch.tensor([0.3, 0.1])),
         -(0.3 * math.log(0.75) + 0.1 * math.log(0.25)) / 0.4)  # fmt: skip


def test_the_patch_loss_is_the_balanced_focal_loss():
    logits = torch.full((1, 1, 2, 2), math.log(3))
    target = torch.tensor([[[[True, False], [False, False]]]])
    known = torch.tensor([[[[True, True], [True, False]]]])
    positive, negative = -(0.25**2) * math.log(0.75), -(0.75**2) * math.log(0.25)
    near(patch_loss(logits, target, known), (positive + negative) / 2)
    near(patch_loss(logits, target.float(), known), (positive + negative) / 2)
    near(patch_loss(logits, target, known, gamma=0.0), -(math.log(0.75) + math.log(0.25)) / 2)
    near(patch_loss(logits, torch.zeros(1, 1, 2, 2), known), negative / 2)


def test_the_frame_loss_is_the_distance_or_the_missing_margin():
    distance = torch.tensor([[0.1, 0.3, 0.2, 0.9]])
    frame_label = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    severity = torch.tensor([[0.0, 0.0, 0.1, 1.0]])
    valid = torch.ones(1, 4, dtype=torch.bool)
    near(frame_loss(distance, frame_label, severity, valid), 0.2 + (0.25 - 0.2) / 2)
    valid[0, 1] = False
    near(frame_loss(distance, frame_label, severity, valid), 0.1 + (0.25 - 0.2) / 2)
    near(frame_loss(distance, frame_label, severity, valid, margin=1.0, full_severity=0.1), 0.1 + (0.8 + 0.1) / 2)


def test_the_paired_loss_is_the_missing_margin():
    real, fake = torch.tensor([[0.1, 0.1, 0.4]]), torch.tensor([[0.2, 0.9, 0.1]])
    severity, valid = torch.tensor([[0.1, 1.0, 0.0]]), torch.ones(1, 3, dtype=torch.bool)
    near(paired_margin_loss(real, fake, severity, valid), (0.25 - 0.1) / 2)
    near(paired_margin_loss(real, fake, severity, valid, margin=1.0), (0.5 - 0.1 + 1 - 0.8) / 2)


def test_the_single_centre_loss_equals_the_formula():
    embedding = torch.tensor([[[3.0, 4.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 4.0, 0.0]]])
    label, valid = torch.tensor([[0.0, 0.0, 1.0]]), torch.ones(1, 3, dtype=torch.bool)
    loss = [single_centre_loss(embedding, torch.zeros(4), label, valid, unit_length=unit) for unit in (True, False)]
    near(loss[0], 3.0)  # 3 - 4 + 0.3 < 0
    near(single_centre_loss(embedding, torch.zeros(4), label, valid, margin=1.5), 3 + 0.5)
    near(loss[1], 3.0)  # 3 - 4 + 0.3 * 2 < 0
    near(single_centre_loss(embedding, torch.zeros(4), label, valid, margin=1.0, unit_length=False), 3 + 1.0)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000))
def test_distances_depend_on_directions_only(seed):
    embedding, prototype = draw(2, T, E, seed=seed), draw(E, seed=seed)
    d = frame_distance(embedding, prototype)
    assert ((d > -1e-6) & (d < 2 + 1e-6)).all()
    torch.testing.assert_close(frame_distance(3 * embedding, 7 * prototype), d)
    torch.testing.assert_close(frame_distance(-embedding, prototype), 2 - d)


def in_processes(work: Sequence[Callable[[losses.Average], Tensor]]) -> list[Tensor]:
    """Runs each part in a thread, with an ``average`` that waits for all other parts, as processes do."""
    barrier, counts = threading.Barrier(len(work), timeout=10), [torch.empty(0)] * len(work)

    def run(number: int) -> Tensor:
        def average(count: Tensor) -> Tensor:
            counts[number] = count
            barrier.wait()
            mean = torch.stack(counts).mean(dim=0)
            barrier.wait()
            return mean

        return work[number](average)

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(run, range(len(work))))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cuts", [(0, 2, 4), (0, 1, 4), (0, 1, 2, 4), (0, 3, 4)])
def test_several_processes_have_the_loss_of_the_whole_batch(name, cuts):
    given = network_output(name).requires_grad_()
    whole = rows(name, given, slice(None), losses.identity)
    (wanted,) = torch.autograd.grad(whole, given)
    assert wanted.abs().sum() > 0
    parts = [slice(a, b) for a, b in itertools.pairwise(cuts)]
    shares = in_processes([partial(rows, name, given[part], part) for part in parts])
    together = torch.stack(shares).mean()
    torch.testing.assert_close(together, whole)
    torch.testing.assert_close(torch.autograd.grad(together, given)[0], wanted)


def test_one_frame_in_four_processes_has_the_full_weight():
    distance = torch.tensor([[0.4, 7.0]])
    shares = in_processes(
        [
            partial(_loss_of_frames, distance, torch.zeros(1, 2), torch.tensor([[number == 2, False]]))
            for number in range(4)
        ]
    )
    near(torch.stack(shares).mean(), 0.4)
    assert [float(share) for share in shares if share == 0] == [0, 0, 0]


def _loss_of_frames(distance: Tensor, label: Tensor, valid: Tensor, average: losses.Average) -> Tensor:
    return frame_loss(distance, label, label, valid, average=average)


def nothing_known(name: str, given: Tensor) -> Tensor:
    none, empty = torch.zeros(B, T, dtype=torch.bool), torch.zeros(B, T - 1, 1, 1, dtype=torch.bool)
    d = given[..., 0]
    made: dict[str, Callable[[], Tensor]] = {
        "segment": lambda: segment_loss(d[:, 0], torch.ones(B), weight=torch.zeros(B)),
        "patch": lambda: patch_loss(given, torch.ones(B, T - 1, G, G), empty),
        "boundary": lambda: boundary_regression_loss(given, flags(B, T, 1, 6, 6).float(), empty),
        "frame": lambda: frame_loss(d, torch.ones(B, T), torch.ones(B, T), none),
        "paired": lambda: paired_margin_loss(d, d.clone(), torch.ones(B, T), none),
        "centre": lambda: single_centre_loss(given, torch.ones(E), torch.ones(B, T), none),
    }
    return made[name]()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fill", [0.0, math.inf, math.nan])
def test_unknown_parts_have_no_loss_and_no_gradient(name, fill):
    given = torch.full_like(network_output(name), fill).requires_grad_()
    loss = nothing_known(name, given)
    loss.backward()
    assert loss == 0
    assert given.grad is not None
    assert given.grad.abs().sum() == 0


@pytest.mark.parametrize("name", ["patch", "boundary", "frame", "paired", "centre"])
def test_values_of_unknown_parts_do_not_matter(name):
    given = network_output(name)
    ignored = ~flags(B, T - 1, 1, 1, share=0.7).expand_as(given) if name in ("patch", "boundary") else None
    if ignored is None:
        ignored = ~flags(B, T, seed=2, share=0.8)[..., None].expand_as(given)
    assert ignored.any()
    other = given.masked_fill(ignored, 1e6)
    found, wanted = (rows(name, each, slice(None), losses.identity) for each in (other, given))
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [30.0, 1e4])
def test_extreme_outputs_give_finite_losses_in_float32(device, dtype, size):
    high = torch.tensor([size, -size], dtype=dtype, device=device)
    label = torch.tensor([0.0, 1.0], device=device)
    patch = high[:, None, None, None].clone().requires_grad_()
    known = torch.ones(2, 1, 1, 1, dtype=torch.bool, device=device)
    valid = torch.ones(2, 1, dtype=torch.bool, device=device)
    embedding = high[:, None, None].expand(2, 1, 4).clone().requires_grad_()
    logit = high.clone().requires_grad_()
    distance = frame_distance(embedding, torch.ones(4, device=device))
    found = [
        segment_loss(logit, label),
        *(patch_loss(patch, label[:, None, None, None], known, gamma=gamma) for gamma in (0.0, 0.5, 2.0)),
        boundary_regression_loss(patch, torch.rand(2, 2, 1, 4, 4, generator=generator_for(0)).to(device), known),
        frame_loss(distance, label[:, None], label[:, None], valid),
        paired_margin_loss(distance, distance, label[:, None], valid),
        single_centre_loss(embedding, torch.zeros(4, device=device), label[:, None], valid),
    ]
    torch.stack(found).sum().backward()
    for loss in found:
        assert loss.dtype == torch.float32
        assert loss.isfinite()
    for leaf in (patch, embedding, logit):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()


def test_gradients_have_the_right_sign():
    logit = torch.zeros(2, requires_grad=True)
    segment_loss(logit, torch.tensor([0.0, 1.0])).backward()
    assert logit.grad is not None
    assert logit.grad.sign().tolist() == [1, -1]
    patches, known = torch.zeros(2, 1, 1, 1, requires_grad=True), torch.ones(2, 1, 1, 1, dtype=torch.bool)
    patch_loss(patches, torch.tensor([0.0, 1.0])[:, None, None, None], known).backward()
    assert patches.grad is not None
    assert patches.grad.flatten().sign().tolist() == [1, -1]
    # Real frames move closer, near fakes move away; far fakes and fakes with little manipulation have no gradient.
    distance = torch.tensor([[0.3, 0.3, 0.9, 0.3]], requires_grad=True)
    label, severity = torch.tensor([[0.0, 1.0, 1.0, 1.0]]), torch.tensor([[0.0, 1.0, 1.0, 0.01]])
    frame_loss(distance, label, severity, torch.ones(1, 4, dtype=torch.bool)).backward()
    assert distance.grad is not None
    assert distance.grad[0].sign().tolist() == [1, -1, 0, 0]


def test_easy_patches_weigh_less_with_a_higher_gamma():
    logits, target = torch.full((1, 1, 1, 1), 3.0), torch.ones(1, 1, 1, 1)
    known = target.bool()
    found = [float(patch_loss(logits, target, known, gamma=gamma)) for gamma in (0.0, 1.0, 2.0, 4.0)]
    assert found == sorted(found, reverse=True)


def test_positive_and_negative_patches_have_the_same_total_weight():
    logits = torch.zeros(1, 1, 8, 8, requires_grad=True)
    target = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    target[0, 0, 2, 3] = True
    patch_loss(logits, target, torch.ones(1, 1, 1, 1, dtype=torch.bool)).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad[target].sum(), -logits.grad[~target].sum())


def test_a_patch_is_positive_where_it_is_manipulated_and_changes():
    patch_mask = torch.tensor([True, False, False])[None, :, None, None].expand(1, 3, 2, 2)
    change = torch.tensor([[[[0.0, 0.1], [0.2, 0.3]]] * 2])
    found = temporal_targets(patch_mask, change, threshold=0.15)
    assert found.tolist() == [[[[False, False], [True, True]], [[False, False], [False, False]]]]


def test_targets_come_from_real_fake_pairs(generator):
    real = torch.rand(1, 3, 3, 28, 28, generator=generator)
    fake = real.clone()
    fake[:, 2, :, :14] += 0.2  # appears in the last frame, in the upper half
    patch_label = torch.zeros(1, 3, 2, 2)
    patch_label[:, 2, 0] = 1
    landmarks = torch.rand(1, 1, 68, 2, generator=generator).expand(1, 3, 68, 2) * 28
    found = patch_targets(fake, real, patch_label, landmarks, threshold=0.1)
    assert found.tolist() == [[[[False, False], [False, False]], [[True, True], [False, False]]]]
    assert not patch_targets(fake, real, patch_label, landmarks, threshold=0.3).any()


def test_boundary_targets_are_standardised_and_zero_where_nothing_changes():
    mask = torch.rand(2, T, 1, 12, 12, generator=generator_for(0, "mask"))
    mask[1] = mask[1, :1]
    known = flags(2, T - 1, G, G, share=0.7)
    found = boundary_targets(boundary(mask), known, G)
    assert found[1].abs().max() == 0
    seen = found[0][known[0]]
    near(seen.mean(), 0.0)
    near(seen.std(correction=0), 1.0)
    near(boundary_regression_loss(found, boundary(mask), known), 0.0)
    near(boundary_regression_loss(found + 0.5, boundary(mask), known), 0.25)


def test_a_prototype_starts_at_the_mean_and_follows_it():
    centre = Prototype(2, momentum=0.75)
    embedding = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [-5.0, 3.0]]])
    assert (frame_distance(embedding, centre.centre) == 1).all()
    centre.update(embedding, torch.tensor([[True, True, False]]))
    torch.testing.assert_close(centre.centre, torch.tensor([0.5, 0.5]).sqrt())
    before = centre.centre.clone()
    centre.update(embedding, torch.tensor([[False, True, False]]))
    wanted = 0.75 * before + 0.25 * torch.tensor([0.0, 1.0])
    torch.testing.assert_close(centre.centre, wanted / wanted.norm())


def test_a_prototype_without_real_frames_stays():
    centre = Prototype(E)
    nothing = torch.zeros(B, T, dtype=torch.bool)
    centre.update(draw(B, T, E), nothing)
    assert (centre.centre == 0).all()
    centre.update(draw(B, T, E), ~nothing)
    before = centre.centre.clone()
    centre.update(draw(B, T, E, seed=1), nothing)
    assert torch.equal(centre.centre, before)


def test_a_prototype_is_equal_in_all_processes_and_part_of_the_state():
    embedding, real = draw(B, T, E), flags(B, T)
    whole, parts = Prototype(E), [Prototype(E) for _ in range(2)]
    for _ in range(2):
        whole.update(embedding, real)
    for _ in range(2):
        in_processes(
            [
                partial(_update, part, embedding[rows], real[rows])
                for part, rows in zip(parts, (slice(0, 1), slice(1, B)), strict=True)
            ]
        )
    for part in parts:
        torch.testing.assert_close(part.centre, whole.centre)
    copy = Prototype(E)
    copy.load_state_dict(whole.state_dict())
    assert torch.equal(copy.centre, whole.centre)
    assert list(copy.parameters()) == []


def _update(prototype: Prototype, embedding: Tensor, real: Tensor, average: losses.Average) -> Tensor:
    prototype.update(embedding, real, average)
    return prototype.centre


def test_a_prototype_has_no_gradient():
    embedding = draw(B, T, E).requires_grad_()
    centre = Prototype(E)
    centre.update(embedding, torch.ones(B, T, dtype=torch.bool))
    assert not centre.centre.requires_grad
    with pytest.raises(ValueError, match="momentum"):
        Prototype(E, momentum=1.0)


def test_losses_of_half_precision_are_computed_in_float32():
    label, valid = flags(B, T).float(), flags(B, T, seed=2, share=0.8)
    share, grid = 0.2 * flags(B, T, seed=1).float(), draw(B, T - 1, G, G)
    known = flags(B, T - 1, G, G, share=0.7)
    mask = torch.rand(B, T, 1, 12, 12, generator=generator_for(0, "mask"))
    cases: tuple[tuple[Callable[..., Tensor], tuple[Tensor, ...]], ...] = (
        (lambda x, y, w: segment_loss(x, y, weight=w), (draw(B), flags(B).float(), draw(B).abs())),
        (lambda x, y: patch_loss(x, y, known), (grid, grid.sigmoid())),
        (lambda x: boundary_regression_loss(x, mask, known), (grid,)),
        (lambda d, y, s: frame_loss(d, y, s, valid), (draw(B, T).abs(), label, share)),
        (lambda r, f, s: paired_margin_loss(r, f, s, valid), (draw(B, T).abs(), draw(B, T, seed=1).abs(), share)),
        (lambda x, c, y: single_centre_loss(x, c, y, valid, margin=9.0), (draw(B, T, E), draw(E), label)),
        (frame_distance, (draw(B, T, E), draw(E))),
    )
    for loss, tensors in cases:
        half = [tensor.bfloat16() for tensor in tensors]
        found = loss(*half)
        assert found.dtype == torch.float32
        assert torch.equal(found, loss(*(tensor.float() for tensor in half)))


def test_a_prototype_moves_by_the_mean_of_several_frames_whatever_their_signs():
    centre = Prototype(2, momentum=0.5)
    every = torch.ones(1, 3, dtype=torch.bool)
    centre.update(torch.tensor([[[1.0, 0.0]]]), every[:, :1])
    centre.update(torch.tensor([[[0.5, -1.0], [1.0, -2.0], [0.75, -1.5]]]), every)
    wanted = (torch.tensor([1.0, 0.0]) + torch.tensor([0.75, -1.5])) / 2
    torch.testing.assert_close(centre.centre, wanted / wanted.norm())
    half = Prototype(2, momentum=0.5).bfloat16()
    half.update(torch.tensor([[[1.0, 0.0]]]), every[:, :1])
    half.update(torch.tensor([[[1.0, -2.0]]]), every[:, :1])
    assert half.centre.dtype == torch.bfloat16
    torch.testing.assert_close(half.centre.float(), torch.tensor([1.0, -1.0]) / math.sqrt(2), rtol=0, atol=4e-3)


@pytest.mark.parametrize("momentum", [-0.01, 1.0, math.nan])
def test_a_momentum_outside_its_range_is_refused(momentum):
    with pytest.raises(ValueError, match="momentum"):
        Prototype(E, momentum=momentum)
    assert Prototype(E, momentum=0.0).momentum == 0


def test_targets_of_unknown_patches_do_not_matter():
    logits, known = draw(B, T - 1, G, G), flags(B, T - 1, G, G, share=0.7)
    target = flags(B, T - 1, G, G, share=0.2).float()
    assert torch.equal(patch_loss(logits, target.where(known, math.nan), known), patch_loss(logits, target, known))
