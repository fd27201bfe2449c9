"""Random generators by name, so that a draw depends on what is drawn and never on when or where."""

from __future__ import annotations

import hashlib

import torch


def seed_for(seed: int, *stream: str | int) -> int:
    """Derives an independent 63-bit seed for a named stream.

    The derivation is a BLAKE2b hash of the seed and the stream's parts, so that ``("video", 12)`` and
    ``("video1", 2)`` differ and no two neighbouring seeds give related streams.
    """
    digest = hashlib.blake2b(repr((int(seed), *stream)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator_for(seed: int, *stream: str | int) -> torch.Generator:
    """Makes the CPU generator of a named stream: the same arguments always give the same draws."""
    return torch.Generator().manual_seed(seed_for(seed, *stream))
