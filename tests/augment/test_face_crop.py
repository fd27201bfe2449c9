"""The face crop: which part of the picture it shows, and that pixels, masks, patch labels and landmarks move alike."""

from __future__ import annotations

import pytest
import torch
from step_checks import assert_same, check, forged, twins
from torch.nn import functional

from mgst_data.augment import FaceCrop
from mgst_data.augment.geometric import FaceCropParams
from mgst_data.core import Segment, generator_for
from mgst_data.core.geometry import face_box
from mgst_data.core.labels import patches

STEPS = [FaceCrop(), FaceCrop(size=24), FaceCrop(size=70, margin_range=(-0.1, 0.6))]


def box_of(landmarks):
    """The face box of one frame, written out: from ear to ear, and from the forehead to the chin."""
    (left, top), (right, bottom) = landmarks.amin(dim=0).tolist(), landmarks.amax(dim=0).tolist()
    return left, top - 0.3 * (bottom - top), right, bottom


def margins_to(edges, box):
    """The margins with which a face crop has these edges."""
    (width, height), (left, top, right, bottom) = (box[2] - box[0], box[3] - box[1]), box
    x0, y0, x1, y1 = edges
    return torch.tensor([[(left - x0) / width, (top - y0) / height, (x1 - right) / width, (y1 - bottom) / height]])


@pytest.mark.parametrize("step", STEPS, ids=repr)
@pytest.mark.parametrize("k", [0, 68, 81])
def test_face_crops_keep_the_contract(step, k, make_segment, device):
    segment = make_segment(3, 4, 48, k=k or 68)
    segment = segment if k else segment.replace(landmarks=torch.zeros(3, 4, 0, 2))
    check(step, forged(segment).to(device))


def test_the_crop_is_the_mean_face_box_and_a_margin_on_each_side(make_segment):
    segment = make_segment(2, 3, 80)
    boxes = torch.tensor([[box_of(face) for face in faces] for faces in segment.landmarks]).mean(dim=1)
    torch.testing.assert_close(face_box(segment.landmarks, segment.valid), boxes)
    margin = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.0, -0.1, 0.5, 1.0]])
    for (x0, y0, x1, y1), (left, top, right, bottom), found in zip(
        boxes.tolist(), margin.tolist(), FaceCrop().edges(segment, FaceCropParams(margin)), strict=True
    ):
        w, h = x1 - x0, y1 - y0
        torch.testing.assert_close(found, torch.tensor((x0 - left * w, y0 - top * h, x1 + right * w, y1 + bottom * h)))


def test_the_margins_of_all_sides_are_drawn_independently(make_segment):
    segment = make_segment(1, 1, 32)[torch.zeros(2000, dtype=torch.long)]
    margin = FaceCrop(margin_range=(0.05, 0.2)).sample(segment, generator_for(0)).margin
    assert 0.05 <= float(margin.min()) < 0.051 < 0.199 < float(margin.max()) <= 0.2
    assert (torch.corrcoef(margin.T) - torch.eye(4)).abs().max() < 0.08


def test_the_edges_of_the_picture_keep_pixels_and_landmarks(make_segment):
    segment = forged(make_segment(1, 2, 40, still=True))
    margin = margins_to((-0.5, -0.5, 39.5, 39.5), box_of(segment.landmarks[0, 0]))
    assert_same(FaceCrop().apply(segment, FaceCropParams(margin)), segment, atol=1e-4)


@pytest.mark.parametrize("size", [20, 40, 64])
def test_a_crop_is_cut_out_and_scaled_without_antialiasing(size, make_segment):
    segment = make_segment(1, 1, 64, still=True)
    margin = margins_to((11.5, 7.5, 51.5, 59.5), box_of(segment.landmarks[0, 0]))
    found = FaceCrop(size=size).apply(segment, FaceCropParams(margin))
    cut = segment.frames[0, :, :, 8:60, 12:52]
    wanted = functional.interpolate(cut, size=(size, size), mode="bilinear", align_corners=False)[None]
    assert found.frames.shape == wanted.shape
    # At the rim of the crop, pixels outside it are interpolated too; they exist in the picture.
    inner = slice(2, -2)
    torch.testing.assert_close(
        found.frames[..., inner, inner], wanted[..., inner, inner], rtol=0, atol=1e-4 if size > 39 else 1e-3
    )
    scale = torch.tensor((size / 40, size / 52))
    points = (segment.landmarks - torch.tensor((11.5, 7.5))) * scale - 0.5
    torch.testing.assert_close(found.landmarks, points, rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [None, 33, 90])
def test_landmarks_move_with_the_pixels(size, make_segment, generator):
    segment = make_segment(2, 2, 60)
    dots = segment.landmarks[:, :, [30, 36, 45], :, None, None]  # nose and outer corners of the eyes, one per colour
    x, y = torch.arange(60)[None, None, None, None], torch.arange(60)[None, None, None, :, None]
    far = (x - dots[:, :, :, 0]) ** 2 + (y - dots[:, :, :, 1]) ** 2
    out = FaceCrop(size=size)(segment.replace(frames=torch.exp(-far / 4)), generator=generator)
    side = out.frames.shape[-1]
    column, row = torch.arange(side), torch.arange(side)[:, None]
    mass = out.frames.sum(dim=(3, 4))
    found = torch.stack([(out.frames * at).sum(dim=(3, 4)) / mass for at in (column, row)], dim=-1)
    torch.testing.assert_close(found, out.landmarks[:, :, [30, 36, 45]], rtol=0, atol=0.2)


