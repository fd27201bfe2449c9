"""Maps move with the head, and only changes of the forgery itself count as change."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mgst_data.core.labels import binary_patches, carried, patches, residual_change, severity, temporal_patches

sys.path.append(str(Path(__file__).parents[1] / "augment"))
import faces68

SIZE = 64


def moving(steps: list[tuple[int, int]]) -> Tensor:
    """Landmarks of a face that moves by whole pixels, (1, t, 68, 2)."""
    return torch.stack([faces68.face() * SIZE + torch.tensor(step) for step in steps])[None]


def blob(steps: list[tuple[int, int]], strength: list[float] | None = None) -> Tensor:
    """A smooth spot on the nose of that face, (1, t, 3, h, w)."""
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    frames = [(-((x - 32 - dx) ** 2 + (y - 32 - dy) ** 2) / 60).exp() for dx, dy in steps]
    made = torch.stack(frames) * torch.tensor(strength or [1.0] * len(steps))[:, None, None]
    return 0.5 * made[None, :, None].expand(-1, -1, 3, -1, -1)


WALK = [(0, 0), (3, -2), (-4, 1)]


def test_maps_move_with_the_head():
    spot = blob(WALK)
    torch.testing.assert_close(carried(spot, moving(WALK)), spot[:, 1:], rtol=0, atol=1e-3)


def test_maps_rotate_and_scale_with_the_head():
    turn = torch.tensor([[0.9, -0.5], [0.5, 0.9]]) * 1.1
    centre = (SIZE - 1) / 2
    here = moving([(0, 0)])[0, 0]
    there = (here - centre) @ turn.T + centre
    spot = blob([(6, 3)])
    back = torch.cat((torch.linalg.inv(turn), torch.zeros(2, 1)), dim=1)[None]
    grid = functional.affine_grid(back, [1, 3, SIZE, SIZE], align_corners=False)
    wanted = functional.grid_sample(spot[0], grid, align_corners=False)
    found = carried(spot.expand(1, 2, -1, -1, -1), torch.stack((here, there))[None])
    torch.testing.assert_close(found[0], wanted, rtol=0, atol=1e-4)


def test_a_forgery_that_moves_with_the_head_does_not_change(generator):
    real = 0.4 * torch.rand(1, 3, 3, SIZE, SIZE, generator=generator)
    steady = residual_change(real + blob(WALK), real, moving(WALK), 8)
    left_behind = residual_change(real + blob(WALK), real, moving([(0, 0)] * 3), 8)
    assert steady.shape == (1, 2, 8, 8)
    assert steady.max() < 0.002
    assert left_behind.max() > 0.1


def test_change_is_in_units_of_the_pixel_value():
    still = [(0, 0)] * 3
    fake = torch.zeros(1, 3, 3, SIZE, SIZE)
    fake[:, 1] = 0.25
    fake[:, 2] = 0.125
    found = residual_change(fake, torch.zeros_like(fake), moving(still), 4)
    torch.testing.assert_close(found[0, 0, 1:3, 1:3], torch.full((2, 2), 0.25))
    torch.testing.assert_close(found[0, 1, 1:3, 1:3], torch.full((2, 2), 0.125))


def test_change_of_masks_and_residuals_agree():
    strength = [0.2, 1.0, 0.5]
    mask = blob(WALK, strength)[:, :, :1]
    found = residual_change(blob(WALK, strength), torch.zeros(1, 3, 3, SIZE, SIZE), moving(WALK), 8)
    torch.testing.assert_close(temporal_patches(mask, moving(WALK), 8), found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_single_frame_has_no_change(dtype):
    frames = torch.zeros(2, 1, 3, SIZE, SIZE, dtype=dtype)
    found = residual_change(frames, frames, torch.zeros(2, 1, 68, 2), 14)
    assert found.shape == (2, 0, 14, 14)
    assert found.dtype == dtype


def test_unknown_landmarks_are_refused():
    with pytest.raises(ValueError, match="known: 68, 81"):
        carried(torch.zeros(1, 1, 1, 8, 8), torch.zeros(1, 1, 5, 2))


def test_labels_do_not_depend_on_autocast():
    mask, points = blob(WALK)[:, :, :1], moving(WALK)
    exact = severity(mask, points), temporal_patches(mask, points, 14), carried(mask, points)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = severity(mask, points), temporal_patches(mask, points, 14), carried(mask, points)
    assert all(map(torch.equal, exact, cast))


def test_an_empty_batch_has_labels_of_its_shape():
    mask, points = blob(WALK)[:0, :, :1], moving(WALK)[:0]
    assert severity(mask, points).shape == (0, 3)
    assert temporal_patches(mask, points, 14).shape == (0, 2, 14, 14)


def test_a_patch_is_manipulated_if_more_than_four_percent_of_it_is():
    mask = torch.zeros(1, 1, 1, 20, 20)
    for pixels, row, column in ((3, 0, 0), (4, 0, 10), (5, 10, 0)):
        mask[..., row, column : column + pixels] = 1
    share = patches(mask, 2)
    torch.testing.assert_close(share[0, 0], torch.tensor([[0.03, 0.04], [0.05, 0.0]]))
    assert binary_patches(share).tolist() == [[[[False, False], [True, False]]]]


def test_the_threshold_of_patches_is_exclusive():
    exact = torch.tensor(0.04)
    share = torch.stack([torch.nextafter(exact, torch.tensor(0.0)), exact, torch.nextafter(exact, torch.tensor(1.0))])
    assert binary_patches(share[:, None, None, None]).flatten().tolist() == [False, False, True]
