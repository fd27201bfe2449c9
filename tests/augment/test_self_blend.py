"""Self-blending: equality of real and fake outside the mask, labels, presets."""

from __future__ import annotations

import dataclasses
import json
import pickle
import subprocess
import sys
from pathlib import Path

import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mgst_data import augment
from mgst_data.augment import PRESETS, REGIONS, BlendMask, Donor, Recolour, SelfBlend, SourceWarp
from mgst_data.core import RealFakePair, Segment, generator_for
from mgst_data.core.geometry import flip_landmarks
from mgst_data.core.polygons import hull_mask

ALWAYS = {"frame_mask": {"all": 1.0}, "drift": 0.0}
WHOLE = {"mask": BlendMask(regions={"hull": 1.0})}


def outside(pair):
    return (pair.fake.mask == 0).expand_as(pair.fake.frames)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("k", [68, 81])
@pytest.mark.parametrize("t", [1, 5])
def test_real_and_fake_are_bit_identical_outside_the_mask(name, k, t, make_segment, generator, device):
    segment = make_segment(4, t, 96, k=k).to(device)
    pair = SelfBlend.preset(name)(segment, generator=generator)
    assert outside(pair).any()
    assert torch.equal(pair.fake.frames[outside(pair)], pair.real.frames[outside(pair)])
    inside = ~outside(pair) & (pair.fake.mask > 0.2)
    assert inside.any()
    assert (pair.fake.frames != pair.real.frames)[inside].float().mean() > 0.5


def test_extra_blends_stay_within_the_mask_too(make_segment, generator, device):
    segment = make_segment(3, 2, 96).to(device)
    plain = SelfBlend(**ALWAYS)
    for options in ({"pyramid": 1.0}, {"match_colour": 1.0}, {"donor": Donor(p=1.0)}):
        blend = SelfBlend(**ALWAYS, **options)
        params = blend.sample(segment, generator_for(0))
        pair = blend.apply(segment, params)
        assert torch.equal(pair.fake.frames[outside(pair)], pair.real.frames[outside(pair)])
        assert not torch.allclose(pair.fake.frames, plain.apply(segment, params).fake.frames, atol=1e-3)
        assert pair.fake.frames.isfinite().all()


def test_matched_colours_are_those_of_the_target(make_segment):
    segment = make_segment(4, 2, 96)
    recolour = Recolour(rgb_shift=0.2, rgb_p=1.0, contrast_p=0.0)
    mask = BlendMask(ratios=(1.0,))

    def difference(match):
        blend = SelfBlend(**ALWAYS, mask=mask, recolour=recolour, match_colour=match)
        pair = blend(segment, generator=generator_for(3))
        weight = (pair.fake.mask > 0.9).float()
        mean = ((pair.fake.frames - pair.real.frames) * weight).sum(dim=(3, 4)) / weight.sum(dim=(3, 4)).clamp_min(1)
        return mean.abs().mean()

    assert difference(1.0) < 0.3 * difference(0.0)


def test_a_still_segment_stays_still_without_drift(make_segment, generator):
    pair = SelfBlend(drift=0.0, frame_mask={"all": 1.0})(make_segment(4, 5, 96, still=True), generator=generator)
    for frames in (pair.fake.frames, pair.fake.mask, pair.real.frames):
        torch.testing.assert_close(frames, frames[:, :1].expand_as(frames), rtol=0, atol=1e-6)


def test_drift_moves_a_still_segment(make_segment, generator):
    blend = SelfBlend(steady_p=0.0, frame_mask={"all": 1.0})
    pair = blend(make_segment(4, 5, 96, still=True), generator=generator)
    assert ((pair.fake.mask - pair.fake.mask[:, :1]).abs().amax(dim=(1, 2, 3, 4)) > 0).all()


