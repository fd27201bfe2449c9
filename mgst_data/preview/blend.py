"""Draws self-blends for visual checks: paired real frame, fake, mask and difference, and the frame mask over time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from torch import Tensor

from mgst_data.augment import FRAME_MASKS, SelfBlend, SelfBlendParams
from mgst_data.augment.blend.recolour import DOWNSCALE, NONE
from mgst_data.core import RealFakePair, Segment
from mgst_data.core.sampling import evenly_spaced

GAIN = 8
PANELS = ("paired real frame", "fake", "mask and patches", f"difference x{GAIN}")
_PAPER, _INK, _QUIET, _FAINT = (255, 255, 255), (40, 40, 40), (120, 120, 120), (214, 214, 214)
_NIGHT, _LIGHT, _DARK = (18, 18, 20), (225, 225, 225), (70, 70, 74)
_BLENDED = (255, 128, 0)
_GAP = 6
# Heights of a line of text, of the frame mask in a video and of the frame mask under a picture, pixels.
_LINE, _BAR, _THIN = 18, 12, 5
_FONT, _SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.4


@dataclass(frozen=True, slots=True)
class BlendDraw:
    """One self-blend of one segment.

    Attributes:
        pair: The real-fake pair of the segment (batch size 1).
        params: Sampled parameters of the blend.
        facts: Description of the parameters, see :func:`describe`.
    """

    pair: RealFakePair
    params: SelfBlendParams
    facts: Mapping[str, Any]

    def __len__(self) -> int:
        return self.pair.fake.frames.shape[1]

    @property
    def frame_mask(self) -> Bool[ndarray, " t"]:
        """Frame mask: True for blended frames. These are the sampled frames in which a mask could be made."""
        frame_mask: ndarray = (self.pair.fake.frame_label[0] > 0).cpu().numpy()
        return frame_mask


def describe(blend: SelfBlend, params: SelfBlendParams, pair: RealFakePair) -> dict[str, Any]:
    """Describes the main sampled parameters of one segment.

    Args:
        blend: The augmentation.
        params: Sampled parameters (batch size 1).
        pair: Real-fake pair that the augmentation made with these parameters.

    Returns:
        ``region`` of the face, ``ratio`` (largest weight of the source), ``frame_mask`` (its kind), ``blended`` (number
        of blended frames), ``frames`` (number of frames), ``drift`` (scale of the noise over time), ``rho``
        (its correlation), ``jumps`` (whether there is temporal jitter: the source is moved at random in every frame),
        ``recoloured`` ("source" or "target"), ``sharpness`` ("coarser x2", "sharper" or ""), ``match_colour``,
        ``pyramid``, and ``severity`` (mean of the mask over the face in the blended frames).
    """
    label = pair.fake.frame_label[0]
    recolour = params.recolour
    kind = int(recolour.degrade[0])
    jumps = (blend.warp.jump_translation_range, blend.warp.jump_scale_range, blend.warp.jump_rotation_range)
    coarser = f"coarser x{int(recolour.factor[0])}"
    return {
        "region": list(blend.mask.regions)[int(params.mask.region[0])],
        "ratio": round(float(params.mask.ratio[0]), 4),
        "frame_mask": FRAME_MASKS[int(params.frame_mask_kind[0])],
        "blended": int(label.sum()),
        "frames": len(label),
        "drift": round(float(params.drift[0]), 4),
        "rho": round(float(params.rho[0]), 4),
        "jumps": any(high > 0 for _, high in jumps),
        "recoloured": "source" if bool(params.recolour_source[0]) else "target",
        "sharpness": "" if kind == NONE else coarser if kind == DOWNSCALE else "sharper",
        "match_colour": bool(params.match_colour[0]),
        "pyramid": bool(params.pyramid[0]),
        "severity": round(float((pair.severity[0] * label).sum() / label.sum().clamp_min(1)), 4),
    }


def caption(facts: Mapping[str, Any]) -> str:
    """Returns the facts of a blend as one line of text."""
    return "   ".join(
        (
            facts["region"],
            f"ratio {facts['ratio']:.2f}",
            f"blended {facts['blended']}/{facts['frames']} ({facts['frame_mask']})",
            drifting(facts),
            f"recoloured: {recoloured(facts)}",
        )
    )


def drifting(facts: Mapping[str, Any], *, rho: bool = True) -> str:
    """Describes the change from frame to frame: ``"drift 0.81, rho 0.56, jitter"``, or ``"steady"``.

    Args:
        facts: Facts of a blend, see :func:`describe`.
        rho: Whether to include rho and the word "drift"; without them: ``"0.81, jitter"``.
    """
    words = []
    if facts["drift"]:
        words.append(f"drift {facts['drift']:.2f}, rho {facts['rho']:.2f}" if rho else f"{facts['drift']:.2f}")
    if facts["jumps"]:
        words.append("jitter")
    return ", ".join(words) or "steady"


def recoloured(facts: Mapping[str, Any]) -> str:
    """Names the side of a blend that was recoloured, and its change of sharpness: ``"source, coarser x2"``."""
    return ", ".join(words for words in (facts["recoloured"], facts["sharpness"]) if words)


def panels(pair: RealFakePair, t: int) -> list[UInt8[ndarray, "h w 3"]]:
    """Draws four pictures of a frame: paired real frame, fake, mask with patches, difference x8.

    Args:
        pair: Real-fake pairs; the first one is drawn.
        t: Index of the frame.
    """
    real, fake = pair.real.frames[0, t], pair.fake.frames[0, t]
    mask = pair.fake.mask[0, t, 0].float().cpu().numpy()
    patches = pair.fake.patch_label[0, t].float().cpu().numpy()
    return [
        _picture(real),
        _picture(fake),
        mask_with_patches(mask, patches, pair.patch_mask[0, t].cpu().numpy()),
        _picture(GAIN * (fake.float() - real.float()).abs()),
    ]


def mask_with_patches(
    mask: Float[ndarray, "h w"], patches: Float[ndarray, "g g"], marked: Bool[ndarray, "g g"] | None = None
) -> UInt8[ndarray, "h w 3"]:
    """Draws a mask in grey, with a tint on each patch that grows with its manipulated share.

    Args:
        mask: Mask, [0, 1].
        patches: Mean of the mask in each patch, [0, 1].
        marked: Patches that count as manipulated; they get at least a faint tint. None marks no patch.
    """
    grey = np.repeat(mask[..., None] * np.float32(255), 3, axis=2)
    least = 0.0 if marked is None else 0.12 * marked
    alpha = _spread(np.maximum(0.4 * patches, least), mask.shape)[..., None]
    grey += alpha * (np.array(_BLENDED, np.float32) - grey)
    for axis, side in enumerate(mask.shape):
        lines = [round(side * i / len(patches)) for i in range(1, len(patches))]
        rows = grey if axis == 0 else grey.swapaxes(0, 1)
        rows[lines] += 0.22 * (np.array(_LIGHT, np.float32) - rows[lines])
    return np.round(grey).clip(0, 255).astype(np.uint8)


def draw_frame(draw: BlendDraw, t: int, *, title: str) -> UInt8[ndarray, "h w 3"]:
    """Draws one picture of a video: four panels with names, and below them the frame mask with a marker at frame ``t``.

    Args:
        draw: The blend.
        t: Index of the frame.
        title: Text of the top line.
    """
    pictures = panels(draw.pair, t)
    height, width = pictures[0].shape[:2]
    total = len(pictures) * (width + _GAP) + _GAP
    canvas = np.full((2 * _LINE + height + _BAR + _LINE + 3 * _GAP, total, 3), _NIGHT, np.uint8)
    _text(canvas, title, (_GAP, 0), _LIGHT, width=total - 2 * _GAP)
    for i, (name, picture) in enumerate(zip(PANELS, pictures, strict=True)):
        left = _GAP + i * (width + _GAP)
        _text(canvas, name, (left, _LINE), _BLENDED if name == "fake" and draw.frame_mask[t] else _LIGHT, width=width)
        canvas[2 * _LINE : 2 * _LINE + height, left : left + width] = picture
    top = 2 * _LINE + height + _GAP
    _frame_mask_line(canvas[top : top + _BAR, _GAP : total - _GAP], draw.frame_mask, _DARK)
    begin, end = _span(t, len(draw), total - 2 * _GAP)
    middle = _GAP + (begin + end) // 2
    tip = np.array([(middle, top + _BAR + 1), (middle - 5, top + _BAR + 9), (middle + 5, top + _BAR + 9)], np.int32)
    cv2.fillPoly(canvas, [tip], _LIGHT, cv2.LINE_AA)
    state = "blended" if draw.frame_mask[t] else "not blended"
    words = f"frame {t + 1} of {len(draw)}: {state}"
    left = total - _GAP - _width(words) if middle < total // 2 else _GAP
    _text(canvas, words, (max(left, _GAP), top + _BAR + _GAP - 2), _LIGHT)
    return canvas


def film(
    draws: Sequence[BlendDraw], *, titles: Sequence[str], fps: int = 8, seconds: float = 4.0
) -> Iterator[UInt8[ndarray, "h w 3"]]:
    """Yields the pictures of a video that shows one blend after another.

    Args:
        draws: Blends of segments of the same size.
        titles: Title of each blend.
        fps: Frame rate of the video, frames per second.
        seconds: Minimum time of each blend, seconds; a shorter blend is repeated.
    """
    for draw, title in zip(draws, titles, strict=True):
        pictures = [draw_frame(draw, t, title=title) for t in range(len(draw))]
        for _ in range(repeats(len(draw), fps=fps, seconds=seconds)):
            yield from pictures


def repeats(frames: int, *, fps: int, seconds: float) -> int:
    """Returns how often a segment is repeated to fill a time.

    Args:
        frames: Number of frames of the segment.
        fps: Frame rate of the video, frames per second.
        seconds: Minimum time, seconds.
    """
    return max(1, math.ceil(fps * seconds / frames))


def blend_sheet(
    draws: Sequence[BlendDraw], *, titles: Sequence[str], columns: int = 8, side: int = 192
) -> UInt8[ndarray, "h w 3"]:
    """Draws a contact sheet: one row of fakes per blend, and below it a line for the frame mask.

    The line has one cell per frame, orange if blended, and a dot for every frame that is shown. If all segments have
    one frame, a row shows all :func:`panels` of the frame.

    Args:
        draws: Blends, from top to bottom.
        titles: Caption of each blend.
        columns: Number of frames of each blend, as :func:`shown_frames` chooses them.
        side: Side of each picture, pixels.
    """
    longest = max(map(len, draws))
    columns = min(columns, longest) if longest > 1 else len(PANELS)
    row = _LINE + side + _THIN + _GAP
    # Captions can be wider than a row of pictures.
    sheet = np.full((len(draws) * row, max(columns * side, *map(_width, titles)) + 2, 3), _PAPER, np.uint8)
    for number, (draw, title) in enumerate(zip(draws, titles, strict=True)):
        top = number * row
        _text(sheet, title, (4, top), _INK)
        top += _LINE
        shown = shown_frames(draw.frame_mask, columns)
        tiles = panels(draw.pair, 0) if longest == 1 else [_picture(draw.pair.fake.frames[0, t]) for t in shown]
        for column, tile in enumerate(tiles):
            sheet[top : top + side, column * side : (column + 1) * side] = _scaled(tile, side)
        line = sheet[top + side + 1 : top + side + 1 + _THIN, : len(tiles) * side]
        _frame_mask_line(line, draw.frame_mask, _FAINT)
        for t in shown if longest > 1 else ():
            begin, end = _span(t, len(draw), line.shape[1])
            cv2.circle(sheet, ((begin + end) // 2, top + side + 1 + _THIN // 2), 2, _INK, -1, cv2.LINE_AA)
    return sheet


def shown_frames(frame_mask: Bool[ndarray, " t"], columns: int) -> list[int]:
    """Chooses evenly spaced frames, and replaces one by a blended frame if none of them is blended.

    The frames are the middle ones of equal parts of the segment. A blended frame replaces the frame of its part.

    Args:
        frame_mask: Frame mask: True for blended frames.
        columns: Number of frames to choose; all frames if there are fewer.
    """
    columns = min(columns, len(frame_mask))
    shown = evenly_spaced(len(frame_mask), columns)
    blended = frame_mask.nonzero()[0]
    if len(blended) and not frame_mask[shown].any():
        shown[int(blended[0]) * columns // len(frame_mask)] = int(blended[0])
    return shown


def gallery(
    draws: Mapping[str, BlendDraw], *, columns: int = 6, side: int = 91, across: int = 2
) -> UInt8[ndarray, "h w 3"]:
    """Draws several kinds of blends in one picture, each as a block of four rows.

    The rows are the paired real frames, the fake, the mask and the difference x8, cropped to the face. The line below
    a block is the frame mask.

    Args:
        draws: Blends by title, from left to right, then from top to bottom.
        columns: Number of frames of each blend, as :func:`shown_frames` chooses them.
        side: Side of each picture, pixels.
        across: Number of blocks per row.
    """
    blocks = [_block(title, draw, columns, side) for title, draw in draws.items()]
    height, width = blocks[0].shape[:2]
    down, gap = -(-len(blocks) // across), 2 * _GAP
    picture = np.full((down * (height + gap) - gap, across * (width + gap) - gap, 3), _PAPER, np.uint8)
    for number, block in enumerate(blocks):
        top, left = number // across * (height + gap), number % across * (width + gap)
        picture[top : top + height, left : left + width] = block
    return picture


def _block(title: str, draw: BlendDraw, columns: int, side: int) -> UInt8[ndarray, "h w 3"]:
    names = ("real", "fake", "mask", f"x{GAIN}")
    step, head, left = side + 2, 2 * _LINE + 4, 38
    block = np.full((head + len(names) * step + _THIN, left + columns * step - 2, 3), _PAPER, np.uint8)
    _text(block, title, (left, 1), _INK, scale=0.5)
    _text(block, caption(draw.facts), (left, _LINE), _QUIET, scale=0.36, width=columns * step)
    for row, name in enumerate(names):
        _text(block, name, (2, head + row * step + (side - _LINE) // 2), _INK)
    window = _face_window(draw.pair.fake)
    shown = shown_frames(draw.frame_mask, columns)
    for column, t in enumerate(shown):
        x = left + column * step
        for row, picture in enumerate(panels(draw.pair, t)):
            y = head + row * step
            block[y : y + side, x : x + side] = _scaled(np.ascontiguousarray(picture[window]), side)
    _frame_mask_line(block[-_THIN:, left:], draw.frame_mask, _FAINT)
    for t in shown:
        begin, end = _span(t, len(draw), block.shape[1] - left)
        cv2.circle(block, (left + (begin + end) // 2, len(block) - 1 - _THIN // 2), 2, _INK, -1, cv2.LINE_AA)
    return block


def _face_window(segment: Segment) -> tuple[slice, slice]:
    """Returns the rows and columns of a square that contains the face in all frames, with the forehead."""
    points = segment.landmarks[0].flatten(0, 1)
    low, high = points.amin(dim=0), points.amax(dim=0)
    height, width = segment.frames.shape[-2:]
    half = min(height / 2, width / 2, float((high - low).max()) * 0.7)
    x, y = ((low + high) / 2).tolist()
    y -= 0.2 * half  # the landmarks do not include the forehead
    x0, y0 = (round(min(max(v - half, 0), side - 2 * half)) for v, side in ((x, width), (y, height)))
    return slice(y0, y0 + round(2 * half)), slice(x0, x0 + round(2 * half))


def _picture(frame: Tensor) -> UInt8[ndarray, "h w 3"]:
    """Converts a frame (3, h, w) in [0, 1] to 8 bits, channels-last. Values outside [0, 1] are clipped."""
    return np.ascontiguousarray((frame.float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy())


def _scaled(picture: UInt8[ndarray, "h w 3"], side: int) -> UInt8[ndarray, "s s 3"]:
    if picture.shape[:2] == (side, side):
        return picture
    how = cv2.INTER_AREA if picture.shape[0] > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (side, side), interpolation=how), np.uint8)


def _spread(patches: Float[ndarray, "g g"], size: tuple[int, ...]) -> Float[ndarray, "h w"]:
    """Sets every pixel to the value of its patch."""
    rows, columns = (np.arange(side) * len(patches) // side for side in size)
    spread: ndarray = patches[rows][:, columns].astype(np.float32)
    return spread


def _frame_mask_line(
    canvas: UInt8[ndarray, "h w 3"], frame_mask: Bool[ndarray, " t"], closed: tuple[int, int, int]
) -> None:
    """Draws the frame mask: one cell per frame, with gaps between the cells if they are wide enough."""
    for t, blended in enumerate(frame_mask.tolist()):
        begin, end = _span(t, len(frame_mask), canvas.shape[1])
        canvas[:, begin : max(begin + 1, end - (end - begin > 4))] = _BLENDED if blended else closed


def _span(t: int, count: int, width: int) -> tuple[int, int]:
    return t * width // count, (t + 1) * width // count


def _text(
    canvas: UInt8[ndarray, "h w 3"],
    words: str,
    corner: tuple[int, int],
    colour: tuple[int, int, int],
    *,
    scale: float = _SCALE,
    width: int | None = None,
) -> None:
    """Writes one line with its upper left corner at ``corner``. Letters beyond ``width`` pixels are cut off."""
    plain = _plain(words)
    while width is not None and _width(plain, scale) > width and plain:
        plain = plain[:-1]
    cv2.putText(canvas, plain, (corner[0], corner[1] + 13), _FONT, scale, colour, 1, cv2.LINE_AA)


def _width(words: str, scale: float = _SCALE) -> int:
    """Returns the width of a line of text, pixels."""
    (width, _), _ = cv2.getTextSize(_plain(words), _FONT, scale, 1)
    return int(width)


def _plain(words: str) -> str:
    """Replaces characters outside ASCII: the OpenCV font has none, and OpenCV crashes on names that are not UTF-8."""
    return words.encode("ascii", "replace").decode()
