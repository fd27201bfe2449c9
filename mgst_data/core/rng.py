"""Random generators by name, so that a draw depends on what is drawn and never on when or where."""

from __future__ import annotations

import hashlib
import operator

import torch


def seed_for(seed: int, *stream: str | int) -> int:
    """Derives an independent 63-bit seed for a named stream.

    The derivation is a BLAKE2b hash of the seed and the stream's parts, so that ``("video", 12)`` and
    ``("video1", 2)`` differ and no two neighbouring seeds give related streams.

    Raises:
        TypeError: if the seed is no whole number.
    """
    try:
        whole = int(operator.index(seed))
    except TypeError as error:
        raise TypeError(f"seed is a whole number, such as 0, not {seed!r}") from error
    digest = hashlib.blake2b(repr((whole, *stream)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator_for(seed: int, *stream: str | int) -> torch.Generator:
    """Makes the CPU generator of a named stream: the same arguments always give the same draws.

    Raises:
        TypeError: if the seed is no whole number.
    """
    return torch.Generator().manual_seed(seed_for(seed, *stream))


def check_generator(generator: object) -> None:
    """Raises TypeError, saying what to hand in, unless something is a generator that draws on the CPU.

    None would draw from torch's global generator, and no draw could be repeated.
    """
    if isinstance(generator, torch.Generator):
        if generator.device.type == "cpu":
            return
        given = f"one on {generator.device}"
    elif generator is None or isinstance(generator, int | float):
        given = repr(generator)
    else:
        given = f"a {type(generator).__module__}.{type(generator).__name__}"
    raise TypeError(f"generator is a torch.Generator on the CPU, such as torch.Generator().manual_seed(0), not {given}")
