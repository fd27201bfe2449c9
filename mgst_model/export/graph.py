"""The graph that is exported: a network with named scores as outputs."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from mgst_data.core import UsageError
from mgst_data.core.errors import first_line
from mgst_model.networks.checkpoint import LoadedNetwork
from mgst_model.networks.output import SegmentOutput

INPUT = "frames"
# Outputs by name, in this order; a network has the first two at least.
OUTPUTS = {
    "score": "score of each segment, [0, 1]; higher means more likely fake",
    "frame_scores": "score of each frame, [0, 1]",
    "patch_scores": "score of each patch between two consecutive frames, [0, 1]",
    "embeddings": "embedding of each frame, a vector of length 1",
}


class ScoringGraph(nn.Module):
    """Takes frames ``(b, t, 3, h, w)`` in [0, 1], and returns a tuple of the outputs that the network has.

    Args:
        network: Network in evaluation mode. It returns a :class:`~mgst_model.networks.SegmentOutput`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Float[Tensor, "b t 3 h w"]) -> tuple[Tensor, ...]:
        """Returns scores instead of logits; embeddings stay as they are."""
        output: SegmentOutput = self.network(frames)
        logits = (output.logit, output.frame_logits, output.patch_logits)
        scores = [one.sigmoid() for one in logits if one is not None]
        return (*scores, *(() if output.embedding is None else (output.embedding,)))

    def names(self, frames: Float[Tensor, "b t 3 h w"]) -> tuple[str, ...]:
        """Returns the names of the outputs for such frames."""
        with torch.inference_mode():
            output: SegmentOutput = self.network(frames)
        present = (output.logit, output.frame_logits, output.patch_logits, output.embedding)
        return tuple(name for name, value in zip(OUTPUTS, present, strict=True) if value is not None)


def as_input(crops: UInt8[Tensor, "b t 3 h w"]) -> Float[Tensor, "b t 3 h w"]:
    """Converts crops to the input of a network: RGB in [0, 1]."""
    return crops.float() / 255


def trace(loaded: LoadedNetwork, *, frames: int | None) -> tuple[Any, tuple[str, ...]]:
    """Traces a network on the CPU, with any number of segments.

    Args:
        loaded: The network, on the CPU.
        frames: Number of frames of each segment; None for any number that the network can score.

    Returns:
        A ``torch.export.ExportedProgram``, and the names of its outputs.

    Raises:
        UsageError: if the network cannot be traced.
    """
    graph = ScoringGraph(loaded.network).eval()
    length = frames or max(2, loaded.frames)
    example = torch.full((2, length, 3, loaded.size, loaded.size), 0.5)
    dynamic = {0: torch.export.Dim.DYNAMIC} | ({} if frames else {1: torch.export.Dim.DYNAMIC})
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # they are for the developers of torch
        names = graph.names(example)
        try:
            program = torch.export.export(graph, (example,), dynamic_shapes=(dynamic,))
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            what = f"torch cannot trace this network: {first_line(error)}"
            hint = "try a fixed number of frames: --frames N" if frames is None else "use another backbone"
            raise UsageError(what, hint=hint) from error
    return program, names