def test_drift_changes_the_source_and_not_the_real_segment(make_segment):
    for seed in range(4):
        blend = SelfBlend(steady_p=0.0, colour_drift=0.1, recolour_source=seed % 2, frame_mask={"all": 1.0})
        pair = blend(make_segment(3, 5, 64, still=True), generator=generator_for(seed))
        torch.testing.assert_close(pair.real.frames, pair.real.frames[:, :1].expand_as(pair.real.frames))


def test_no_drift_changes_no_other_draw(make_segment):
    segment = make_segment()
    with_drift, without = (SelfBlend(drift=d).sample(segment, generator_for(5)) for d in (1.0, 0.0))
    for name in ("region", "size", "shrink", "soften", "sigma", "ratio", "elastic"):
        assert torch.equal(getattr(with_drift.mask, name), getattr(without.mask, name))
    assert torch.equal(with_drift.frame_mask, without.frame_mask)
    assert without.mask.landmark_noise.abs().sum() == 0


def test_frames_outside_the_frame_mask_are_real(make_segment, device):
    segment = make_segment(12, 8, 64).to(device)
    blend = SelfBlend(frame_mask={"run": 1.0, "scatter": 1.0, "single": 1.0}, mask=BlendMask(shrink_range=(5, 5)))
    params = blend.sample(segment, generator_for(2))
    pair = blend.apply(segment, params)
    frame_mask = params.frame_mask.to(device)
    assert frame_mask.any()
    assert not frame_mask.all()
    assert torch.equal(pair.fake.frames[~frame_mask], pair.real.frames[~frame_mask])
    assert (pair.fake.mask[~frame_mask] == 0).all()
    assert (pair.fake.frame_label[~frame_mask] == 0).all()
    assert torch.equal(pair.fake.frame_label > 0, frame_mask & pair.fake.valid)


def test_frame_masks_have_the_documented_form(make_segment):
    segment = make_segment(400, 10, 16)
    blend = SelfBlend()
    params = blend.sample(segment, generator_for(1))
    opened = params.frame_mask.sum(dim=1)
    runs = (params.frame_mask[:, 1:] & ~params.frame_mask[:, :-1]).sum(dim=1) + params.frame_mask[:, 0].long()
    every, run, scatter, single = (params.frame_mask_kind == i for i in range(4))
    assert (opened[every] == 10).all()
    assert ((opened[run] >= 2) & (opened[run] <= 8) & (runs[run] == 1)).all()
    assert ((opened[scatter] >= 1) & (opened[scatter] <= 9)).all()
    assert (opened[single] == 1).all()
    shares = torch.stack([mode.float().mean() for mode in (every, run, scatter, single)])
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.25, 0.15, 0.1]), rtol=0, atol=0.07)


def test_a_segment_of_one_frame_is_always_blended(make_segment, generator):
    pair = SelfBlend(frame_mask={"single": 1.0}, **WHOLE)(make_segment(3, 1, 96), generator=generator)
    assert (pair.fake.frame_label == 1).all()
    assert pair.transition.shape == (3, 0)
    assert pair.temporal_patches.shape == (3, 0, 14, 14)


def test_the_same_parameters_give_the_same_pixels(make_segment, generator):
    segment = make_segment(3, 4, 64)
    blend = SelfBlend(pyramid=0.5, match_colour=0.5)
    params = blend.sample(segment, generator)
    first, second = blend.apply(segment, params), blend.apply(segment, params)
    assert torch.equal(first.fake.frames, second.fake.frames)
    again = blend.sample(segment, generator_for(9))
    assert torch.equal(blend.sample(segment, generator_for(9)).mask.elastic, again.mask.elastic)


def test_a_part_of_a_batch_gives_a_part_of_the_result(make_segment, generator, device):
    segment = make_segment(5, 4, 64).to(device)
    blend = SelfBlend(pyramid=0.5, match_colour=0.5)
    params = blend.sample(segment, generator)
    whole = blend.apply(segment, params)
    for i in range(5):
        alone = blend.apply(segment[i : i + 1], params[i : i + 1])
        torch.testing.assert_close(alone.fake.frames, whole.fake.frames[i : i + 1], rtol=0, atol=1e-5)
        torch.testing.assert_close(alone.fake.mask, whole.fake.mask[i : i + 1], rtol=0, atol=1e-5)


