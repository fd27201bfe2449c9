"""Feeds the trainer with the published steps of self-blended images, composed of albumentations and OpenCV."""

from __future__ import annotations

from typing import Any

import albumentations as alb
import numpy as np
import torch
from augmentation.peers import AlbumentationsBlend, reference
from numpy import ndarray

from mgst_data.augment import HorizontalFlip, SegmentSequential
from mgst_data.core import RealFakePair, Segment, labels
from mgst_model.train import DetectionTask, Experiment


class PublishedTask(DetectionTask):
    """The task of the preset ``sbi`` with the published steps in place of ours, up to the crop of the face.

    Every picture is blended and recompressed in 8 bits, one by one. The mirror image and the crop are ours.
    """

    def __init__(self, experiment: Experiment) -> None:
        super().__init__(experiment.data, experiment.augment, experiment.loss, experiment.network)
        self.blend: Any = PublishedBlend()
        self.preserve = SegmentSequential(HorizontalFlip(p=0.5))


class PublishedBlend:
    """Blends the wide crop of every picture, and changes colour and compression of both results in the same way."""

    def __init__(self) -> None:
        self._blend = AlbumentationsBlend()
        both = [
            alb.RGBShift((-20, 20), (-20, 20), (-20, 20), p=0.3),
            alb.HueSaturationValue((-0.3, 0.3), (-0.3, 0.3), (-0.3, 0.3), p=0.3),
            alb.RandomBrightnessContrast(brightness_limit=(-0.3, 0.3), contrast_limit=(-0.3, 0.3), p=0.3),
            alb.ImageCompression(quality_range=(40, 100), p=0.5),
        ]
        self._both = alb.Compose(both, p=1, additional_targets={"real": "image"})

    def __call__(self, segment: Segment, *, generator: torch.Generator) -> RealFakePair:
        """Blends real segments of single frames."""
        twins = segment.frames.clone(), segment.frames.clone()
        mask = torch.zeros_like(segment.mask)
        for i in segment.valid[:, 0].nonzero()[:, 0].tolist():
            seed = int(torch.randint(2**31, (), generator=generator))
            landmarks = segment.landmarks[i, 0].numpy()
            picture = (segment.frames[i, 0] * 255).round().byte().permute(1, 2, 0).numpy()
            rows, columns = reference.wide_crop(picture.shape[:2], landmarks)
            blend = self._blended(np.ascontiguousarray(picture[rows, columns]), landmarks, (rows, columns), seed)
            for twin, made in zip(twins, (blend.real, blend.fake), strict=True):
                twin[i, 0, :, rows, columns] = torch.from_numpy(made).permute(2, 0, 1).float() / 255
            mask[i, 0, 0, rows, columns] = torch.from_numpy(blend.mask).float()
        shown = labels.frame_label_of(mask)
        patches = labels.patches(mask, segment.patch_label.shape[-1])
        fake = {"mask": mask, "label": shown.amax(dim=1), "frame_label": shown, "patch_label": patches}
        return RealFakePair(real=segment.replace(frames=twins[0]), fake=segment.replace(frames=twins[1], **fake))

    def _blended(self, wide: ndarray, landmarks: ndarray, place: tuple[slice, slice], seed: int) -> reference.Blend:
        self._blend.reseed(seed)
        self._both.set_random_seed(seed)
        corner = np.array((place[1].start, place[0].start), np.float32)
        real, fake, mask = self._blend(wide, landmarks - corner)
        made = self._both(image=fake, real=real)
        return reference.Blend(made["real"], made["image"], mask)
