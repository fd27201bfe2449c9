"""Self-blends to be looked at: real twin, fake, mask and difference side by side, and the gate over time."""

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

from mgst_data.augment import GATE_MODES, SelfBlend, SelfBlendParams
from mgst_data.augment.blend.recolour import DOWNSCALE, NONE
from mgst_data.core import RealFakePair, Segment
from mgst_data.core.sampling import evenly_spaced

GAIN = 8
PANELS = ("real twin", "fake", "mask and patches", f"difference x{GAIN}")
_PAPER, _INK, _QUIET, _FAINT = (255, 255, 255), (40, 40, 40), (120, 120, 120), (214, 214, 214)
_NIGHT, _LIGHT, _DARK = (18, 18, 20), (225, 225, 225), (70, 70, 74)
_BLENDED = (255, 128, 0)
_GAP = 6
# Heights of a line of text, of the gate in a video and of the gate under a picture, pixels.
_LINE, _GATE, _THIN = 18, 12, 5
_FONT, _SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.4


@dataclass(frozen=True, slots=True)
class BlendDraw:
    """One self-blend of one segment.

    Attributes:
        pair: The twins; one segment.
        params: What was drawn.
        facts: The same in words and numbers, see :func:`describe`.
    """

    pair: RealFakePair
    params: SelfBlendParams
    facts: Mapping[str, Any]

    def __len__(self) -> int:
        return self.pair.fake.frames.shape[1]

    @property
    def gate(self) -> Bool[ndarray, " t"]:
        """Frames that are manipulated: those that were drawn, and in which a mask could be made."""
        gate: ndarray = (self.pair.fake.frame_label[0] > 0).cpu().numpy()
        return gate


