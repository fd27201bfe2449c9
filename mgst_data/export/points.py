"""Names and lines of landmarks, for formats that describe them."""

from __future__ import annotations

from itertools import pairwise

# Lines through the 68 landmarks in the order of the iBUG 300-W set: jaw, brows, nose, eyes, lips.
_LINES_68 = (
    (*range(17),), (*range(17, 22),), (*range(22, 27),), (*range(27, 31),), (*range(31, 36),),
    (*range(36, 42), 36), (*range(42, 48), 42), (*range(48, 60), 48), (*range(60, 68), 60),
)  # fmt: skip
_NAMED_68 = (
    ("jaw", 17), ("right_brow", 5), ("left_brow", 5), ("nose_bridge", 4), ("nostrils", 5),
    ("right_eye", 6), ("left_eye", 6), ("outer_lips", 12), ("inner_lips", 8),
)  # fmt: skip


def landmark_names(count: int) -> list[str]:
    """Returns a name for each landmark, such as ``left_eye_1`` (of the person); ``point_1`` where they are not known.

    Args:
        count: Number of landmarks.
    """
    if count not in (68, 81):
        return [f"point_{i + 1}" for i in range(count)]
    forehead = (("forehead", count - 68),)
    return [f"{part}_{i + 1}" for part, some in (*_NAMED_68, *forehead) for i in range(some)]


def landmark_lines(count: int) -> list[list[int]]:
    """Returns the lines to draw through landmarks, as indices from 0. Only sets of 68 and 81 have them.

    Args:
        count: Number of landmarks.
    """
    return [list(line) for line in _LINES_68] if count in (68, 81) else []


def landmark_edges(count: int) -> list[tuple[int, int]]:
    """Returns the same lines as pairs of indices from 0.

    Args:
        count: Number of landmarks.
    """
    return [edge for line in landmark_lines(count) for edge in pairwise(line)]
