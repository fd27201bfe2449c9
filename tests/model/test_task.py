"""The detection task: real-fake pairs with labels at every grain, and losses without unknown parts."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from augment import faces68
from torch.nn import functional

from mgst_data.augment import FaceCrop, SegmentSequential, SelfBlend
from mgst_data.core import Segment, generator_for
from mgst_model.networks.output import SegmentOutput
from mgst_model.train import DetectionTask, Examples

GRID, SIDE, T, E = 4, 64, 4, 8
PLAIN = {"recipe": "none", "temporal_p": 0.0}


@pytest.fixture
def make_task(make_experiment):
    def make(fakes="blends", augment=None, loss=None, frames=T, **data):
        experiment = make_experiment(data={"fakes": fakes, "frames": frames, **data}, augment=augment, loss=loss)
        return DetectionTask(experiment.data, experiment.augment, experiment.loss, experiment.network)

    return make


def people(b=3, t=T):
    """Returns real segments of different people."""
    segment = faces68.make(b, t, SIDE)
    return Segment.of(segment.frames, segment.landmarks, grid=GRID)


def videos():
    """Returns a real segment, a fake with a mask over its first quarter, and a fake without a mask."""
    segment = people()
    mask = torch.zeros_like(segment.mask)
    mask[1, :, :, :32, :32] = 1
    patches = functional.adaptive_avg_pool2d(mask.flatten(0, 1), GRID).reshape(3, T, GRID, GRID)
    patches[2] = 1
    label = torch.tensor([0.0, 1.0, 1.0])
    frame_label = label[:, None].expand(3, T).clone()
    return segment.replace(mask=mask, patch_label=patches, label=label, frame_label=frame_label)


HAS_MASK = torch.tensor([False, True, False])


def draw(seed=0):
    return generator_for(seed, "examples")


def said(examples, seed=0, *, grad=False):
    """Returns the output of an untrained network."""
    n, t = examples.valid.shape
    grid = examples.patch_target.shape[-1]
    generator = generator_for(seed, "said")
    frame_logits = torch.randn(n, t, generator=generator).requires_grad_(grad)
    embedding = functional.normalize(torch.randn(n, t, E, generator=generator), dim=-1).requires_grad_(grad)
    patches = torch.randn(n, t - 1, grid, grid, generator=generator).requires_grad_(grad)
    return SegmentOutput(frame_logits.mean(dim=1), frame_logits, embedding, patches)


def same(one, other):
    columns = [field.name for field in fields(Examples) if field.name != "pairs"]
    return one.pairs == other.pairs and all(torch.equal(getattr(one, c), getattr(other, c)) for c in columns)


def test_pairs_come_first_with_fakes_in_the_same_order(make_task):
    examples = make_task(augment=PLAIN).examples(people(), draw())
    assert (len(examples), examples.pairs) == (6, 3)
    assert examples.label.tolist() == [0, 0, 0, 1, 1, 1]
    real, fake = examples.frames[:3].flatten(1), examples.frames[3:].flatten(1)
    assert torch.cdist(fake, real).argmin(dim=1).tolist() == [0, 1, 2]
    assert not torch.equal(real, fake)


@pytest.mark.parametrize("augment", [PLAIN, {**PLAIN, "temporal_p": 1.0}, {}, {**PLAIN, "donor_p": 1.0}])
def test_labels_of_pairs_are_consistent_at_every_grain(make_task, augment):
    examples = make_task(augment=augment).examples(people(b=8), draw())
    real, fake = slice(0, 8), slice(8, 16)
    for column in ("frame_label", "severity", "boundary", "patch_target"):
        assert not getattr(examples, column)[real].any(), column
    assert examples.frame_label[fake].any(dim=1).all()
    assert ((examples.severity[fake] > 0) <= (examples.frame_label[fake] > 0)).all()
    assert examples.patch_target[fake].any()
    assert examples.patch_known.all()


def test_donors_are_other_segments_if_requested(make_task):
    """A face of a uniform grey stays uniform when it is blended with itself, with any change of colour."""
    segment = people(b=2)
    frames = torch.stack((torch.full_like(segment.frames[0], 0.5), segment.frames[1]))
    deviation = []
    for donor in (0.0, 1.0):
        task = make_task(augment={**PLAIN, "blend_preset": "sbi", "donor_p": donor})
        fakes = [task.examples(segment.replace(frames=frames), draw(seed)).frames[2, :, 0] for seed in range(8)]
        # Only the centre of the face: the edges of the mask are not pixels of a source alone.
        deviation.append(torch.stack(fakes)[..., 28:34, 28:34].std(dim=(-2, -1)).amax())
    assert deviation[0] < 1e-3 < deviation[1]


@pytest.mark.parametrize("augment", [PLAIN, {**PLAIN, "temporal_p": 1.0}])
def test_patches_change_only_where_the_pair_differs(make_task, augment):
    examples = make_task(augment=augment).examples(people(b=8), draw())
    apart = (examples.frames[8:] - examples.frames[:8]).abs().amax(dim=2).flatten(0, 1)
    differ = (functional.adaptive_max_pool2d(apart[:, None], GRID) > 0).reshape(8, T, GRID, GRID)
    target = examples.patch_target[8:]
    assert target.any()
    assert not (target & ~(differ[:, 1:] | differ[:, :-1])).any()
    assert not target.all()


def test_a_higher_threshold_marks_fewer_patches(make_task):
    marked = [
        make_task(augment=PLAIN, loss={"change_threshold": change}).examples(people(b=8), draw()).patch_target
        for change in (0.0, 0.02, 1.0)
    ]
    counts = [int(target.sum()) for target in marked]
    assert counts[0] > counts[1] > counts[2] == 0
    assert not (marked[1] & ~marked[0]).any()


def test_fake_videos_stay_as_they_are(make_task):
    segment = videos()
    examples = make_task("videos", PLAIN).examples(segment, draw(), has_mask=HAS_MASK)
    assert examples.pairs == 0
    assert examples.label.tolist() == [0, 1, 1]
    assert torch.equal(examples.frames, segment.frames)
    assert examples.patch_known[:, :, 0, 0].all(dim=1).tolist() == [True, True, False]
    assert examples.patch_known[:, :, 0, 0].any(dim=1).tolist() == [True, True, False]
    corner = torch.zeros(GRID, GRID, dtype=torch.bool)
    corner[:2, :2] = True
    assert not examples.patch_target[0].any()
    assert (examples.patch_target[1] == corner).all()
    # The manipulated share of the last segment is unknown, so its severity is 1.
    assert not examples.severity[0].any()
    assert ((examples.severity[1] > 0) & (examples.severity[1] < 1)).all()
    assert (examples.severity[2] == 1).all()


def test_without_any_masks_only_real_patches_are_known(make_task):
    examples = make_task("videos", PLAIN).examples(videos(), draw())
    assert examples.patch_known[:, 0, 0, 0].tolist() == [True, False, False]


def test_real_frames_of_a_fake_segment_are_known_without_a_mask(make_task):
    segment = videos()
    frame_label = segment.frame_label.clone()
    frame_label[2, :2] = 0
    segment = segment.replace(frame_label=frame_label, patch_label=segment.patch_label * frame_label[:, :, None, None])
    examples = make_task("videos", PLAIN).examples(segment, draw(), has_mask=HAS_MASK)
    assert examples.patch_known[2, :, 0, 0].tolist() == [True] + [False] * (T - 2)
    assert not examples.patch_target[2, 0].any()
    assert examples.severity[2].tolist() == [0, 0] + [1] * (T - 2)
    assert torch.equal(examples.frame_label, frame_label)


def test_stills_among_segments_get_no_temporal_fakes(make_task):
    examples = make_task("blends").examples(people(t=1), draw())
    assert examples.frames.shape[:2] == (6, 1)
    assert examples.frame_label.tolist() == [[0]] * 3 + [[1]] * 3
    assert examples.patch_target.shape[1] == 0


def test_blends_and_fake_videos_can_be_combined(make_task):
    segment = videos()
    order = torch.tensor([1, 0, 2])
    examples = make_task("both", PLAIN).examples(segment[order], draw(), has_mask=HAS_MASK[order])
    assert examples.pairs == 1
    assert examples.label.tolist() == [0, 1, 1, 1]
    assert torch.equal(examples.frames[2:], segment.frames[1:])
    assert examples.patch_known[:, 0, 0, 0].tolist() == [True, True, True, False]


def test_only_real_segments_are_blended(make_task):
    only_fakes = videos()[1:]
    examples = make_task("both", PLAIN).examples(only_fakes, draw(), has_mask=HAS_MASK[1:])
    assert (examples.pairs, examples.label.tolist()) == (0, [1, 1])


@pytest.mark.parametrize("fakes", ["blends", "videos", "both"])
def test_the_generator_decides_everything(make_task, fakes):
    task, segment = make_task(fakes), people() if fakes == "blends" else videos()
    one, again, other = (task.examples(segment, draw(seed), has_mask=HAS_MASK) for seed in (0, 0, 1))
    assert same(one, again)
    assert not same(one, other)


def test_validation_sees_no_augmentation(make_task):
    segment = people()
    plain = make_task(augment={**PLAIN, "temporal_p": 0.5}).test_examples(segment, draw())
    assert same(make_task().test_examples(segment, draw()), plain)
    assert same(make_task(augment={**PLAIN, "temporal_p": 0.5}).examples(segment, draw()), plain)
    assert not same(make_task().examples(segment, draw()), plain)


def test_single_frames_have_no_patches_to_compare(make_task):
    examples = make_task(frames=1).examples(people(t=1), draw())
    assert examples.patch_target.shape == (6, 0, GRID, GRID)
    parts = make_task(frames=1).losses(said(examples)._replace(patch_logits=None), examples)
    assert parts.keys() == {"total", "segment", "frame"}


def test_frames_without_a_face_are_left_out(make_task):
    segment = people()
    valid = torch.ones(3, T, dtype=torch.bool)
    valid[0, 1] = False
    valid[1] = False
    task = make_task(augment=PLAIN)
    examples = task.examples(segment.replace(valid=valid), draw())
    known = examples.patch_known[:, :, 0, 0]
    assert known[0].tolist() == known[3].tolist() == [False, False, True]
    assert not known[1].any()
    assert known[[2, 5]].all()

    task.prototype.centre.copy_(functional.normalize(torch.ones(E), dim=0))
    output = said(examples, grad=True)
    parts = task.losses(output, examples)
    parts["total"].backward()
    for row in (1, 4):
        assert not output.frame_logits.grad[row].any()
        assert not output.embedding.grad[row].any()
        assert not output.patch_logits.grad[row].any()
    assert output.frame_logits.grad[0].all()
    assert not output.embedding.grad[0, 1].any()
    assert output.embedding.grad[0, 0].any()


def test_unknown_patches_do_not_change_the_loss(make_task):
    examples = make_task("videos", PLAIN).examples(videos(), draw(), has_mask=HAS_MASK)
    for target in ("change", "boundary"):
        output = said(examples, grad=True)
        make_task("videos", PLAIN, {"patch_target": target}).losses(output, examples)["patch"].backward()
        assert output.patch_logits.grad[:2].any()
        assert not output.patch_logits.grad[2].any()


def test_the_total_is_the_weighted_sum_of_its_parts(make_task):
    task = make_task(loss={"patch_weight": 0.7, "frame_weight": 0.3, "ramp_epochs": 2.0})
    examples = task.examples(people(), draw())
    output = said(examples)
    for given, ramp in (({"epoch": 0.0}, 0.0), ({"epoch": 0.5}, 0.25), ({"epoch": 3.0}, 1.0), ({}, 1.0)):
        parts = task.losses(output, examples, **given)
        wanted = parts["segment"] + ramp * (0.7 * parts["patch"] + 0.3 * parts["frame"])
        torch.testing.assert_close(parts["total"], wanted)
    assert parts["patch"] > 0
    assert parts["frame"] > 0
    assert task.losses(output._replace(embedding=None), examples).keys() == {"total", "segment", "patch"}
    bare = make_task(loss={"patch_weight": 0.0, "frame_weight": 0.0}).losses(output, examples)
    assert bare.keys() == {"total", "segment"}
    assert bare["total"] == bare["segment"]


def test_the_prototype_depends_on_real_frames_only(make_task):
    task = make_task(augment=PLAIN)
    examples = task.examples(people(), draw())
    output = said(examples)
    real = examples.frame_label == 0
    changed = output._replace(embedding=torch.where(real[..., None], output.embedding, -1.0))
    task.update(output, examples)
    centre = task.prototype.centre.clone()
    torch.testing.assert_close(centre, functional.normalize(output.embedding[real].mean(dim=0), dim=0))
    other = make_task(augment=PLAIN)
    other.update(changed, examples)
    assert torch.equal(other.prototype.centre, centre)
    assert real[3:].any(), "a frame mask that leaves some frames real is part of the case"
    assert task.state_dict().keys() == {"prototype.centre"}


NATIVE = {"face_margin": 0.125, "size": 32}


@pytest.mark.parametrize("t", [1, T])
@pytest.mark.parametrize("blend_at", ["native", "input"])
@pytest.mark.parametrize("augment", [PLAIN, {**PLAIN, "temporal_p": 1.0}, {"recipe": "sbi"}])
def test_examples_have_the_size_of_the_input_wherever_blends_are_made(make_task, augment, blend_at, t):
    task = make_task(augment={**augment, "blend_at": blend_at}, frames=t, **NATIVE)
    segment = people(t=t)
    for make in (task.examples, task.test_examples):
        examples = make(segment, draw())
        assert examples.frames.shape == (6, t, 3, 32, 32)
        assert examples.frame_label[3:].any(dim=1).all()
        assert same(examples, make(segment, draw()))


def test_native_blends_are_made_before_the_crop(make_task):
    """The crop shows the same pair that the blend alone would give."""
    task, segment = make_task(augment={**PLAIN, "blend_at": "native"}, **NATIVE), people()
    generator = draw()
    pair = task.test_crop(task.blend(segment, generator=generator), generator=generator)
    examples = task.test_examples(segment, draw())
    assert torch.equal(examples.frames, pair.both().frames)
    early = make_task(augment=PLAIN, **NATIVE).test_examples(segment, draw())
    cropped = task.test_crop(segment, generator=draw())
    assert torch.equal(early.frames, task.blend(cropped, generator=_after_crop(task, segment)).both().frames)
    assert not torch.equal(early.frames, examples.frames)


def _after_crop(task, segment):
    """Returns the generator of the examples after the draws of the crop."""
    generator = draw()
    task.test_crop.sample(segment, generator)
    return generator


def test_training_draws_margins_and_validation_has_one(make_task):
    augment = {**PLAIN, "blend_at": "native", "face_margin_range": (0.0, 0.4)}
    task, segment = make_task(augment=augment, **NATIVE), people(b=1)
    first, second = (task.test_crop.sample(segment, draw(seed)).margin for seed in (0, 1))
    assert first.tolist() == second.tolist() == [[0.125] * 4]
    one, other = (task.crop.sample(segment, draw(seed)).margin for seed in (0, 1))
    assert (one != other).all()
    assert task.crop.margin_range == (0.0, 0.4)


def test_temporal_fakes_come_after_the_crop_and_before_the_recipe(make_task, monkeypatch):
    """They replace patches of the network's input. Recipe and crop have the same order for blends and fake videos."""
    task = make_task("both", {"blend_at": "native", "temporal_p": 1.0}, **NATIVE)
    names = {id(getattr(task, name)): name for name in ("blend", "crop", "temporal", "preserve")}
    called = []
    for kind in (SelfBlend, FaceCrop, SegmentSequential):

        def noted(self, data, *, generator, call=kind.__call__):
            called.append(names.get(id(self)))
            return call(self, data, generator=generator)

        monkeypatch.setattr(kind, "__call__", noted)

    def order():
        called.clear()
        task.examples(videos(), draw(), has_mask=HAS_MASK)
        return [name for name in called if name]

    assert order() == ["blend", "crop", "temporal", "preserve", "crop", "preserve"]
    task.temporal = None
    assert order() == ["blend", "preserve", "crop", "preserve", "crop"]


