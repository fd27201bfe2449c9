"""Synthetic segments whose frames show what happened to pixels, masks and landmarks; and comparison of segments."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from mgst_data.core import RealFakePair, Segment, generator_for
from mgst_data.core.geometry import FLIPS, FOREHEAD_81
from mgst_data.core.labels import patches

Data = Segment | RealFakePair
# The picture moves down this many pixels, then moves right by one pixel and starts again: 64 different frames.
_DRIFT = 8
# Grey of pictures of a mask: value where the mask is 0, difference where it is 1, difference of the second picture.
_GREY, _RANGE, DARKER = 0.3, 0.6, 0.2
# Side in pixels of the smoothing of a mask and its picture, so that noise and blocks of codecs do not matter.
_SMOOTHED = 5


def example_segment(*, b: int = 3, t: int = 8, size: int = 56, k: int = 68, seed: int = 0) -> Segment:
    """Makes synthetic real segments: a face of ellipses, rotated, on noise that moves by one pixel per frame.

    One frame of the last segment has no face: it is not ``valid``, and its landmarks are NaN.

    Args:
        b: Number of segments.
        t: Frames of each segment.
        size: Height and width, pixels.
        k: Number of landmarks: 0, 5, 68 or 81.
        seed: Seed of the noise.

    Raises:
        ValueError: if the number of landmarks is different.
    """
    generator = generator_for(seed, "example")
    wide = size + _DRIFT
    coarse = torch.rand(b, 3, 12, 12, generator=generator)
    picture = functional.interpolate(coarse, size=(wide, wide), mode="bicubic", align_corners=False)
    picture = (picture + 0.3 * (torch.rand(picture.shape, generator=generator) - 0.5)).clamp(0.02, 0.98)
    drift = torch.stack((torch.arange(t) // _DRIFT % _DRIFT, torch.arange(t) % _DRIFT), dim=1)
    frames = torch.stack([picture[:, :, y : y + size, x : x + size] for x, y in drift.tolist()], dim=1)
    landmarks = (_face(k) * size - 0.5).expand(b, t, k, 2).clone()
    landmarks -= drift[:, None]
    if t > 1:
        landmarks[-1, 1] = math.nan
    valid = torch.ones(b, t, dtype=torch.bool)
    valid[-1, 1:2] = False
    return Segment.of(frames.contiguous(), landmarks, valid=valid)


def example_pair(segment: Segment | None = None, *, seed: int = 0) -> RealFakePair:
    """Makes synthetic real-fake pairs: the fake segment is the real one with a blob of inverted colours.

    Args:
        segment: Real segments; :func:`example_segment` by default.
        seed: Seed of the noise and of the blob.
    """
    fake = forged(example_segment(seed=seed) if segment is None else segment, seed=seed)
    real = unforged(fake)
    return RealFakePair(real, fake.replace(frames=torch.lerp(real.frames, 1 - real.frames, fake.mask)))


def forged(segment: Segment, *, seed: int = 0) -> Segment:
    """Returns the same frames with the mask of a fake (a soft blob, at a random place in each frame) and its labels.

    Args:
        segment: Segments to label.
        seed: Seed of the places.
    """
    b, t, _, h, w = segment.frames.shape
    place = torch.rand(b, t, 2, generator=generator_for(seed, "blob")) * 0.4 + 0.3
    y, x = (torch.arange(h) + 0.5) / h, (torch.arange(w) + 0.5) / w
    far = (x - place[..., 0, None, None]).square() + (y[:, None] - place[..., 1, None, None]).square()
    mask = (1.2 - far.sqrt() / 0.2).clamp(0, 1)[:, :, None].to(segment.frames)
    one = torch.ones_like(segment.frame_label)
    patch_label = patches(mask, segment.patch_label.shape[-1])
    return segment.replace(mask=mask, label=one[:, 0], frame_label=one, patch_label=patch_label)


def unforged(segment: Segment) -> Segment:
    """Returns the same frames with the labels of real frames."""
    names = ("mask", "label", "frame_label", "patch_label")
    return segment.replace(**{name: torch.zeros_like(getattr(segment, name)) for name in names})


def picture_of_mask(segment: Segment) -> tuple[Segment, Segment]:
    """Returns the segment twice; its frames show its mask in grey, and the second ones are slightly darker everywhere.

    Where an augmentation gives the same result for both, its pixels do not depend on its input.
    """
    bright = (_GREY + _RANGE * segment.mask).expand_as(segment.frames)
    return segment.replace(frames=bright), segment.replace(frames=bright - DARKER)


def plain(segment: Segment) -> Segment:
    """Returns the segment with frames of one colour."""
    return segment.replace(frames=segment.frames.new_tensor((0.3, 0.5, 0.7))[:, None, None].expand_as(segment.frames))


def picture_of_places(segment: Segment) -> Segment:
    """Returns the segment with frames that encode the position of each pixel: red is column, green row, blue frame."""
    _, t, _, h, w = segment.frames.shape
    steps = (torch.arange(n) / max(n - 1, 1) for n in (w, h, t))
    shapes = ((1, 1, w), (1, h, 1), (t, 1, 1))
    places = torch.stack([step.reshape(shape).expand(t, h, w) for step, shape in zip(steps, shapes, strict=True)], 1)
    return segment.replace(frames=(0.1 + 0.8 * places).to(segment.frames).expand_as(segment.frames))


def mask_in_picture(
    shown: Float[Tensor, "t 3 h w"], mask: Float[Tensor, "t 1 h w"], live: Bool[Tensor, "t h w"]
) -> tuple[float, tuple[float, float]]:
    """Measures how well a mask agrees with a picture of the mask after the same augmentation.

    The picture is modelled as a grey value that is linear in the mask and in the slope of the mask. If the mask has an
    offset of s pixels to its picture, the model contains s times the slope, independent of brightness and contrast.

    Args:
        shown: Picture of the mask after the augmentation.
        mask: Mask after the augmentation.
        live: Pixels that depend on the input of the augmentation.

    Returns:
        Share of the variance of the picture that the model explains (1 if there is almost no variance), and the offset
        of the mask to the right and down, pixels.
    """
    weight = live.double().cpu()
    near = functional.avg_pool2d(weight, _SMOOTHED, 1, _SMOOTHED // 2).clamp_min(1e-6)
    grey, known = (
        functional.avg_pool2d(value.double().cpu() * weight, _SMOOTHED, 1, _SMOOTHED // 2) / near
        for value in (shown.mean(dim=1), mask[:, 0])
    )
    right = (known[:, 1:-1, 2:] - known[:, 1:-1, :-2]) / 2
    down = (known[:, 2:, 1:-1] - known[:, :-2, 1:-1]) / 2
    inner = (slice(None), slice(1, -1), slice(1, -1))
    used = weight[inner] > 0
    columns = [torch.ones_like(right), known[inner], right, down]
    table, picture = torch.stack([column[used] for column in columns], dim=1), grey[inner][used]
    if len(picture) < 10 or picture.std() < (0.02 if known[inner][used].std() > 0.02 else 0.03):
        return 1.0, (0.0, 0.0)
    # gelsd allows a column that is 0 everywhere, for example that of a lost mask.
    found = torch.linalg.lstsq(table, picture[:, None], driver="gelsd").solution[:, 0]
    left = (picture - table @ found).square().mean() / picture.var(correction=0)
    slope = float(found[1]) or 1.0
    return 1 - float(left), (float(found[2]) / slope, float(found[3]) / slope)


def landmarks_in_picture(
    before: Segment, shown: Segment, live: Bool[Tensor, "b s h w"]
) -> list[tuple[Float[Tensor, " 2"], float]]:
    """Measures the offset between landmarks and their pixels in a picture of places.

    Args:
        before: A segment whose frames are a picture of places.
        shown: Result of an augmentation that keeps colours.
        live: Pixels that depend on the input of the augmentation.

    Returns:
        Mean offset and median distance in pixels, for every segment with remaining landmarks.
    """
    _, t, _, h, w = before.frames.shape
    size = torch.tensor((float(w), float(h)))
    frames, points = shown.frames.float().cpu(), shown.landmarks.cpu()
    seen = points.isfinite().all(dim=3) & (points >= 2).all(dim=3) & (points <= size - 3).all(dim=3)
    points = points.nan_to_num().clamp(-1e4, 1e4)
    grid = ((points + 0.5) * (2 / size) - 1).flatten(0, 1)[:, None]
    alive = live.float().cpu().flatten(0, 1)[:, None]
    seen &= (functional.grid_sample(alive, grid, align_corners=False)[:, 0, 0] > 0.999).reshape(seen.shape)
    read = functional.grid_sample(frames.flatten(0, 1), grid, align_corners=False)[:, :, 0].mT
    read = (read.reshape(*seen.shape, 3) - 0.1) / 0.8 * torch.tensor((w - 1.0, h - 1.0, max(t - 1.0, 1.0)))
    frame = read[..., 2].round().clamp(0, t - 1).long()
    # A frame that mixes several frames cannot be compared with any of them.
    seen &= (read[..., 2] - frame).abs() < 0.1
    found: list[tuple[Tensor, float]] = []
    for i, points_before in enumerate(before.landmarks.cpu()):
        order = _order(frames[i], points_before.shape[1])
        number = torch.arange(points_before.shape[1]) if order is None else torch.tensor(order)
        offset = (read[i, ..., :2] - points_before[frame[i], number])[seen[i]]
        offset = offset[offset.isfinite().all(dim=1)]
        if len(offset):
            found.append((-offset.mean(dim=0), float(offset.norm(dim=1).median())))
    return found


def difference(a: Data, b: Data, atol: float = 0.0) -> str:
    """Describes the first difference between two segments or pairs; "" if there is none. Bit-identical by default.

    Args:
        a: Segments or pairs.
        b: Segments or pairs.
        atol: Largest absolute difference that is ignored.
    """
    if type(a) is not type(b):
        return f"a {type(a).__name__} and a {type(b).__name__}"
    for name, value in tensors(a).items():
        other = tensors(b)[name]
        if value.shape != other.shape:
            return f"{name} is {tuple(value.shape)} and {tuple(other.shape)}"
        far = (value.double() - other.double()).abs()
        if not bool(((far <= atol) | (value == other) | (value.isnan() & other.isnan())).all()):
            return f"{name} differs by up to {float(far.nan_to_num().max()):.2g}"
    return ""


def tensors(data: Data) -> dict[str, Tensor]:
    """Returns all tensors of a segment or pair by name."""
    if isinstance(data, RealFakePair):
        return {
            prefix + name: value for prefix, part in segments_of(data).items() for name, value in tensors(part).items()
        }
    return {field.name: getattr(data, field.name) for field in dataclasses.fields(data)}


def segments_of(data: Data) -> dict[str, Segment]:
    """Returns the segments of a segment or pair, by the prefix of their names."""
    return {"real.": data.real, "fake.": data.fake} if isinstance(data, RealFakePair) else {"": data}


def each(data: Data, change: Callable[[Segment], Segment]) -> Data:
    """Applies a function to a segment, or to both segments of a pair.

    Args:
        data: Segments or pairs.
        change: Function to apply.
    """
    return RealFakePair(change(data.real), change(data.fake)) if isinstance(data, RealFakePair) else change(data)


def copy_of(data: Data) -> Data:
    """Returns a copy with its own memory."""
    return each(data, lambda part: part.replace(**{name: value.clone() for name, value in tensors(part).items()}))


def frames_of(data: Data) -> Float[Tensor, "b t 3 h w"]:
    """Returns the frames of a segment, or of the fake segment of a pair."""
    return data.fake.frames if isinstance(data, RealFakePair) else data.frames


def _order(places: Float[Tensor, "s 3 h w"], k: int) -> tuple[int, ...] | None:
    """Returns the flip table of the landmarks if a picture of places is mirrored, otherwise None."""
    down, right = torch.gradient(places[:, :2], dim=(2, 3))
    mirrored = (right[:, 0] * down[:, 1] - down[:, 0] * right[:, 1]).mean() < 0
    return FLIPS.get(k) if bool(mirrored) else None


def _arc(cx: float, cy: float, rx: float, ry: float, start: float, stop: float, n: int) -> Float[Tensor, "{n} 2"]:
    """Returns points of an ellipse from one angle to another, degrees, clockwise from the right."""
    angle = torch.linspace(math.radians(start), math.radians(stop), n)
    return torch.stack((cx + rx * angle.cos(), cy + ry * angle.sin()), dim=1)


def _face(k: int) -> Float[Tensor, "{k} 2"]:
    """Returns landmarks in the unit square. The face is rotated and off centre, so that its mirror image is different.

    Raises:
        ValueError: if there is no face with this number of landmarks.
    """
    jaw, crown = _arc(0.5, 0.42, 0.27, 0.4, 180, 0, 17), _arc(0.5, 0.42, 0.27, 0.31, 185, 355, 13)
    brows = [_arc(x, 0.36, 0.1, 0.06, 200, 340, 5) for x in (0.37, 0.63)]
    bridge = torch.stack((torch.full((4,), 0.5), torch.linspace(0.4, 0.55, 4)), dim=1)
    eyes = [_arc(x, 0.42, 0.05, 0.022, 180, 480, 6) for x in (0.38, 0.62)]
    lips = [_arc(0.5, 0.69, 0.1, 0.05, 180, 510, 12), _arc(0.5, 0.69, 0.07, 0.02, 180, 495, 8)]
    points = torch.cat((jaw, *brows, bridge, _arc(0.5, 0.57, 0.06, 0.03, 180, 0, 5), *eyes, *lips))
    several = {
        0: points[:0],
        5: torch.stack((eyes[0].mean(dim=0), eyes[1].mean(dim=0), points[30], points[48], points[54])),
        68: points,
        81: torch.cat((points, crown[[FOREHEAD_81.index(i) for i in range(68, 81)]])),
    }
    if k not in several:
        raise ValueError(f"k must be a known number of landmarks, got {k}; known: {', '.join(map(str, several))}")
    turn = math.radians(8)
    rotation = torch.tensor(((math.cos(turn), math.sin(turn)), (-math.sin(turn), math.cos(turn))))
    return (several[k] - 0.5) @ rotation + torch.tensor((0.46, 0.5))