@pytest.mark.parametrize("size", [28, 56, 84])
def test_masks_and_patch_labels_move_with_the_pixels(size, make_segment, generator):
    segment = forged(make_segment(2, 3, 56))
    segment = segment.replace(frames=segment.mask.expand_as(segment.frames).contiguous())
    out = FaceCrop(size=size)(segment, generator=generator)
    torch.testing.assert_close(out.frames[:, :, :1], out.mask, rtol=0, atol=1e-6)
    torch.testing.assert_close(out.patch_label, patches(out.mask, 14), rtol=0, atol=1e-5)


def test_patch_labels_without_a_mask_move_too(make_segment):
    """A fake whose mask is unknown, with one fake patch; the crop shows the left half of the picture."""
    segment = make_segment(1, 1, 56, still=True)
    label = torch.zeros(1, 1, 14, 14)
    label[..., 4, 2] = 1
    segment = segment.replace(label=torch.ones(1), frame_label=torch.ones(1, 1), patch_label=label)
    margin = margins_to((-0.5, -0.5, 27.5, 55.5), box_of(segment.landmarks[0, 0]))
    for size in (28, 56):
        out = FaceCrop(size=size, margin_range=(0.0, 9.0)).apply(segment, FaceCropParams(margin)).patch_label[0, 0]
        # The patch of column 2 is now twice as wide: columns 4 and 5, with a soft edge.
        assert set((out > 0.4).nonzero()[:, 0].tolist()) == {4}
        assert set((out > 0.7).nonzero()[:, 1].tolist()) == {4, 5}


def test_both_segments_of_a_pair_have_the_same_crop(make_segment, generator):
    real = make_segment(2, 2, 48)
    pair = FaceCrop(size=32)(twins(real), generator=generator)
    outside = (pair.fake.mask == 0).expand_as(pair.fake.frames)
    assert outside.any()
    assert torch.equal(pair.real.frames[outside], pair.fake.frames[outside])
    assert torch.equal(pair.real.landmarks, pair.fake.landmarks)


def test_a_still_face_stays_still_and_a_moving_one_is_not_followed(make_segment, generator):
    still = FaceCrop(size=32)(make_segment(2, 4, 48, still=True), generator=generator)
    assert torch.equal(still.frames, still.frames[:, :1].expand_as(still.frames))
    moving = make_segment(1, 4, 64)
    out = FaceCrop(size=64, margin_range=(0.1, 0.1))(moving, generator=generator)
    steps, before = (segment.landmarks[0, :, 30, 1].diff() for segment in (out, moving))
    torch.testing.assert_close(steps / before, (steps / before)[:1].expand(3), rtol=1e-3, atol=0)


def test_frames_without_a_face_do_not_count(make_segment):
    segment = make_segment(1, 4, 64)
    landmarks = segment.landmarks.clone()
    landmarks[0, 1] = torch.nan
    landmarks[0, 3] = 500
    valid = torch.tensor([[True, False, True, False]])
    some = segment.replace(landmarks=landmarks, valid=valid)
    step = FaceCrop(margin_range=(0.1, 0.1))
    params = step.sample(segment, generator_for(0))
    seen = Segment.of(segment.frames[:, [0, 2]], segment.landmarks[:, [0, 2]])
    torch.testing.assert_close(step.edges(some, params), step.edges(seen, params))


def test_a_segment_without_a_face_keeps_the_whole_picture(make_segment, generator):
    segment = make_segment(2, 2, 48)
    landmarks = segment.landmarks.clone()
    landmarks[0] = torch.nan
    segment = Segment.of(segment.frames, landmarks)
    step = FaceCrop(size=24)
    params = step.sample(segment, generator)
    assert step.edges(segment, params)[0].tolist() == [-0.5, -0.5, 47.5, 47.5]
    out = step.apply(segment, params).frames
    wanted = functional.interpolate(segment.frames[0], size=(24, 24), mode="bilinear", align_corners=False)
    torch.testing.assert_close(out[0], wanted, rtol=0, atol=1e-5)
    assert step.edges(segment, params)[1].tolist() != [-0.5, -0.5, 47.5, 47.5]


def test_a_crop_beyond_the_picture_repeats_its_border(make_segment):
    segment = make_segment(1, 1, 32, still=True)
    margin = margins_to((-8.5, -0.5, 31.5, 31.5), box_of(segment.landmarks[0, 0]))
    out = FaceCrop(size=40, margin_range=(0.0, 9.0)).apply(segment, FaceCropParams(margin)).frames
    torch.testing.assert_close(out[..., :8], out[..., 8:9].expand_as(out[..., :8]), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin_range": (0.2, 0.1)}, "margin_range"),
        ({"margin_range": (-0.5, 0.1)}, "margin_range"),
        ({"size": 0}, "size must be at least 1, got 0"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        FaceCrop(**options)
