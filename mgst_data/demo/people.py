"""People of the demo data set, and the features that distinguish them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

RGB = tuple[float, float, float]


class Feature(NamedTuple):
    """A part of the face that can be moved; lengths in pixels of the photograph.

    Attributes:
        place: Position (x, y), on the left side of the picture or in the middle.
        reach: Radius of the area around the position that moves with it.
        direction: Direction (x, y) of a positive shift.
        most: Largest shift.
        both_sides: Whether the mirrored position on the right side moves, too.
    """

    place: tuple[float, float]
    reach: float
    direction: tuple[int, int]
    most: float
    both_sides: bool


FEATURES = {
    "width of the jaw": Feature((186, 150), 22, (-1, 0), 7, True),
    "length of the chin": Feature((224, 178), 20, (0, 1), 5, False),
    "distance of the eyes": Feature((204, 102), 13, (-1, 0), 2.5, True),
    "height of the brows": Feature((202, 88), 12, (0, -1), 3, True),
    "width of the nose": Feature((216, 129), 8, (-1, 0), 2.5, True),
    "length of the nose": Feature((224, 130), 12, (0, 1), 4, False),
    "width of the mouth": Feature((202, 143), 11, (-1, 0), 4, True),
    "width of the cheekbones": Feature((182, 110), 20, (-1, 0), 4, True),
    "height of the hair": Feature((224, 30), 34, (0, -1), 10, False),
    "width of the hair": Feature((165, 80), 26, (-1, 0), 9, True),
}

HAIR = (
    (0.22, 0.15, 0.10), (0.10, 0.09, 0.09), (0.45, 0.20, 0.10), (0.75, 0.60, 0.38), (0.55, 0.54, 0.53),
    (0.35, 0.24, 0.15),
)  # fmt: skip
SKIN = (
    (1.00, 1.00, 1.00), (0.62, 0.50, 0.43), (0.90, 0.80, 0.70), (1.04, 0.96, 0.94), (0.78, 0.66, 0.56),
    (0.97, 0.92, 0.82),
)  # fmt: skip
BACKDROPS = (
    (1.00, 1.00, 1.00), (0.55, 0.65, 0.80), (0.80, 0.72, 0.55), (0.45, 0.45, 0.48), (0.62, 0.80, 0.66),
    (0.95, 0.85, 0.88),
)  # fmt: skip
SUITS = (0.0, 200.0, 120.0, 260.0, 40.0, 310.0)
GLASSES = ((0.0, 0.0), (0.0, 0.0), (15.0, 12.0), (0.0, 0.0), (0.0, 0.0), (17.0, 10.0), (0.0, 0.0))
BEARDS = (0.0, 0.6, 0.0, 0.0, 0.5)


@dataclass(frozen=True, slots=True)
class Identity:
    """Appearance of one person.

    Attributes:
        mirrored: Whether the photograph is mirrored.
        shape: Shift of each of ``FEATURES``, pixels of the photograph.
        hair: Colour of the hair, RGB, [0, 1].
        skin: Factors on the RGB colour of the skin.
        backdrop: Factors on the RGB colour of the background.
        suit: Change of the hue of the suit, degrees.
        beard: Darkness of the beard, [0, 1].
        glasses: Half width and half height of the lenses, pixels of the photograph; 0 for no glasses.
        light: Brightness of the right side minus that of the left side, relative to the mean.
    """

    mirrored: bool
    shape: tuple[float, ...]
    hair: RGB
    skin: RGB
    backdrop: RGB
    suit: float
    beard: float
    glasses: tuple[float, float]
    light: float


def draw_identity(number: int, random: np.random.Generator) -> Identity:
    """Draws the appearance of a person.

    Colours are taken from the lists in turn, so that consecutive people differ. Proportions and light are random.

    Args:
        number: Number of the person.
        random: Random generator.
    """
    lap = number // len(HAIR)  # shifts the lists against each other, so that the seventh person differs from the first
    return Identity(
        mirrored=number % 2 == 1,
        shape=tuple(float(random.uniform(-feature.most, feature.most)) for feature in FEATURES.values()),
        hair=HAIR[number % len(HAIR)],
        skin=SKIN[(number + lap) % len(SKIN)],
        backdrop=BACKDROPS[(number + 2 * lap) % len(BACKDROPS)],
        suit=SUITS[(2 * number + lap) % len(SUITS)],
        beard=BEARDS[number % len(BEARDS)],
        glasses=GLASSES[number % len(GLASSES)],
        light=float(random.uniform(-0.35, 0.35)),
    )