def test_tiles_give_the_result_of_the_whole_batch(make_segment, generator):
    # With gradients, the batch is blended at once.
    segment = make_segment(3, 6, 192)
    blend = SelfBlend(pyramid=0.5, match_colour=0.5, donor=Donor(p=0.5))
    params = blend.sample(segment, generator)
    tiled = blend.apply(segment, params)
    whole = blend.apply(segment.replace(frames=segment.frames.clone().requires_grad_()), params)
    torch.testing.assert_close(tiled.fake.frames, whole.fake.frames.detach(), rtol=0, atol=1e-5)
    torch.testing.assert_close(tiled.real.frames, whole.real.frames.detach(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("dtype", "size"), [("float32", 193), ("float32", 95), ("float16", 96), ("bfloat16", 192)])
@pytest.mark.parametrize("name", PRESETS)
def test_a_cpu_gives_the_result_of_other_devices(name, dtype, size, make_segment, generator):
    # With gradients, the batch is blended at once and with torch alone, as on other devices.
    segment = make_segment(4, 2, size).to(dtype=getattr(torch, dtype))
    segment = Segment.of(segment.frames[..., :-3].contiguous(), segment.landmarks)
    blend = SelfBlend.preset(name)
    params = blend.sample(segment, generator)
    fast = blend.apply(segment, params)
    whole = blend.apply(segment.replace(frames=segment.frames.clone().requires_grad_()), params)
    tolerance = {"float32": 1e-4, "float16": 2e-3, "bfloat16": 1.6e-2}[dtype]
    for mine, others in ((fast.real, whole.real), (fast.fake, whole.fake)):
        torch.testing.assert_close(mine.frames, others.frames.detach(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", PRESETS)
def test_masks_made_one_by_one_are_those_made_at_once(name, make_segment, generator, monkeypatch):
    # Without values, for example while torch compiles, the masks of a batch are made at once.
    segment = make_segment(6, 4, 192)
    shifts = torch.tensor([[0, 0], [-60, 0], [0, 70], [90, 90], [400, 0], [0, -20]], dtype=torch.float32)
    segment = segment.replace(landmarks=segment.landmarks + shifts[:, None, None])
    blend = SelfBlend.preset(name)
    params = blend.sample(segment, generator)
    one_by_one = blend.apply(segment, params).fake.mask
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    at_once = blend.apply(segment, params).fake.mask
    assert (at_once.flatten(1).amax(dim=1) > 0).sum() >= 4
    torch.testing.assert_close(one_by_one, at_once, rtol=0, atol=2e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**40), st.integers(1, 40), st.sampled_from(["spread", "line", "point", "grid"]))
def test_points_left_out_of_the_rim_are_no_corners_of_the_hull(seed, k, kind):
    from mgst_data.augment.blend.regions import rim

    points = 2 + 20 * torch.rand(3, k, 2, generator=generator_for(seed))
    if kind == "line":
        points[..., 1] = points[..., 0] + 1
    elif kind == "point":
        points = points[:, :1].expand(3, k, 2).clone()
    elif kind == "grid":
        points = points.round()
    left = rim(points)
    assert 1 <= left.shape[1] <= k
    torch.testing.assert_close(hull_mask(left, (24, 24)), hull_mask(points, (24, 24)), rtol=0, atol=1e-3)
    if kind == "spread" and k > 8:
        crowd = torch.cat((points, points.mean(dim=1, keepdim=True).expand(3, 200, 2)), dim=1)
        assert rim(crowd).shape[1] <= k


def test_gradients_flow_to_the_frames(make_segment, generator, device):
    segment = make_segment(3, 4, 48).to(device)
    frames = segment.frames.clone().requires_grad_()
    pair = SelfBlend(pyramid=0.5, match_colour=0.5)(segment.replace(frames=frames), generator=generator)
    (pair.fake.frames.sum() + pair.real.frames.sum()).backward()
    assert frames.grad is not None
    assert frames.grad.isfinite().all()
    assert (frames.grad.abs().sum(dim=(2, 3, 4)) > 0).all()


def test_frames_without_a_face_stay_untouched_and_are_marked(make_segment, device):
    segment = make_segment(3, 4, 64)
    landmarks = segment.landmarks.clone()
    landmarks[0, 1], landmarks[1, 2, 5] = float("nan"), float("inf")
    segment = Segment.of(segment.frames, landmarks).to(device)
    assert segment.valid.sum() == 10
    for seed in range(4):
        pair = SelfBlend(recolour_source=seed % 2, **ALWAYS)(segment, generator=generator_for(seed))
        for b, t in ((0, 1), (1, 2)):
            assert torch.equal(pair.fake.frames[b, t], segment.frames[b, t])
            assert torch.equal(pair.real.frames[b, t], segment.frames[b, t])
            assert not pair.fake.valid[b, t]
            assert pair.fake.frame_label[b, t] == 0
        assert pair.fake.frames.isfinite().all()


def test_an_empty_mask_is_reported(make_segment, device):
    # Kernels larger than the face leave an empty mask.
    tiny = {"mask": BlendMask(regions={"parts": 1.0}, shrink_range=(199, 199))}
    pair = SelfBlend(**ALWAYS, **tiny)(make_segment(2, 3, 64).to(device), generator=generator_for(0))
    assert torch.equal(pair.fake.frames, pair.real.frames)
    assert (pair.fake.label == 0).all()
    assert not pair.fake.valid.any()
    assert pair.real.valid.all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_kept(dtype, make_segment, device):
    segment = make_segment(4, 3, 64).to(device)
    blend = SelfBlend(match_colour=0.5, pyramid=0.5, donor=Donor(p=0.5))
    params = blend.sample(segment, generator_for(4))
    full, half = blend.apply(segment, params), blend.apply(segment.to(dtype=dtype), params)
    assert half.fake.frames.dtype == half.fake.mask.dtype == dtype
    assert half.fake.landmarks.dtype == torch.float32
    assert torch.equal(half.fake.frames[outside(half)], half.real.frames[outside(half)])
    assert (half.fake.frames.float() - full.fake.frames).abs().mean() < 0.01


def test_labels_agree_with_the_mask(make_segment, generator):
    pair = SelfBlend(**WHOLE, frame_mask={"scatter": 1.0})(make_segment(4, 6, 70), generator=generator)
    fake = pair.fake
    assert torch.equal(fake.frame_label > 0, fake.mask.flatten(2).amax(dim=2) > 0)
    assert torch.equal(fake.label, fake.frame_label.amax(dim=1))
    blocks = fake.mask[:, :, 0].unfold(2, 5, 5).unfold(3, 5, 5).mean(dim=(4, 5))
    torch.testing.assert_close(fake.patch_label, blocks)
    assert torch.equal(pair.patch_mask, fake.patch_label > 0.04)
    assert torch.equal(pair.transition, (fake.frame_label.diff(dim=1) != 0).float())
    torch.testing.assert_close(pair.boundary, 4 * fake.mask * (1 - fake.mask))
    assert ((pair.severity > 0.1) == (fake.frame_label > 0)).all()
    assert (pair.severity <= 1).all()
    for values in (pair.real.label, pair.real.mask, pair.real.patch_label):
        assert (values == 0).all()


def test_a_moving_head_is_no_change_of_the_mask(make_segment):
    moving = make_segment(6, 4, 112)
    steady = SelfBlend(**ALWAYS, **WHOLE)(moving, generator=generator_for(0))
    gated = SelfBlend(drift=0.0, frame_mask={"scatter": 1.0}, **WHOLE)(moving, generator=generator_for(0))
    plain = (steady.fake.patch_label.diff(dim=1)).abs()
    assert steady.temporal_patches.amax() < 0.5 * plain.amax()
    assert gated.temporal_patches.amax() > 5 * steady.temporal_patches.amax()


def test_both_has_real_segments_then_fakes(make_segment, generator):
    pair = SelfBlend(**WHOLE, **ALWAYS)(make_segment(2, 3, 64), generator=generator)
    both = pair.both()
    assert both.label.tolist() == [0, 0, 1, 1]
    assert torch.equal(both.frames[2:], pair.fake.frames)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**40), st.sampled_from([*REGIONS]), st.sampled_from([68, 81]), st.integers(1, 5))