def test_native_patches_change_only_where_the_pair_differs(make_task):
    task = make_task(augment={**PLAIN, "temporal_p": 1.0, "blend_at": "native"}, **NATIVE)
    examples = task.examples(people(b=8), draw())
    apart = (examples.frames[8:] - examples.frames[:8]).abs().amax(dim=2).flatten(0, 1)
    differ = (functional.adaptive_max_pool2d(apart[:, None], GRID) > 0).reshape(8, T, GRID, GRID)
    target = examples.patch_target[8:]
    assert target.any()
    assert not (target & ~(differ[:, 1:] | differ[:, :-1])).any()


@pytest.mark.parametrize(
    "loss", [{"paired_weight": 1.0}, {"single_centre": True}, {"frame_margin": 0.9}, {"focal_gamma": 0.0}]
)
def test_every_option_of_the_losses_changes_them(make_task, loss):
    task, changed = make_task(), make_task(loss=loss)
    examples = task.examples(people(), draw())
    examples = replace(examples, patch_target=examples.patch_target | (torch.arange(6) > 3)[:, None, None, None])
    output = said(examples, grad=True)
    for each in (task, changed):
        each.prototype.centre.copy_(functional.normalize(torch.ones(E), dim=0))
    total = changed.losses(output, examples)["total"]
    assert total.isfinite()
    assert total != task.losses(output, examples)["total"]
    total.backward()
    assert output.embedding.grad.isfinite().all()
