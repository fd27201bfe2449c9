"""Named random generators. A draw depends on the seed and the name, not on the process or on the order of work."""

from __future__ import annotations

import hashlib
import operator

import torch


def seed_for(seed: int, *stream: str | int) -> int:
    """Derives an independent 63-bit seed for a named stream.

    The seed is a BLAKE2b hash of the base seed and the parts of the name. So ``("video", 12)`` and ``("video1", 2)``
    give different seeds, and neighbouring base seeds give unrelated streams.

    Args:
        seed: Base seed.
        stream: Parts of the name of the stream.

    Raises:
        TypeError: if the seed is not an integer.
    """
    try:
        whole = int(operator.index(seed))
    except TypeError as error:
        raise TypeError(f"seed must be an integer, for example 0, got {seed!r}") from error
    digest = hashlib.blake2b(repr((whole, *stream)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator_for(seed: int, *stream: str | int) -> torch.Generator:
    """Makes the CPU generator of a named stream. The same arguments always give the same draws.

    Args:
        seed: Base seed.
        stream: Parts of the name of the stream.

    Raises:
        TypeError: if the seed is not an integer.
    """
    return torch.Generator().manual_seed(seed_for(seed, *stream))


def check_generator(generator: object) -> None:
    """Checks that a value is a random generator on the CPU.

    None is refused: torch would draw from its global generator, and the draws could not be repeated.

    Raises:
        TypeError: if the value is not a generator on the CPU. The message says what to pass.
    """
    if isinstance(generator, torch.Generator):
        if generator.device.type == "cpu":
            return
        given = f"one on {generator.device}"
    elif generator is None or isinstance(generator, int | float):
        given = repr(generator)
    else:
        given = f"a {type(generator).__module__}.{type(generator).__name__}"
    wanted = "a torch.Generator on the CPU, for example torch.Generator().manual_seed(0)"
    raise TypeError(f"generator must be {wanted}, got {given}")
