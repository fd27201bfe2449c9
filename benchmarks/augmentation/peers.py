"""Other implementations to compare with: albumentations image by image, OpenCV, and kornia in batches."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

# Must be set before albumentations is imported; otherwise it checks for newer versions over the network.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations as alb
import cv2
import numpy as np
import torch
from jaxtyping import Float
from kornia import augmentation as kornia
from numpy import ndarray
from torch import Tensor, nn

from augmentation.faces import Faces

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "augment"))
import reference

Blend = Callable[[ndarray, ndarray], reference.Blend]


class AlbumentationsBlend:
    """The common implementation of self-blended images: 8-bit images, one by one, with albumentations.

    Operations, probabilities and ranges are the published ones. The convex hull, the blurs of the mask and the blend
    use OpenCV and NumPy, because albumentations does not have them.
    """

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        units, tenth = (-0.3, 0.3), (-0.1, 0.1)
        filters = {"downscale": cv2.INTER_NEAREST, "upscale": cv2.INTER_LINEAR}
        coarser = [alb.Downscale(scale_range=(s, s), interpolation_pair=filters, p=1) for s in (0.5, 0.25)]
        colours = [
            alb.RGBShift((-20, 20), (-20, 20), (-20, 20), p=0.3),
            alb.HueSaturationValue(units, units, units, p=1),
            alb.RandomBrightnessContrast(brightness_limit=tenth, contrast_limit=tenth, p=1),
        ]
        sharper = alb.Sharpen(alpha=(0.2, 0.5), lightness=(0.5, 1), p=1)
        degraded = alb.OneOf([alb.OneOf(coarser, p=1), sharper], p=1)
        shift, scale = {"x": (-0.03, 0.03), "y": (-0.015, 0.015)}, (0.95, 1 / 0.95)
        move = alb.Affine(translate_percent=shift, scale=scale, border_mode=cv2.BORDER_REPLICATE, p=1)
        elastic = alb.ElasticTransform(alpha=50, sigma=7, noise_distribution="uniform", p=1)
        self.recolour = alb.Compose([alb.Compose(colours, p=1), degraded], p=1, seed=seed)
        self.move, self.elastic = alb.Compose([move], p=1, seed=seed), alb.Compose([elastic], p=1, seed=seed)

    def reseed(self, seed: int) -> None:
        """Starts all random numbers from a seed."""
        self.random = np.random.default_rng(seed)
        for steps in (self.recolour, self.move, self.elastic):
            steps.set_random_seed(seed)

    def __call__(self, picture: ndarray, landmarks: ndarray) -> reference.Blend:
        """Blends an image (h, w, 3) with 68 landmarks."""
        mask = reference.hull(picture.shape[:2], landmarks, self.random)
        source, target = picture, picture
        if self.random.random() < 0.5:
            source = self.recolour(image=source)["image"]
        else:
            target = self.recolour(image=target)["image"]
        moved = self.move(image=source, mask=mask)
        source, mask = moved["image"], self.elastic(image=moved["mask"])["image"]
        mask = reference.soften(mask, self.random) * np.float32(self.random.choice(reference.RATIOS))
        fake = mask[..., None] * source + (1 - mask[..., None]) * target
        return reference.Blend(target, fake.astype(np.uint8), mask)


def opencv_blend(seed: int = 0) -> Blend:
    """Returns the reference implementation that the tests compare the preset ``sbi`` with."""
    random = np.random.default_rng(seed)
    return lambda picture, landmarks: reference.self_blend(picture, landmarks, random)


def blend_all(blend: Blend, faces: Faces) -> list[reference.Blend]:
    """Blends every image of every segment, one by one, in 8 bits."""
    pictures = faces.pictures.permute(0, 1, 3, 4, 2).flatten(0, 1).contiguous().numpy()
    return [blend(*one) for one in zip(pictures, faces.landmarks.flatten(0, 1).numpy(), strict=True)]


def as_tensors(blends: list[reference.Blend]) -> list[Float[Tensor, "n c h w"]]:
    """Converts blends to float tensors for a network: real images, fakes and masks."""
    twins = [torch.from_numpy(np.stack(pictures)) for pictures in list(zip(*blends, strict=True))[:2]]
    masks = torch.from_numpy(np.stack([blend.mask for blend in blends]))
    return [*(twin.permute(0, 3, 1, 2).float() / 255 for twin in twins), masks[:, None]]


def kornia_sequence(*steps: nn.Module) -> nn.Module:
    """Returns a sequence of kornia steps on (b, t, 3, h, w), with equal parameters for all frames of a segment."""
    return kornia.VideoSequential(*steps, data_format="BTCHW", same_on_frame=True)


def kornia_steps() -> dict[str, nn.Module]:
    """Returns kornia steps with the ranges of this project; contrast and brightness are defined as in kornia."""
    return {
        "colour": kornia.ColorJiggle((0.9, 1.1), (0.9, 1.1), (0.8, 1.2), (-0.02, 0.02), p=1.0),
        "blur": kornia.RandomGaussianBlur((13, 13), (0.2, 2.0), p=1.0),
        "noise": kornia.RandomGaussianNoise(std=0.025, p=1.0),
        "grey": kornia.RandomGrayscale(p=1.0),
        "sharpen": kornia.RandomSharpness((0.2, 0.5), p=1.0),
        "jpeg": kornia.RandomJPEG((40.0, 100.0), p=1.0),
    }
