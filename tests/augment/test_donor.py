"""Donors: which segment is chosen, where its face is placed, and which colours it gets."""

from __future__ import annotations

import math

import pytest
import torch

from mgst_data.augment import BlendMask, Donor, SelfBlend
from mgst_data.augment.blend.donor import DonorParams
from mgst_data.core import Segment, generator_for

PLAIN = {"frame_mask": {"all": 1.0}, "drift": 0.0, "mask": BlendMask(regions={"hull": 1.0}, ratios=(1.0,))}
ALWAYS = Donor(p=1.0)


def params(b, *, offset=1, fit=1.0, match=0.0):
    return DonorParams(
        given=torch.ones(b, dtype=torch.bool),
        offset=torch.full((b, 1), offset),
        fit=torch.full((b,), fit),
        match=torch.full((b,), match),
    )


def turned(points, degrees, scale, shift):
    angle = math.radians(degrees)
    matrix = scale * torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    middle = points.mean(dim=-2, keepdim=True)
    return (points - middle) @ matrix.T + middle + torch.tensor(shift)


def spots(points, size):
    """A bright spot at each of some points, (k, 2); (size, size)."""
    at = torch.arange(size)
    x, y = ((at - points[:, i, None]) / 1.5 for i in (0, 1))
    return torch.exp(-0.5 * (y.square()[:, :, None] + x.square()[:, None, :])).amax(dim=0)


def test_the_donor_is_the_candidate_with_the_same_face_turned_and_scaled(make_segment, generator, device):
    landmarks = make_segment(6, 2, 64).landmarks.clone()
    landmarks += 3 * torch.randn(6, 1, 68, 2, generator=generator)
    landmarks[4] = turned(landmarks[1], 10, 1.2, (4.0, -2.0))
    donor = Donor(p=1.0, candidates=5)
    drawn = donor.sample(6, generator)
    chosen = donor.choose(landmarks.to(device), torch.ones(6, 2, dtype=torch.bool, device=device), drawn.to(device))
    assert int(chosen[1]) == 4
    assert int(chosen[4]) == 1
    assert (chosen.cpu() != torch.arange(6)).all()


def test_candidates_are_all_the_others_or_some_of_them(generator):
    drawn = Donor(p=1.0, candidates=4).sample(9, generator)
    assert drawn.offset.shape == (9, 4)
    assert all(len(set(row)) == 4 and min(row) >= 1 and max(row) <= 8 for row in drawn.offset.tolist())
    few = Donor(p=1.0, candidates=4).sample(3, generator)
    assert {tuple(sorted(set(row))) for row in few.offset.tolist()} == {(1, 2)}


def test_a_share_of_segments_gets_a_donor(make_segment, generator):
    drawn = Donor(p=0.3).sample(1000, generator)
    assert 0.25 < drawn.given.float().mean() < 0.35
    assert not Donor(p=1.0).sample(1, generator).given.any()


def test_a_donor_with_frames_that_lack_a_face_comes_last(make_segment, generator):
    landmarks = make_segment(3, 2, 64).landmarks
    usable = torch.tensor([[True, True], [True, False], [True, True]])
    donor = Donor(p=1.0, candidates=2)
    assert int(donor.choose(landmarks, usable, donor.sample(3, generator))[0]) == 2


def test_frames_without_a_face_do_not_choose_the_donor(make_segment, generator):
    landmarks = make_segment(6, 4, 64).landmarks.clone() + 3 * torch.randn(6, 1, 68, 2, generator=generator)
    donor = Donor(p=1.0, candidates=5)
    drawn, usable = donor.sample(6, generator), torch.ones(6, 4, dtype=torch.bool)
    wanted = donor.choose(landmarks, usable, drawn)
    usable[:, 2] = False
    assert torch.equal(donor.choose(landmarks.masked_fill(~usable[..., None, None], 0), usable, drawn), wanted)
    nobody = torch.zeros(6, 4, dtype=torch.bool)
    assert donor.choose(landmarks, nobody, drawn).tolist() == list(range(6))