def test_any_draw_is_in_range_and_finite(seed, region, k, t):
    import faces68

    segment = faces68.make(2, t, 48, k=k, seed=seed)
    pair = SelfBlend(mask=BlendMask(regions={region: 1.0}))(segment, generator=generator_for(seed))
    for twin in (pair.real, pair.fake):
        for values in (twin.frames, twin.mask, twin.patch_label):
            assert values.isfinite().all()
            assert values.min() >= 0
            assert values.max() <= 1 + 1e-6


def test_a_region_of_a_mirrored_face_is_the_mirrored_region(make_segment):
    from mgst_data.augment.blend.regions import region_mask

    for k in (68, 81):
        points = make_segment(1, 1, 96, k=k).landmarks + torch.tensor([3.0, -1.0])
        for region in REGIONS.values():
            mask = region_mask(points, region, (96, 96))
            mirrored = region_mask(flip_landmarks(points, 96), region, (96, 96))
            assert mask.sum() > 20
            torch.testing.assert_close(mask.flip(-1), mirrored, rtol=0, atol=1e-3)


def test_the_extended_hull_holds_the_hull_and_more(make_segment):
    from mgst_data.augment.blend.regions import region_mask

    for k in (68, 81):
        points = make_segment(1, 1, 96, k=k).landmarks
        hull, extended = (region_mask(points, REGIONS[name], (96, 96)) for name in ("hull", "extended"))
        assert (extended >= hull - 1e-6).all()
        assert extended.sum() > 1.1 * hull.sum()


