"""What scoring needs to know of a network. Networks of mgst and detectors of others have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import nn


@runtime_checkable
class TakesCrops(Protocol):
    """The input that a network needs."""

    @property
    def frames(self) -> int:
        """Number of frames of a segment."""
        ...

    @property
    def shortest(self) -> int:
        """Smallest number of frames of a segment; 1 for networks of single frames."""
        ...

    @property
    def size(self) -> int:
        """Side of the frames, pixels."""
        ...

    @property
    def face_margin(self) -> float | None:
        """Margin around the face box that the frames show; None for the whole crops of the shards."""
        ...


@runtime_checkable
class Scorer(TakesCrops, Protocol):
    """A network with its input and what is known about it."""

    @property
    def network(self) -> nn.Module:
        """Takes frames (b, t, 3, h, w) in [0, 1] and returns a :class:`~mgst_model.networks.SegmentOutput`."""
        ...

    @property
    def info(self) -> Mapping[str, Any]:
        """Facts about the network, as values for JSON."""
        ...

    @property
    def caution(self) -> str:
        """Warning about its use, or ""."""
        ...
