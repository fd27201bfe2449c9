"""The drawings of self-blends match the blends."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mgst_data.augment import PRESETS, SelfBlend
from mgst_data.core import Segment, generator_for
from mgst_data.preview.blend import (
    _BLENDED,
    _FAINT,
    BlendDraw,
    blend_sheet,
    caption,
    describe,
    draw_frame,
    film,
    gallery,
    mask_with_patches,
    panels,
    repeats,
    shown_frames,
)
from mgst_data.preview.stream import encode_video
from mgst_data.video import PyAVReader

SIZE = 56


def segment_of(t):
    """Makes a segment of noise with 68 landmarks in the middle of the frame."""
    random = generator_for(0, "preview")
    points = 0.25 * SIZE + 0.5 * SIZE * torch.rand(1, 1, 68, 2, generator=random)
    return Segment.of(torch.rand(1, t, 3, SIZE, SIZE, generator=random), points.expand(1, t, 68, 2))


def draw_of(t=8, preset="frame_random", seed=0, **options):
    segment, blend = segment_of(t), replace(SelfBlend.preset(preset), **options)
    params = blend.sample(segment, generator_for(seed, "draw"))
    pair = blend.apply(segment, params)
    return BlendDraw(pair, params, describe(blend, params, pair))


def is_blended(picture):
    return (picture == _BLENDED).all(axis=-1)


def test_panels_show_the_pair_and_its_difference():
    draw = draw_of(frame_mask={"all": 1.0})
    real, fake, mask, difference = panels(draw.pair, 3)
    frames = (255 * draw.pair.real.frames[0, 3].permute(1, 2, 0)).round().numpy()
    np.testing.assert_array_equal(real, frames)
    outside = draw.pair.fake.mask[0, 3, 0].numpy() == 0
    assert outside.any()
    assert not outside.all()
    assert (real[outside] == fake[outside]).all()
    assert (difference[outside] == 0).all()
    shown = 8 * np.abs(fake.astype(int) - real.astype(int))
    assert np.abs(np.clip(shown, 0, 255) - difference).max() <= 8  # one level of rounding, times 8
    assert mask[~outside].mean() > mask[outside].mean()


def test_the_tint_of_a_patch_grows_with_its_manipulated_share():
    patches = np.zeros((14, 14), np.float32)
    patches[2, 3], patches[2, 9] = 1.0, 0.3
    shown = mask_with_patches(np.zeros((SIZE, SIZE), np.float32), patches)
    middle = shown[2::4, 2::4].astype(int)  # away from the lines of the grid
    tint = middle[..., 0] - middle[..., 2]
    assert tint[2, 3] > tint[2, 9] > 0
    assert (np.delete(tint.ravel(), [2 * 14 + 3, 2 * 14 + 9]) == 0).all()
    white = mask_with_patches(np.ones((SIZE, SIZE), np.float32), np.zeros((14, 14), np.float32))
    assert (white[2::4, 2::4] == 255).all()


@pytest.mark.parametrize("t", [1, 3, 8])
def test_a_picture_of_the_video_shows_the_frame_mask_and_the_position(t):
    draw = draw_of(t, frame_mask={"single": 1.0})
    first, last = draw_frame(draw, 0, title="0"), draw_frame(draw, t - 1, title="0")
    assert first.shape == last.shape
    width = first.shape[1] - 12
    for picture in (first, last):
        line = picture[18 + 18 + SIZE + 6 + 6, 6:-6]
        cells = [is_blended(line[i * width // t + 1 : (i + 1) * width // t - 2]) for i in range(t)]
        assert [bool(cell.all()) for cell in cells] == draw.frame_mask.tolist()
        assert [bool(cell.any()) for cell in cells] == draw.frame_mask.tolist()
    markers = [(picture[18 + 18 + SIZE + 6 + 12 + 6] > 200).all(axis=-1) for picture in (first, last)]
    places = [np.flatnonzero(marker).mean() - 6 for marker in markers]
    assert places == pytest.approx([width / t / 2, width - width / t / 2], abs=2)


def test_a_film_shows_each_blend_for_the_minimum_time():
    draws = [draw_of(seed=seed) for seed in range(2)]
    pictures = list(film(draws, titles=["0", "1"], fps=8, seconds=1.5))
    assert len(pictures) == 2 * 16
    np.testing.assert_array_equal(pictures[0], pictures[8])
    assert (pictures[0] != pictures[16]).any()
    assert repeats(1, fps=8, seconds=4) == 32
    assert repeats(300, fps=8, seconds=4) == 1


@given(frame_mask=st.lists(st.booleans(), min_size=1, max_size=40), columns=st.integers(1, 20))
def test_a_blended_frame_is_shown_if_there_is_one(frame_mask, columns):
    frame_mask = np.array(frame_mask)
    shown = shown_frames(frame_mask, columns)
    assert len(shown) == min(columns, len(frame_mask))
    assert shown == sorted(set(shown))
    assert set(shown) <= set(range(len(frame_mask)))
    assert frame_mask[shown].any() == frame_mask.any()


def test_a_sheet_has_a_row_of_fakes_for_each_blend():
    draws = [draw_of(seed=seed) for seed in range(3)]
    sheet = blend_sheet(draws, titles=["a", "b", "c"], columns=4, side=SIZE)
    np.testing.assert_array_equal(sheet, blend_sheet(draws, titles=["a", "b", "c"], columns=4, side=SIZE))
    height = len(sheet) // 3
    for row, draw in enumerate(draws):
        shown = shown_frames(draw.frame_mask, 4)
        for column, t in enumerate(shown):
            tile = sheet[row * height + 18 : row * height + 18 + SIZE, column * SIZE : (column + 1) * SIZE]
            np.testing.assert_array_equal(tile, panels(draw.pair, t)[1])
        line = sheet[row * height + 18 + SIZE + 1, : 4 * SIZE]
        share = is_blended(line).sum() / (is_blended(line) | (line == _FAINT).all(axis=-1)).sum()
        assert share == pytest.approx(draw.frame_mask.mean(), abs=0.05)


def test_a_sheet_of_single_frames_shows_all_panels():
    draw = draw_of(1)
    sheet = blend_sheet([draw], titles=["a"], side=SIZE)
    for column, panel in enumerate(panels(draw.pair, 0)):
        np.testing.assert_array_equal(sheet[18 : 18 + SIZE, column * SIZE : (column + 1) * SIZE], panel)


def test_a_gallery_has_a_block_for_each_preset():
    draws = {preset: draw_of(6, preset) for preset in PRESETS}
    two, one = gallery(draws, columns=3, side=32), gallery(draws, columns=3, side=32, across=1)
    assert two.shape[1] > 1.9 * one.shape[1]
    assert one.shape[0] > 1.6 * two.shape[0]
    width = one.shape[1]
    np.testing.assert_array_equal(two[: len(one) // len(PRESETS), :width], one[: len(one) // len(PRESETS)])


@pytest.mark.parametrize("preset", PRESETS)
def test_facts_match_the_sampled_parameters(preset):
    for seed in range(4):
        draw = draw_of(8, preset, seed)
        facts = draw.facts
        assert facts["region"] in PRESETS[preset].mask.regions
        assert facts["frame_mask"] in PRESETS[preset].frame_mask
        assert facts["blended"] == draw.frame_mask.sum()
        assert facts["ratio"] == pytest.approx(float(draw.params.mask.ratio[0]), abs=1e-3)
        steady = torch.equal(draw.params.warp.translation_noise, torch.zeros(1, 8, 2))
        assert ("steady" in caption(facts)) == steady
        assert facts["region"] in caption(facts)
        assert ("jitter" in caption(facts)) == (preset == "strong_drift")


def test_an_encoded_video_keeps_the_colours_and_is_bit_identical_when_repeated(tmp_path):
    picture = np.zeros((65, 97, 3), np.uint8)
    picture[:, :32], picture[:, 32:64], picture[:, 64:] = (200, 40, 40), (40, 180, 60), (30, 60, 220)
    data = encode_video([picture, picture[:, ::-1]], fps=8)
    assert data == encode_video(iter([picture, picture[:, ::-1]]), fps=8)
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    batch = next(iter(PyAVReader().chunks(str(path), 4)))
    assert batch.frames.shape == (2, 3, 64, 96)
    assert batch.fps == 8
    seen = batch.frames[0, :, 32, [12, 48, 84]].T.numpy().astype(int)
    assert np.abs(seen - picture[32, [12, 48, 84]]).max() <= 3


def test_a_video_without_pictures_is_an_error():
    with pytest.raises(ValueError, match="at least one picture"):
        encode_video([], fps=8)


def test_captions_with_other_characters_than_ascii_are_drawn():
    draw = draw_of(1)
    assert blend_sheet([draw], titles=["caf\xe9 \udcff"], side=32).dtype == np.uint8
    assert cv2.imencode(".png", draw_frame(draw, 0, title="n" * 500))[0]
