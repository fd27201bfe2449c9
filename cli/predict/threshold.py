"""The option ``--threshold``: a score, or a false-positive rate."""

from __future__ import annotations

from typing import NamedTuple

import click


class Wanted(NamedTuple):
    """A wanted threshold.

    Attributes:
        value: A score in [0, 1], or a false-positive rate in (0, 1).
        is_rate: Whether it is a rate.
    """

    value: float
    is_rate: bool

    def __str__(self) -> str:
        return f"{100 * self.value:g}%" if self.is_rate else f"{self.value:g}"


def parse_threshold(text: str) -> Wanted:
    """Reads ``0.7`` as a score and ``5%`` as a false-positive rate.

    Args:
        text: What the user wrote.

    Raises:
        ValueError: if it is neither.
    """
    is_rate = text.strip().endswith("%")
    try:
        number = float(text.strip().removesuffix("%")) / (100 if is_rate else 1)
    except ValueError:
        number = -1.0
    if not (0 < number < 1 if is_rate else 0 <= number <= 1):
        raise ValueError(f"{text!r} is neither a score from 0 to 1 nor a percentage such as 5%")
    return Wanted(number, is_rate)


def read_threshold(_: click.Context, parameter: click.Parameter, text: str | None) -> Wanted | None:
    """Reads the value of the option, see :func:`parse_threshold`.

    Args:
        parameter: The option, for the error message.
        text: Text of the option; None if it is not given.

    Raises:
        BadParameter: if it is not a threshold.
    """
    try:
        return None if text is None else parse_threshold(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param=parameter) from error
