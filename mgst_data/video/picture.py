"""Converts decoded frames to upright RGB frames with square pixels.

The conversion handles interlacing, colour matrix, colour range, pixel aspect ratio and display matrix.
"""

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

# "Matrix coefficients" of ISO/IEC 23091-2, as a decoder reports them, with the names in swscale; 2 is "unspecified".
MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
HD_LINES = 720

# Frames with a smaller side are not deinterlaced: bwdif rejects luma and chroma planes below three by four pixels.
LEAST_WOVEN = 16

# 8-bit 4:2:0 and 4:2:2 always use the fast path of swscale (0.7 ms for 1080p), whatever the flags. For other formats,
# full chroma interpolation reduces the mean error against the exact matrix from 1.7 to 0.4 levels.
SCALING = "flags=bilinear+full_chroma_int"

# Aspect ratios below the first value come from rounding, and pixels are treated as square. Ratios above the second
# value are errors of the header.
NEARLY_SQUARE, MOST_OBLONG = 1.01, 8


@dataclass(frozen=True, slots=True)
class FrameKind:
    """All properties of a frame that determine its conversion.

    Attributes:
        size: Stored width and height, pixels.
        shown: Width and height in square pixels, before the rotation.
        pix_fmt: Name of the pixel format in FFmpeg.
        matrix: Name of the colour matrix in swscale.
        limited: Whether the header says that samples are in limited range.
        interlaced: Whether frames of this kind may be interlaced and are large enough to be deinterlaced.
        turn: Display matrix as three flags: transpose, then reverse the columns, then reverse the rows.
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
        """Reads the properties of a decoded frame.

        If the frame names no colour matrix, BT.709 is used from 720 lines upwards, and BT.601 below.

        Args:
            frame: Decoded frame.
            aspect: Width of a stored pixel divided by its height; None or 0 if unknown.
            interlaced: Whether the frame may be interlaced.
        """
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
        """Yields names and arguments of the FFmpeg filters that convert such frames to upright RGB."""
        if self.interlaced:
            yield "bwdif", "mode=send_frame:deint=interlaced"
        if self.limited and self.pix_fmt.startswith("gray"):
            # swscale ignores the range of greyscale frames and assumes full range. With chroma planes it uses the
            # given range.
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
    """Converts decoded frames to upright RGB frames with square pixels; each frame gives one frame.

    Colour matrix and range are those of the stream. If it names no matrix, see :meth:`FrameKind.of`. If it names no
    range, the range is limited, except for greyscale and for the JPEG family. Interlaced frames are deinterlaced
    (``bwdif``); a single field is never returned as a frame. Frames with non-square pixels are scaled to
    :func:`square_size` in the same swscale pass that converts to RGB, so that they are resampled once. Alpha is
    dropped. HDR transfer curves are kept and not tone-mapped.

    All steps run in one filter graph, because it reuses its frames. swscale alone clears new memory for each frame
    (1080p: 2.8 ms per frame instead of 1.2 ms).

    Args:
        aspect: Width of a stored pixel divided by its height; None or 0 if unknown.
    """

    def __init__(self, aspect: Fraction | None = None) -> None:
        self._aspect = aspect
        self._graph: Graph | None = None
        self._kind: FrameKind | None = None
        self._marks: deque[tuple[float, bool]] = deque()

    def push(self, frame: VideoFrame, time: float, damaged: bool) -> Iterator[Converted]:
        """Adds a frame and yields the converted frames that are ready, as views that own their memory.

        Args:
            frame: Decoded frame.
            time: Presentation time, seconds.
            damaged: Whether the frame comes from damaged data.
        """
        # After the first interlaced frame, all frames use the deinterlacing filter. It does not change progressive
        # frames, but it delays the output by one frame.
        woven = frame.interlaced_frame or (self._kind is not None and self._kind.interlaced)
        kind = FrameKind.of(frame, aspect=self._aspect, interlaced=woven)
        if self._graph is None or kind != self._kind:
            yield from self.flush()
            self._graph, self._kind = _graph(frame, kind), kind
        self._marks.append((time, damaged))
        self._graph.vpush(frame)
        yield from self._ready()

    def flush(self) -> Iterator[Converted]:
        """Yields the frames that are still in the filter graph."""
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
            if plane.line_size < 0:  # rows are stored from bottom to top: vflip does this to RGB input
                rows = rows[::-1]
            yield rows[:, : rgb.width * 3].reshape(rgb.height, rgb.width, 3), *self._marks.popleft()


def square_size(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    """Returns width and height in square pixels: one side is enlarged, and no side is reduced.

    Nearly square and impossible aspect ratios are ignored, because resampling leaves traces in the frame.

    Args:
        width: Stored width, pixels.
        height: Stored height, pixels.
        aspect: Width of a stored pixel divided by its height; None or 0 if unknown.
    """
    longer = max(aspect, 1 / aspect) if aspect and aspect > 0 else 1
    if not NEARLY_SQUARE <= longer <= MOST_OBLONG:
        return width, height
    return (width, round(height * longer)) if aspect and aspect < 1 else (round(width * longer), height)


def display_turn(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """Returns the display matrix as a transposition, a horizontal flip and a vertical flip.

    Other angles are rounded to the nearest multiple of 90 degrees.
    """
    # frame.side_data would create a reference cycle, and frames would stay in memory until the garbage collector runs.
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
    time_base = frame.time_base or Fraction(1, 1000)  # has no effect: times do not pass through the graph
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=time_base)
    filters = [graph.add(name, arguments) for name, arguments in kind.filters()]
    graph.link_nodes(source, *filters, graph.add("buffersink")).configure()
    return graph