@pytest.mark.parametrize("name", PRESETS)
def test_presets_can_be_changed(name, make_segment, generator):
    preset = SelfBlend.preset(name)
    changed = dataclasses.replace(preset, recolour_source=1.0)
    assert changed.sample(make_segment(50, 1, 16), generator).recolour_source.all()
    assert dataclasses.replace(changed, recolour_source=preset.recolour_source) == preset
    opaque = dataclasses.replace(preset.mask, ratios=(1.0,))
    assert (opaque.regions, opaque.ratios) == (preset.mask.regions, (1.0,))
    with pytest.raises(dataclasses.FrozenInstanceError):
        preset.drift = 1.0


@pytest.mark.parametrize("name", PRESETS)
def test_options_are_written_as_python_and_as_plain_values(name):
    blend = SelfBlend.preset(name)
    assert eval(repr(blend), vars(augment)) == pickle.loads(pickle.dumps(blend)) == blend
    options = dataclasses.asdict(blend)
    assert json.loads(json.dumps(options, default=repr))["mask"]["ratios"] == list(blend.mask.ratios)
    kinds = {"mask": BlendMask, "warp": SourceWarp, "recolour": Recolour, "donor": Donor}
    assert SelfBlend(**options | {part: kind(**options[part]) for part, kind in kinds.items()}) == blend
    assert repr(SelfBlend()) == "SelfBlend()"