@pytest.mark.parametrize("fit", [0.0, 1.0])
def test_features_move_to_those_of_the_target(fit, make_segment, device):
    size = 128
    landmarks = make_segment(2, 1, size).landmarks.clone()
    landmarks[0, :, 17:27, 1] -= 8.0  # brows of the target are higher
    landmarks[1] = turned(landmarks[1], 8, 0.9, (5.0, -3.0))
    frames = torch.stack([spots(landmarks[i, 0, 17:27], size) for i in (0, 1)])[:, None, None].expand(2, 1, 3, -1, -1)
    mask = torch.ones(2, 1, 1, size, size)
    frames, points, mask = (item.to(device) for item in (frames, landmarks, mask))
    drawn = params(1, fit=fit).to(device)
    source = Donor().fitted(frames[1:], frames[:1], (points[1:], points[:1]), mask[:1], drawn)[0, 0, 0].cpu()
    wanted = landmarks[0, 0, 17:27]
    # Middle of the five spots of each brow.
    found = []
    columns = torch.arange(size)
    for side in (columns < size // 2, columns >= size // 2):
        weight = source * side
        y, x = (weight.sum(dim=1) * columns).sum() / weight.sum(), (weight.sum(dim=0) * columns).sum() / weight.sum()
        found.append((x, y))
    off = torch.tensor(found) - torch.stack((wanted[:5].mean(dim=0), wanted[5:].mean(dim=0)))
    if fit == 1.0:
        assert off.norm(dim=1).max() < 2.0
    else:
        assert (off[:, 1] > 4.0).all()
        assert (off[:, 0].abs() < 2.0).all()


def test_colours_are_matched_by_the_drawn_share(make_segment, device):
    segment = make_segment(2, 3, 64).to(device)
    frames = segment.frames * torch.tensor([0.4, 1.0], device=device).reshape(2, 1, 1, 1, 1)
    points, mask = (segment.landmarks[1:], segment.landmarks[:1]), torch.ones(1, 3, 1, 64, 64, device=device)
    means = [
        Donor().fitted(frames[1:], frames[:1], points, mask, params(1, match=match).to(device)).mean()
        for match in (0.0, 0.5, 1.0)
    ]
    assert means[0] > means[1] > means[2]
    assert (means[2] - frames[0].mean()).abs() < 0.1 * (means[0] - frames[0].mean())


def test_only_the_fake_shows_the_donor(make_segment, generator, device):
    segment = make_segment(2, 3, 96, still=True)
    frames = torch.stack((torch.full_like(segment.frames[0], 0.3), segment.frames[1]))
    segment = Segment.of(frames, segment.landmarks).to(device)
    pair = SelfBlend(**PLAIN, donor=ALWAYS, recolour_source=1.0)(segment, generator=generator)
    assert torch.equal(pair.real.frames, segment.frames)
    assert (pair.fake.label == 1).all()
    # The flat area has the donor's structure within the mask, and only there.
    inside = (pair.fake.mask[0] > 0.9).expand_as(pair.fake.frames[0])
    outside = (pair.fake.mask[0] == 0).expand_as(pair.fake.frames[0])
    assert pair.fake.frames[0][inside].std() > 0.001
    assert pair.fake.frames[0][outside].std() < 1e-6


def test_without_donors_nothing_changes(make_segment):
    segment = make_segment(4, 3, 64)
    alone = SelfBlend()(segment, generator=generator_for(5))
    none = SelfBlend(donor=Donor(p=0.0, candidates=2))(segment, generator=generator_for(5))
    assert torch.equal(alone.fake.frames, none.fake.frames)
    # Later draws do not change either, so a training without donors equals one of a version without this option.
    generator = generator_for(5)
    before = generator.get_state()
    Donor().sample(4, generator)
    assert torch.equal(generator.get_state(), before)
    one = segment[:1]
    donated = SelfBlend(donor=ALWAYS)(one, generator=generator_for(5))
    assert torch.equal(donated.fake.frames, SelfBlend()(one, generator=generator_for(5)).fake.frames)


def test_a_frame_whose_donor_has_no_face_is_not_blended_and_not_valid(make_segment, generator, device):
    segment = make_segment(2, 3, 96)
    landmarks = segment.landmarks.clone()
    landmarks[1, 2] = float("nan")
    segment = Segment.of(segment.frames, landmarks).to(device)
    pair = SelfBlend(**PLAIN, donor=ALWAYS, recolour_source=1.0)(segment, generator=generator)
    assert torch.equal(pair.fake.frames[0, 2], segment.frames[0, 2])
    assert pair.fake.frame_label.tolist() == [[1, 1, 0], [1, 1, 0]]
    assert not pair.fake.valid[0, 2]
    assert pair.fake.frames.isfinite().all()


@pytest.mark.parametrize("options", [{"p": 1.5}, {"candidates": 0}, {"fit_range": (0.5, 0.2)}, {"match_range": (0, 2)}])
def test_invalid_options_are_refused(options):
    with pytest.raises(ValueError):
        Donor(**options)
