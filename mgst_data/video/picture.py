"""From decoded frames to upright RGB in square pixels: interlacing, matrix, range, aspect ratio, display matrix."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from jaxtyping import UInt8

# "Matrix coefficients" of ISO/IEC 23091-2, as a decoder reports them, and swscale's names; 2 is "unspecified".
MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
HD_LINES = 720

# Below this side, lines are not rebuilt: bwdif refuses planes of less than three by four pixels, also of chroma.
LEAST_WOVEN = 16

# 8-bit 4:2:0 and 4:2:2 take swscale's fast path whatever is asked (0.7 ms for 1080p); for the others, full chroma
# interpolation brings the mean error against the exact matrix from 1.7 to 0.4 levels.
SCALING = "flags=bilinear+full_chroma_int"

# Pixels nearer to square than the first are left alone: such ratios come from rounding. Ratios beyond the second are
# errors of the header.
NEARLY_SQUARE, MOST_OBLONG = 1.01, 8


@dataclass(frozen=True, slots=True)
class FrameKind:
    """All that decides how a frame is converted.

    Attributes:
        size: Width and height as stored.
        shown: Width and height in square pixels, before the turn.
        pix_fmt: FFmpeg's name of the pixel format.
        matrix: swscale's name of the matrix.
        limited: Whether the header says that samples keep to the limited range.
        interlaced: Whether frames like this one may be interlaced and are large enough to rebuild their lines.
        turn: Display matrix: whether rows become columns, then whether columns and whether rows are reversed.
    """

    size: tuple[int, int]
    shown: tuple[int, int]
    pix_fmt: str
    matrix: str
    limited: bool
    interlaced: bool
    turn: tuple[bool, bool, bool]

    @staticmethod
    def of(frame: VideoFrame, *, aspect: Fraction | None, interlaced: bool) -> FrameKind:
        """Reads it off a decoded frame; without a named matrix, BT.709 from 720 lines upwards and BT.601 below."""
        return FrameKind(
            size=(frame.width, frame.height),
            shown=square_size(frame.width, frame.height, aspect),
            pix_fmt=frame.format.name,
            matrix=MATRICES.get(frame.colorspace, "bt709" if frame.height >= HD_LINES else "bt601"),
            limited=frame.color_range == ColorRange.MPEG,
            interlaced=interlaced and min(frame.width, frame.height) >= LEAST_WOVEN,
            turn=display_turn(frame),
        )

    def filters(self) -> Iterator[tuple[str, str]]:
        """Names and arguments of the filters that make upright RGB of such frames."""
        if self.interlaced:
            yield "bwdif", "mode=send_frame:deint=interlaced"
        if self.limited and self.pix_fmt.startswith("gray"):
            # swscale takes grey as full range whatever the header says; with chroma planes added it listens.
            yield "scale", "in_range=full:out_range=full"
            yield "format", "yuv444p"
        given = "limited" if self.limited else "auto"
        size = "" if self.shown == self.size else "w={}:h={}:".format(*self.shown)
        yield "scale", f"{size}in_color_matrix={self.matrix}:in_range={given}:out_range=full:{SCALING}"
        yield "format", "rgb24"
        transposed, flip_x, flip_y = self.turn
        if transposed:
            yield "transpose", "cclock_flip"
        if flip_x:
            yield "hflip", ""
        if flip_y:
            yield "vflip", ""


# RGB, time in seconds, and whether it comes from damaged data.
Converted = tuple[UInt8[np.ndarray, "h w 3"], float, bool]


class RGBConverter:
    """Converts decoded frames to upright RGB in square pixels, one for one.

    Matrix and range are the stream's; where it names none, see :meth:`FrameKind.of`, and the range is limited but
    for grey and for the JPEG family. The missing lines of interlaced frames are rebuilt (``bwdif``); a single field
    is never handed out as a frame. Pictures of oblong pixels get their :func:`square_size` in the pass of swscale that
    makes RGB, so that they are resampled once. Alpha is dropped. HDR transfer curves are left as they are, not
    tone-mapped.

    A filter graph is used for all of it because it recycles its frames: swscale on its own clears new memory for
    each (1080p: 1.2 ms instead of 2.8 ms per frame).

    Args:
        aspect: Width of a stored pixel by its height; None or 0 where unknown.
    """

    def __init__(self, aspect: Fraction | None = None) -> None:
        self._aspect = aspect
        self._graph: Graph | None = None
        self._kind: FrameKind | None = None
        self._marks: deque[tuple[float, bool]] = deque()

    def push(self, frame: VideoFrame, time: float, damaged: bool) -> Iterator[Converted]:
        """Takes a frame and yields those that are ready, as views that keep their memory alive."""
        # Once interlaced, always through the filter, which passes progressive frames on but holds one frame back.
        woven = frame.interlaced_frame or (self._kind is not None and self._kind.interlaced)
        kind = FrameKind.of(frame, aspect=self._aspect, interlaced=woven)
        if self._graph is None or kind != self._kind:
            yield from self.flush()
            self._graph, self._kind = _graph(frame, kind), kind
        self._marks.append((time, damaged))
        self._graph.vpush(frame)
        yield from self._ready()

    def flush(self) -> Iterator[Converted]:
        """Yields what was held back."""
        if self._graph is not None:
            self._graph.vpush(None)
            yield from self._ready()
            self._graph = None

    def _ready(self) -> Iterator[Converted]:
        while self._graph is not None:
            try:
                rgb = self._graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
            plane = rgb.planes[0]
            rows = np.frombuffer(cast("bytes", plane), np.uint8).reshape(rgb.height, abs(plane.line_size))
            if plane.line_size < 0:  # stored from the bottom up: what vflip does to frames that came as RGB
                rows = rows[::-1]
            yield rows[:, : rgb.width * 3].reshape(rgb.height, rgb.width, 3), *self._marks.popleft()


def square_size(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    """Width and height in square pixels: one side is enlarged, none is made smaller.

    Aspect ratios that are nearly square or impossible are not followed, because resampling leaves traces.

    Args:
        width: As stored.
        height: As stored.
        aspect: Width of a stored pixel by its height; None or 0 where unknown.
    """
    longer = max(aspect, 1 / aspect) if aspect and aspect > 0 else 1
    if not NEARLY_SQUARE <= longer <= MOST_OBLONG:
        return width, height
    return (width, round(height * longer)) if aspect and aspect < 1 else (round(width * longer), height)


def display_turn(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """The display matrix as a transposition and two flips; angles between go to the nearest quarter turn."""
    # frame.side_data would tie the frame into a cycle, and frames pile up until the collector comes round.
    data = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]  # missing in PyAV's stubs
    if data is None:
        return False, False, False
    # Row vectors: x' = a x + c y, y' = b x + d y; y points down.
    a, b, _, c, d = np.frombuffer(cast("bytes", data), np.int32)[:5].tolist()
    transposed = abs(b) + abs(c) > abs(a) + abs(d)
    return transposed, (c if transposed else a) < 0, (b if transposed else d) < 0


def _graph(frame: VideoFrame, kind: FrameKind) -> Graph:
    graph = Graph()
    graph.threads = 1
    time_base = frame.time_base or Fraction(1, 1000)  # of no consequence: times go another way
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=time_base)
    filters = [graph.add(name, arguments) for name, arguments in kind.filters()]
    graph.link_nodes(source, *filters, graph.add("buffersink")).configure()
    return graph