def test_parameters_can_be_written_down(make_segment, generator):
    params = SelfBlend().sample(make_segment(), generator)
    written = json.loads(json.dumps(params.as_dict()))
    assert len(written["frame_mask"]) == 2
    assert {field.name for field in dataclasses.fields(params)} == set(written)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (lambda: BlendMask(regions={"ears": 1.0}), "unknown region 'ears'; known: hull, extended"),
        (lambda: SelfBlend(frame_mask={"always": 1.0}), "unknown frame mask 'always'; known: all, run"),
        (lambda: SelfBlend(recolour_source=1.5), "recolour_source must be in"),
        (lambda: BlendMask(ratios=(0.0, 1.0)), "ratios must have"),
        (lambda: SourceWarp(scale_range=(1.1, 0.9)), "scale_range must be"),
        (lambda: SelfBlend(rho_range=(0.0, 1.0)), "rho_range must be"),
        (lambda: SelfBlend(frame_mask={"all": 0.0}), "probabilities of frame masks"),
        (lambda: SelfBlend(frame_mask={}), "probabilities of frame masks .* got {}"),
        (lambda: BlendMask(regions={}), "probabilities of regions .* got {}"),
        (lambda: BlendMask(regions={"hull": -1.0}), "probabilities of regions"),
        (lambda: BlendMask(elastic=(50.0, 0.0)), "elastic must be"),
        (lambda: Recolour(factors=()), "factors must have at least one value"),
        (lambda: dataclasses.replace(SelfBlend(), steady_p=-1), "steady_p must be in"),
    ],
)
def test_invalid_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        options()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": {"ratios": (1.0,)}}, r"mask must be a BlendMask\(...\), got a dict"),
        ({"warp": None}, r"warp must be a SourceWarp\(...\), got a NoneType"),
        ({"recolour": Donor()}, r"recolour must be a Recolour\(...\), got a Donor"),
        ({"donor": 0.5}, r"donor must be a Donor\(...\), got a float"),
    ],
)
def test_an_option_of_another_type_is_refused(options, message):
    # The annotation checks of the tests would raise first, with another message.
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with pytest.raises(TypeError, match=message):
            SelfBlend(**options)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def test_input_that_cannot_be_blended_is_refused(make_segment, generator):
    with pytest.raises(ValueError, match="must have 68 or 81 landmarks for self-blending, got 5"):
        SelfBlend()(make_segment(k=5), generator=generator)
    with pytest.raises(ValueError, match="known: sbi"):
        SelfBlend.preset("fancy")
    pair = SelfBlend()(make_segment(), generator=generator)
    with pytest.raises(TypeError, match="must be a Segment, got a RealFakePair"):
        SelfBlend().apply_any(pair, SelfBlend().sample(make_segment(), generator))


# In another process, because the annotation checks of the tests cannot be compiled.
COMPILED = """
import sys, torch
sys.path.insert(0, sys.argv[1])
import faces68
from mgst_data.augment import Donor, SelfBlend
from mgst_data.core import generator_for
segment = faces68.make(2, 3, 64).to(sys.argv[2])
blend = SelfBlend(donor=Donor(p=0.5))
params = blend.sample(segment, generator_for(0))
eager = blend.apply(segment, params)
compiled = torch.compile(blend.apply, fullgraph=True, backend="aot_eager")(segment, params)
for name in ("frames", "mask", "patch_label"):
    torch.testing.assert_close(getattr(compiled.fake, name), getattr(eager.fake, name), rtol=0, atol=1e-5)
print("the same")
"""


def test_it_compiles_to_one_graph(device):
    command = [sys.executable, "-W", "ignore", "-c", COMPILED, str(Path(__file__).parent), str(device)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() == "the same", done.stderr


@pytest.mark.gpu
def test_a_blend_does_not_wait_for_the_device(make_segment, generator, cuda):
    segment = make_segment(4, 4, 64).to(cuda)
    blend = SelfBlend(pyramid=0.5, match_colour=0.5, donor=Donor(p=0.5))
    params = blend.sample(segment, generator)
    blend.apply(segment, params)
    torch.cuda.set_sync_debug_mode("error")
    try:
        pair = blend.apply(segment, params)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert isinstance(pair, RealFakePair)


def test_importing_it_imports_torch_only():
    code = (
        "import sys, mgst_data.augment;"
        "heavy = {'cv2', 'dlib', 'webdataset', 'av', 'facenet_pytorch', 'torchvision', 'skimage', 'ray', 'click'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