def describe(blend: SelfBlend, params: SelfBlendParams, pair: RealFakePair) -> dict[str, Any]:
    """The main things that were drawn for one segment, by name.

    Returns:
        ``region``, ``ratio`` (largest weight of the source), ``gate`` (its mode), ``blended`` and ``frames`` (their
        numbers), ``drift`` (scale of the noise over time), ``rho`` (its correlation), ``jumps`` (whether the source is
        moved anew for every frame), ``recoloured`` ("source" or "target"), ``sharpness`` ("coarser x2", "sharper" or
        ""), ``match_colour``, ``pyramid`` and ``severity`` (mean of the mask over the face in the blended frames).
    """
    label = pair.fake.frame_label[0]
    recolour = params.recolour
    kind = int(recolour.degrade[0])
    jumps = (blend.warp.jump_translation_range, blend.warp.jump_scale_range, blend.warp.jump_rotation_range)
    coarser = f"coarser x{int(recolour.factor[0])}"
    return {
        "region": list(blend.mask.regions)[int(params.mask.region[0])],
        "ratio": round(float(params.mask.ratio[0]), 4),
        "gate": GATE_MODES[int(params.gate_mode[0])],
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
    """Facts of a draw as one line."""
    return "   ".join(
        (
            facts["region"],
            f"ratio {facts['ratio']:.2f}",
            f"gate {facts['gate']} {facts['blended']}/{facts['frames']}",
            drifting(facts),
            f"recoloured: {recoloured(facts)}",
        )
    )


def drifting(facts: Mapping[str, Any], *, rho: bool = True) -> str:
    """What varies from frame to frame: ``"drift 0.81, rho 0.56, jumps"``, or ``"steady"``; shorter without rho."""
    words = []
    if facts["drift"]:
        words.append(f"drift {facts['drift']:.2f}, rho {facts['rho']:.2f}" if rho else f"{facts['drift']:.2f}")
    if facts["jumps"]:
        words.append("jumps")
    return ", ".join(words) or "steady"


def recoloured(facts: Mapping[str, Any]) -> str:
    """Which side of a blend was recoloured, and made coarser or sharper: ``"source, coarser x2"``."""
    return ", ".join(words for words in (facts["recoloured"], facts["sharpness"]) if words)


def panels(pair: RealFakePair, t: int) -> list[UInt8[ndarray, "h w 3"]]:
    """Pictures of frame ``t`` of the first of the pairs: real twin, fake, mask with patches, difference x8."""
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
    """A mask in grey under its patches: the stronger a patch is manipulated, the more it is tinted.

    Args:
        mask: [0, 1].
        patches: The mean of the mask in each patch.
        marked: Patches that count as manipulated, which get a faint tint at least; none by default.
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
    """One picture of a video: four panels, their names above, the gate with a marker at frame ``t`` below.

    Args:
        draw: The blend.
        t: The frame.
        title: A line at the top.
    """
    pictures = panels(draw.pair, t)
    height, width = pictures[0].shape[:2]
    total = len(pictures) * (width + _GAP) + _GAP
    canvas = np.full((2 * _LINE + height + _GATE + _LINE + 3 * _GAP, total, 3), _NIGHT, np.uint8)
    _text(canvas, title, (_GAP, 0), _LIGHT, width=total - 2 * _GAP)
    for i, (name, picture) in enumerate(zip(PANELS, pictures, strict=True)):
        left = _GAP + i * (width + _GAP)
        _text(canvas, name, (left, _LINE), _BLENDED if name == "fake" and draw.gate[t] else _LIGHT, width=width)
        canvas[2 * _LINE : 2 * _LINE + height, left : left + width] = picture
    top = 2 * _LINE + height + _GAP
    _gate_line(canvas[top : top + _GATE, _GAP : total - _GAP], draw.gate, _DARK)
    begin, end = _span(t, len(draw), total - 2 * _GAP)
    middle = _GAP + (begin + end) // 2
    tip = np.array([(middle, top + _GATE + 1), (middle - 5, top + _GATE + 9), (middle + 5, top + _GATE + 9)], np.int32)
    cv2.fillPoly(canvas, [tip], _LIGHT, cv2.LINE_AA)
    state = "blended" if draw.gate[t] else "as the twin"
    words = f"frame {t + 1} of {len(draw)}: {state}"
    left = total - _GAP - _width(words) if middle < total // 2 else _GAP
    _text(canvas, words, (max(left, _GAP), top + _GATE + _GAP - 2), _LIGHT)
    return canvas


def film(
    draws: Sequence[BlendDraw], *, titles: Sequence[str], fps: int = 8, seconds: float = 4.0
) -> Iterator[UInt8[ndarray, "h w 3"]]:
    """Pictures of a video that shows one draw after another, each again and again for so many seconds at least.

    Args:
        draws: Of segments of one size.
        titles: One for each.
        fps: At which it will be shown.
        seconds: For each draw.
    """
    for draw, title in zip(draws, titles, strict=True):
        pictures = [draw_frame(draw, t, title=title) for t in range(len(draw))]
        for _ in range(repeats(len(draw), fps=fps, seconds=seconds)):
            yield from pictures


def repeats(frames: int, *, fps: int, seconds: float) -> int:
    """How often frames are shown, one after another, to last so many seconds."""
    return max(1, math.ceil(fps * seconds / frames))


def blend_sheet(
    draws: Sequence[BlendDraw], *, titles: Sequence[str], columns: int = 8, side: int = 192
) -> UInt8[ndarray, "h w 3"]:
    """One row of fakes per draw, over a line that shows all frames: orange where blended, with a dot where shown.

    Where there is one frame only, the row shows all its :func:`panels`.

    Args:
        draws: From top to bottom.
        titles: Captions.
        columns: Frames of each; of more, the middle ones of as many equal parts. If none of these is blended, one that
            is takes the place of that in its part.
        side: Of each picture, pixels.
    """
    longest = max(map(len, draws))
    columns = min(columns, longest) if longest > 1 else len(PANELS)
    row = _LINE + side + _THIN + _GAP
    # The captions of pictures take more than the pictures.
    sheet = np.full((len(draws) * row, max(columns * side, *map(_width, titles)) + 2, 3), _PAPER, np.uint8)
    for number, (draw, title) in enumerate(zip(draws, titles, strict=True)):
        top = number * row
        _text(sheet, title, (4, top), _INK)
        top += _LINE
        shown = shown_frames(draw.gate, columns)
        tiles = panels(draw.pair, 0) if longest == 1 else [_picture(draw.pair.fake.frames[0, t]) for t in shown]
        for column, tile in enumerate(tiles):
            sheet[top : top + side, column * side : (column + 1) * side] = _scaled(tile, side)
        line = sheet[top + side + 1 : top + side + 1 + _THIN, : len(tiles) * side]
        _gate_line(line, draw.gate, _FAINT)
        for t in shown if longest > 1 else ():
            begin, end = _span(t, len(draw), line.shape[1])
            cv2.circle(sheet, ((begin + end) // 2, top + side + 1 + _THIN // 2), 2, _INK, -1, cv2.LINE_AA)
    return sheet


def shown_frames(gate: Bool[ndarray, " t"], columns: int) -> list[int]:
    """Frames to show of a draw: evenly spaced, and a blended one among them if there is one."""
    columns = min(columns, len(gate))
    shown = evenly_spaced(len(gate), columns)
    blended = gate.nonzero()[0]
    if len(blended) and not gate[shown].any():
        shown[int(blended[0]) * columns // len(gate)] = int(blended[0])
    return shown


def gallery(
    draws: Mapping[str, BlendDraw], *, columns: int = 6, side: int = 91, across: int = 2
) -> UInt8[ndarray, "h w 3"]:
    """One picture of several kinds of blends: for each a block of four rows, real twin, fake, mask and difference x8.

    Pictures are cut to the face; the line below says which frames are blended.

    Args:
        draws: By title; from left to right, then from top to bottom.
        columns: Frames of each, as :func:`shown_frames` chooses them.
        side: Of each picture, pixels.
        across: Blocks beside each other.
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
    shown = shown_frames(draw.gate, columns)
    for column, t in enumerate(shown):
        x = left + column * step
        for row, picture in enumerate(panels(draw.pair, t)):
            y = head + row * step
            block[y : y + side, x : x + side] = _scaled(np.ascontiguousarray(picture[window]), side)
    _gate_line(block[-_THIN:, left:], draw.gate, _FAINT)
    for t in shown:
        begin, end = _span(t, len(draw), block.shape[1] - left)
        cv2.circle(block, (left + (begin + end) // 2, len(block) - 1 - _THIN // 2), 2, _INK, -1, cv2.LINE_AA)
    return block


def _face_window(segment: Segment) -> tuple[slice, slice]:
    """Rows and columns of a square that shows the face in all frames, and the forehead."""
    points = segment.landmarks[0].flatten(0, 1)
    low, high = points.amin(dim=0), points.amax(dim=0)
    height, width = segment.frames.shape[-2:]
    half = min(height / 2, width / 2, float((high - low).max()) * 0.7)
    x, y = ((low + high) / 2).tolist()
    y -= 0.2 * half  # landmarks end at the brows
    x0, y0 = (round(min(max(v - half, 0), side - 2 * half)) for v, side in ((x, width), (y, height)))
    return slice(y0, y0 + round(2 * half)), slice(x0, x0 + round(2 * half))


def _picture(frame: Tensor) -> UInt8[ndarray, "h w 3"]:
    """A frame (3, h, w) in [0, 1] as bytes, channels last; values beyond are clipped."""
    return np.ascontiguousarray((frame.float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy())


def _scaled(picture: UInt8[ndarray, "h w 3"], side: int) -> UInt8[ndarray, "s s 3"]:
    if picture.shape[:2] == (side, side):
        return picture
    how = cv2.INTER_AREA if picture.shape[0] > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (side, side), interpolation=how), np.uint8)


def _spread(patches: Float[ndarray, "g g"], size: tuple[int, ...]) -> Float[ndarray, "h w"]:
    """Every pixel gets the value of its patch."""
    rows, columns = (np.arange(side) * len(patches) // side for side in size)
    spread: ndarray = patches[rows][:, columns].astype(np.float32)
    return spread


def _gate_line(canvas: UInt8[ndarray, "h w 3"], gate: Bool[ndarray, " t"], closed: tuple[int, int, int]) -> None:
    """A cell for each frame, with a gap between two where there is room for one."""
    for t, blended in enumerate(gate.tolist()):
        begin, end = _span(t, len(gate), canvas.shape[1])
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
    """Writes one line; ``corner`` is its upper left one. Letters that would go beyond ``width`` pixels are left out."""
    plain = _plain(words)
    while width is not None and _width(plain, scale) > width and plain:
        plain = plain[:-1]
    cv2.putText(canvas, plain, (corner[0], corner[1] + 13), _FONT, scale, colour, 1, cv2.LINE_AA)


def _width(words: str, scale: float = _SCALE) -> int:
    """Of a line, pixels."""
    (width, _), _ = cv2.getTextSize(_plain(words), _FONT, scale, 1)
    return int(width)


def _plain(words: str) -> str:
    """OpenCV's font has no characters beyond ASCII, and OpenCV crashes over names that are no UTF-8."""
    return words.encode("ascii", "replace").decode()
