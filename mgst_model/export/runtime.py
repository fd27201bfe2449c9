"""Scores with ONNX Runtime: an exported file takes the place of a network."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from mgst_data import __version__
from mgst_data.core import UsageError
from mgst_data.core.documents import parse_json
from mgst_data.core.locations import cache_folder
from mgst_model.export.crops import portraits
from mgst_model.export.formats import KEY, SUFFIXES, VERSION, export_network
from mgst_model.export.graph import INPUT
from mgst_model.export.session import AGAIN, session_of
from mgst_model.networks.checkpoint import CARD, LoadedNetwork, load_network, parse_card, weights_file
from mgst_model.networks.folding import fold_batch_norms
from mgst_model.networks.output import SegmentOutput
from mgst_model.networks.remote_weights import fetch_file, is_weights_url

# Segments that an export on the fly is checked on.
_CHECKED = 2


class OnnxNetwork(nn.Module):
    """A network that ONNX Runtime computes, with the output of a network of torch.

    Args:
        session: Session of ONNX Runtime.
    """

    def __init__(self, session: Any) -> None:
        super().__init__()
        self.session = session
        self.outputs = tuple(one.name for one in session.get_outputs())

    def forward(self, frames: Float[Tensor, "b t 3 h w"]) -> SegmentOutput:
        """Returns the logits of the scores in the file.

        Args:
            frames: RGB in [0, 1], on the CPU.
        """
        values = self.session.run(None, {INPUT: np.ascontiguousarray(frames.numpy())})
        found = dict(zip(self.outputs, map(torch.from_numpy, values), strict=True))
        patches = found.get("patch_scores")
        return SegmentOutput(
            found["score"].logit(),
            found["frame_scores"].logit(),
            found.get("embeddings"),
            None if patches is None else patches.logit(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedNetwork(LoadedNetwork):
    """A network from an exported file.

    Attributes:
        least_frames: Smallest number of frames of a segment; the only one, if the file has a fixed number.
        int8: Whether it computes in 8-bit integers.
    """

    least_frames: int
    int8: bool = False

    @property
    def shortest(self) -> int:
        """Smallest number of frames that the file accepts."""
        return self.least_frames


def load_onnx(path: str | Path, *, threads: int | None = None) -> ExportedNetwork:
    """Reads a file that ``mgst-export --to onnx`` wrote.

    Args:
        path: Path or fsspec URL of the ``.onnx`` file.
        threads: Threads of ONNX Runtime; None for as many as torch uses.

    Raises:
        UsageError: if the file is missing, damaged, or not from mgst.
        ImportError: if ONNX Runtime is not installed.
    """
    path = fetch_file(str(path)) if is_weights_url(path) else Path(path)
    session = session_of(path, threads=threads)
    try:
        about = parse_json(session.get_modelmeta().custom_metadata_map[KEY])
        version, least, int8 = about["version"], about["input"]["least_frames"], about["int8"]
        fixed, card = about["input"]["frames"], about["card"]
    except (KeyError, TypeError, ValueError) as error:
        what = "this ONNX file does not describe a network of mgst"
        raise UsageError(what, where=path, hint="write it with mgst-export") from error
    if version != VERSION:
        raise UsageError(f"format version must be {VERSION}, got {version!r}", where=path, hint=AGAIN)
    known = parse_card(card, where=path)
    return ExportedNetwork(
        network=OnnxNetwork(session).eval(),
        config=known.config,
        frames=fixed or known.frames,
        size=known.size,
        face_margin=known.face_margin,
        info=known.info,
        least_frames=least,
        int8=bool(int8),
    )


def kept_export(weights: str | Path) -> tuple[Path, bool]:
    """Returns where the export of weights is kept, and whether it exists already.

    The folder is in that of :func:`mgst_data.core.locations.cache_folder`. The name of the file depends on the weights,
    their card, and the versions of mgst and torch.

    Args:
        weights: Weights, see :func:`mgst_model.networks.read_card`.

    Raises:
        UsageError: if the weights are missing.
    """
    file = weights_file(weights)
    digest = hashlib.blake2b(f"{VERSION} {__version__} {torch.__version__}".encode(), digest_size=12)
    for part in (file, file.with_suffix(CARD)):
        digest.update(hashlib.blake2b(part.read_bytes()).digest())
    path = cache_folder() / "exports" / f"{digest.hexdigest()}{SUFFIXES['onnx']}"
    return path, path.is_file()


def export_once(weights: str | Path) -> Path:
    """Exports weights to ONNX with any number of frames, or returns the file of an earlier export.

    Args:
        weights: Weights, see :func:`mgst_model.networks.read_card`.

    Raises:
        UsageError: if the weights cannot be read or exported.
        MgstError: if the exported network gives other scores.
        OutputError: if the file cannot be written.
        ImportError: if the packages of the extra ``export`` are not installed.
    """
    path, there = kept_export(weights)
    if not there:
        loaded = load_network(weights)
        fold_batch_norms(loaded.network)
        crops = portraits(_CHECKED, frames=loaded.frames, size=loaded.size)
        export_network(loaded, path, "onnx", crops)
    return path
