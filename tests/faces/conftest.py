"""Frames with a face: the portrait that scikit-image includes."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """An RGB picture of 512 x 512 pixels with one face of about 85 x 115 pixels around (222, 118)."""
    return skimage.data.astronaut()


@pytest.fixture
def moving(portrait: np.ndarray) -> Tensor:
    """24 frames in which the portrait moves to the right by 3 pixels and down by 1 pixel per frame."""
    frames = np.stack([np.roll(portrait, (i, 3 * i), axis=(0, 1))[:360, :480] for i in range(24)])
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
