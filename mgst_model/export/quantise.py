"""8-bit integers: smaller and, on many processors, faster networks whose scores change a little."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from mgst_data.core import UsageError
from mgst_data.core.optional import need
from mgst_data.shards.storage import output_errors, write_atomic
from mgst_model.export.formats import KEY
from mgst_model.export.graph import INPUT, as_input
from mgst_model.export.runtime import load_onnx

# Layers that are computed in integers: nearly all of the time of a network.
_LAYERS = ["Conv", "MatMul", "Gemm"]
# Fewer segments are not enough to calibrate on one half and measure on the other.
LEAST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreChange:
    """How the scores of segments change by quantisation, on segments that it was not calibrated on.

    Attributes:
        mean: Mean absolute change of a score.
        largest: Largest absolute change.
        segments: Number of segments.
        verdicts: Number of segments whose score is on the other side of the threshold.
    """

    mean: float
    largest: float
    segments: int
    verdicts: int


def quantise(path: str | Path, out: str | Path, crops: UInt8[Tensor, "b t 3 h w"]) -> ScoreChange:
    """Writes a network in 8-bit integers, by the static quantiser of ONNX Runtime.

    The ranges of the values are calibrated on every other segment. The change of the scores is measured on the others,
    and written into the metadata of the file.

    Args:
        path: An ``.onnx`` file of :func:`mgst_model.export.export_network`.
        out: File to write.
        crops: Segments of real crops, at least 4.

    Returns:
        The change of the scores.

    Raises:
        UsageError: if there are too few segments, or the file cannot be read.
        ImportError: if the packages of the extra ``export`` are not installed.
        OutputError: if the file cannot be written.
    """
    if len(crops) < LEAST:
        hint = "give a folder with more videos"
        raise UsageError(f"int8 needs at least {LEAST} segments to calibrate and measure, got {len(crops)}", hint=hint)
    path, out = Path(path), Path(out)
    calibrate, measure = crops[::2], crops[1::2]
    with TemporaryDirectory() as folder:
        part = Path(folder) / "int8.onnx"
        _quantise(path, part, calibrate)
        before, after = load_onnx(path), load_onnx(part)
        scores = [_scores(one.network, measure) for one in (before, after)]
        change = (scores[0] - scores[1]).abs()
        sides = [one > before.threshold for one in scores]
        found = ScoreChange(
            mean=float(change.mean()),
            largest=float(change.max()),
            segments=len(measure),
            verdicts=int((sides[0] != sides[1]).sum()),
        )
        _describe(part, found, len(calibrate))
        with output_errors(out):
            out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(out, part.read_bytes())
    return found


def _quantise(path: Path, out: Path, crops: UInt8[Tensor, "b t 3 h w"]) -> None:
    need("onnx", "export")
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Segments(quantization.CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        def __init__(self) -> None:
            self.items: Iterator[Tensor] = iter(crops)

        def get_next(self) -> dict[str, Any] | None:
            item = next(self.items, None)
            return None if item is None else {INPUT: as_input(item[None]).numpy()}

    prepared = out.with_name("prepared.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are for the developers of the libraries
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(prepared),
            str(out),
            Segments(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=_LAYERS,
            nodes_to_exclude=_ends(prepared),
            per_channel=True,
            # Ranges are means over the segments: single extreme values do not widen them.
            extra_options={"CalibMovingAverage": True},
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )


def _ends(path: Path) -> list[str]:
    """Returns the first and the last layer, which stay in floating point: they are small, and change scores most."""
    import onnx

    layers = [node.name for node in onnx.load(str(path)).graph.node if node.op_type in _LAYERS]
    return [layers[0], layers[-1]] if len(layers) > 2 else []


def _scores(network: Any, crops: UInt8[Tensor, "b t 3 h w"]) -> Tensor:
    with torch.inference_mode():
        return torch.cat([network(as_input(one[None])).logit.sigmoid() for one in crops])


def _describe(path: Path, change: ScoreChange, calibrated: int) -> None:
    """Writes the change of the scores into the metadata."""
    import onnx

    model = onnx.load(str(path))
    for entry in model.metadata_props:
        if entry.key == KEY:
            about = json.loads(entry.value)
            about["int8"] = {
                "calibrated_on": calibrated,
                "score_change": {"mean": change.mean, "largest": change.largest, "segments": change.segments},
            }
            entry.value = json.dumps(about)
    onnx.save(model, str(path))
