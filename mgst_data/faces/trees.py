"""Ensembles of regression trees in the files of dlib, evaluated for many faces at once.

The method is that of Kazemi and Sullivan, "One millisecond face alignment with an ensemble of regression trees" (2014).
Each of several stages adds the leaves of hundreds of trees to the landmarks. A split of a tree compares the difference
of two pixels with a threshold; the pixels of a stage lie at fixed distances from landmarks, and turn with the face.

dlib evaluates one face after another. Most of this time it waits for 4 MB of leaves, which lie all over 65 MB of
memory. Here all faces of a batch go through a stage together, and the leaves of one face are still in the cache for
the next one. Splits are compared for all trees at once, without branches. The landmarks are those of dlib, before dlib
rounds them to whole pixels; its rounding error is 0.3 % of the eye distance in a box of 256 pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from jaxtyping import Complex64, Float, Float32, Int16, Int32, Int64, UInt8
from numpy import ndarray
from torch import Tensor
from torch.nn.functional import embedding_bag

# Bytes of a file that are decoded together, parts of them that are decoded side by side, and bytes before each part in
# which it finds the beginning of a number.
_CHUNK, _LANES, _RUN_UP = 1 << 23, 1024, 256
# Steps of all parts between two looks at whether they have ended; most bytes of a number; parts whose numbers are
# decoded together.
_STEPS, _LONGEST, _TOGETHER = 64, 16, 8
# Masks of the bytes of a number with 0 to 4 bytes.
_KEPT = np.array([(1 << 8 * size) - 1 for size in range(5)], np.uint32)
_VERSION = 1

# Reads pixels: coordinates (x, y) of p pixels for each of n faces, whole numbers, to brightness.
Sampler = Callable[[Float32[ndarray, "n p 2"]], UInt8[ndarray, "n p"]]


class Stage(NamedTuple):
    """A stage of the ensemble: p pixels, and trees of s splits each. Points are complex numbers, x + iy.

    Attributes:
        anchors: The landmark that each pixel belongs to.
        offsets: Distance of each pixel from its landmark in the mean face, pixels.
        first: First pixel of each split.
        second: Second pixel of each split.
        thresholds: The left branch of a split is taken if the first pixel is brighter than the second one by more.
        leaves: What each leaf adds to the k landmarks, pixels. A tree has s + 1 leaves.
    """

    anchors: Int64[ndarray, " p"]
    offsets: Complex64[ndarray, " p"]
    first: Int64[ndarray, "s trees"]
    second: Int64[ndarray, "s trees"]
    thresholds: Int16[ndarray, "s trees 1"]
    leaves: Float32[Tensor, "trees*(s+1) 2*k"]


class RegressionTrees:
    """Finds the landmarks of faces in square boxes.

    Args:
        path: A file of ``dlib.shape_predictor``.
        side: Side of the box of a face, pixels.
        corner: Coordinate of the upper left corner of the box, x and y.

    Attributes:
        count: Number of landmarks, k.

    Raises:
        ValueError: if the file is not a complete shape predictor.
        OSError: if the file cannot be read.
    """

    def __init__(self, path: Path, *, side: float, corner: float) -> None:
        with path.open("rb") as file:
            mean, stages = _read(_Numbers(file))
        self._mean = (mean * side + corner * (1 + 1j)).astype(np.complex64)
        self._stages = [
            stage._replace(offsets=stage.offsets * np.float32(side), leaves=stage.leaves.mul_(side)) for stage in stages
        ]
        self.count = len(mean)

    def __call__(self, sample: Sampler, faces: int) -> Float[Tensor, "n k 2"]:
        """Finds the landmarks of n faces.

        Args:
            sample: Reads pixels of the faces; it is called once per stage.
            faces: Number of faces.

        Returns:
            Landmarks (x, y), pixels.
        """
        points = np.repeat(self._mean[None], faces, axis=0)
        centred = self._mean - self._mean.mean()
        # In the plane, the similarity transform with the least squares is a complex factor and a shift.
        towards = centred.conj() / (np.abs(centred) ** 2).sum()
        for stage in self._stages:
            turn = ((points - points.mean(axis=1, keepdims=True)) * towards).sum(axis=1, keepdims=True)
            at = stage.offsets * turn + points.take(stage.anchors, axis=1)
            whole = np.floor(at.view(np.float32) + np.float32(0.5)).reshape(*at.shape, 2)
            leaf = torch.from_numpy(_leaves_reached(stage, sample(whole)))
            points += embedding_bag(leaf, stage.leaves, mode="sum").numpy().view(np.complex64)
        return torch.from_numpy(points.view(np.float32).reshape(*points.shape, 2))


def _leaves_reached(stage: Stage, pixels: UInt8[ndarray, "n p"]) -> Int64[ndarray, "n trees"]:
    """Returns the row of the leaf that each face reaches in each tree."""
    bright = np.ascontiguousarray(pixels.T).astype(np.int16)
    splits, trees = stage.first.shape
    left = bright.take(stage.first, axis=0) - bright.take(stage.second, axis=0) > stage.thresholds
    # The children of node i are 2i + 1 and 2i + 2. From the lowest level upwards: which leaf is reached from each node?
    kind = np.min_scalar_type(2 * splits)
    step = left.view(np.uint8).astype(kind, copy=False)
    level = (splits + 1) // 2
    reached = np.arange(2 * level, 2 * splits + 1, 2, dtype=kind)[:, None, None] - step[level - 1 :]
    while level > 1:
        level //= 2
        one, other = reached[0::2], reached[1::2]
        # A difference may wrap around; the sum does not.
        reached = other + step[level - 1 : 2 * level - 1] * (one - other)
    rows: ndarray = np.ascontiguousarray(reached[0].T) + (np.arange(trees) * (splits + 1) - splits)
    return rows


def _read(numbers: _Numbers) -> tuple[Complex64[ndarray, " k"], list[Stage]]:
    if numbers.count() != _VERSION:
        raise ValueError("unknown version")
    length = _size(numbers.take(2))
    mean = _floats(numbers.take(2 * length)).view(np.complex64)
    forests = [_read_forest(numbers, length) for _ in range(numbers.count())]
    anchors = [numbers.take(numbers.count()) for _ in range(numbers.count())]
    offsets = [_floats(numbers.take(4 * numbers.count())).view(np.complex64) for _ in range(numbers.count())]
    stages = []
    for anchor, offset, (first, second, threshold, leaves) in zip(anchors, offsets, forests, strict=True):
        indices = ((anchor, len(mean)), (first, len(offset)), (second, len(offset)))
        if len(anchor) != len(offset) or not all(_within(index, count) for index, count in indices):
            raise ValueError("its parts do not fit together")
        # Differences of pixels are whole numbers, so the threshold can be one as well.
        whole = np.ascontiguousarray(np.floor(threshold).clip(-256, 256), np.int16)[..., None]
        anchor, first, second = (np.ascontiguousarray(index, np.int64) for index in (anchor, first, second))
        stages.append(Stage(anchor, offset, first, second, whole, torch.from_numpy(leaves)))
    return mean, stages


def _read_forest(numbers: _Numbers, length: int) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """Reads the trees of a stage: first and second pixels, thresholds by split and tree; leaves by row.

    Raises:
        ValueError: if the trees are not alike.
    """
    trees, splits = numbers.count(), numbers.peek()
    if splits < 1 or splits & (splits + 1):
        raise ValueError(f"a tree has {splits} splits")
    per_leaf = 2 + 2 * length
    block = numbers.take(trees * (2 + 4 * splits + (splits + 1) * per_leaf)).reshape(trees, -1)
    split = block[:, 1 : 1 + 4 * splits].reshape(trees, splits, 4)
    leaf = block[:, 2 + 4 * splits :].reshape(-1, per_leaf)
    if (block[:, 0] != splits).any() or (block[:, 1 + 4 * splits] != splits + 1).any():
        raise ValueError("trees have different numbers of splits")
    if (np.abs(leaf[:, 0] * leaf[:, 1]) != length).any():
        raise ValueError("leaves have different numbers of landmarks")
    by_split = split.transpose(2, 1, 0)
    threshold = _floats(split[:, :, 2:]).reshape(trees, splits).T
    return by_split[0], by_split[1], threshold, _floats(leaf[:, 2:]).reshape(len(leaf), length)


def _size(header: Int32[ndarray, "2"]) -> int:
    """Returns the number of elements of a matrix; files of later versions have its sides as negative numbers."""
    return abs(int(header[0]) * int(header[1]))


def _floats(numbers: Int32[ndarray, "*n"]) -> Float[ndarray, "*m"]:
    """Returns the numbers whose mantissas and exponents alternate.

    Raises:
        ValueError: if one of them is beyond single precision.
    """
    with np.errstate(over="ignore"):
        floats: ndarray = np.ldexp(numbers[..., 0::2].astype(np.float32), numbers[..., 1::2])
    if not np.isfinite(floats).all():
        raise ValueError("a number is too large")
    return floats


def _within(index: Int32[ndarray, "*n"], count: int) -> bool:
    return bool((index >= 0).all() and (index < count).all())


class _Numbers:
    """Reads the whole numbers of a file of dlib, in turn."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._bytes = b""
        self._known = np.empty(0, np.int32)

    def take(self, count: int) -> Int32[ndarray, " n"]:
        """Returns the next numbers.

        Raises:
            ValueError: if the file ends before.
        """
        while len(self._known) < count:
            more = self._file.read(_CHUNK)
            data = self._bytes + more
            # The last number may go on in the bytes that are read next.
            decoded, end = decode_numbers(data, len(data) - (_LONGEST if len(more) == _CHUNK else 0))
            if not data or end > len(data):
                raise ValueError("it ends early")
            self._bytes, self._known = data[end:], np.concatenate((self._known, decoded))
        taken, self._known = self._known[:count], self._known[count:]
        return taken

    def peek(self) -> int:
        (first,) = self.take(1)
        self._known = np.concatenate(([first], self._known))
        return int(first)

    def count(self) -> int:
        """Returns the next number, which says how many follow.

        Raises:
            ValueError: if it is negative, or the file ends before.
        """
        (count,) = self.take(1)
        if count < 0:
            raise ValueError("a number of elements is negative")
        return int(count)


def decode_numbers(data: bytes, stop: int) -> tuple[Int32[ndarray, " n"], int]:
    """Decodes whole numbers in the format of dlib: a byte with their sign and length, then their bytes, lowest first.

    Args:
        data: Begins with a number.
        stop: Numbers that begin before this byte are decoded, bytes.

    Returns:
        The numbers, and where the next one begins, bytes.

    Raises:
        ValueError: if a number has more than 4 bytes.
    """
    padded = np.frombuffer(data + bytes((_STEPS + 2) * _LONGEST), np.uint8)
    parts, end = _in_parts(padded, stop) or _in_turn(data, stop)
    values = []
    for begin in parts:
        control = padded[begin]
        size = control & 15
        if (size > 4).any():
            raise ValueError("a number is too long")
        words = np.ndarray(len(padded) - 4, "<u4", padded, offset=1, strides=(1,))
        value: ndarray = (words[begin] & _KEPT[size]).view(np.int32)
        values.append(np.negative(value, out=value, where=control >= 128))
    return np.concatenate(values), end


def _in_parts(padded: UInt8[ndarray, " n"], stop: int) -> tuple[list[ndarray], int] | None:
    """Finds the beginnings of all numbers, side by side in many parts of the data.

    The length of a number says where the next one begins. A part does not know where its first number begins, and
    starts some bytes early, perhaps in the middle of a number; such a chain soon meets the true one. This is checked:
    every part must end where the next one begins.

    Returns:
        Beginnings of numbers, a few parts at a time, which fit into the cache; and where the next number begins. None
        if parts do not fit together.
    """
    length = (np.arange(256) & 15) + 1
    lanes = max(1, min(_LANES, stop // (4 * _RUN_UP)))
    first = np.arange(lanes) * stop // lanes
    at = np.maximum(first - _RUN_UP, 0)
    while (early := at < first).any():
        at = np.where(early, at + length[padded[at]], at)
    start, last = at, np.append(at[1:], stop)
    blocks: list[ndarray] = []
    while not blocks or (at < last).any():
        block = np.empty((_STEPS, lanes), np.int32)
        for row in block:
            row[:] = at
            at = at + length[padded[at]]
        at = np.minimum(at, len(padded) - _STEPS * _LONGEST - 1)
        blocks.append(block.T)
    chains = np.concatenate((*blocks, at[:, None]), axis=1)
    counts = (chains < last[:, None]).sum(axis=1)
    ends = chains[np.arange(lanes), counts]
    if (ends[:-1] != start[1:]).any():
        return None
    begins = [chain[:count] for chain, count in zip(chains, counts, strict=True)]
    return [np.concatenate(begins[i : i + _TOGETHER]) for i in range(0, lanes, _TOGETHER)], int(ends[-1])


def _in_turn(data: bytes, stop: int) -> tuple[list[ndarray], int]:
    """Finds the beginnings of all numbers one after another."""
    begins, at = [], 0
    while at < stop:
        begins.append(at)
        at += (data[at] & 15) + 1
    return [np.array(begins, np.int32)], at
