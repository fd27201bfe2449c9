"""Exports a network, compares it with the original, and prints what was found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jaxtyping import UInt8
from torch import Tensor

from mgst_data.core import UsageError
from mgst_data.core.errors import printable
from mgst_data.shards.outputs import output_file
from mgst_model.evaluate.crops import InputSpec
from mgst_model.export.crops import portraits, shard_crops
from mgst_model.export.formats import LIMIT, SUFFIXES, Exported, export_network
from mgst_model.export.quantise import ScoreChange, quantise
from mgst_model.networks.checkpoint import PACKAGED, LoadedNetwork, load_network
from mgst_model.networks.folding import fold_batch_norms
from mgst_model.networks.hub import HubName, is_hub_name
from mgst_model.networks.remote_weights import is_weights_url

from ..common.progress import Work, display
from ..common.show import count, line, show_table, size, table

# Segments of crops to compare on: rendered, from shards, and to calibrate and measure integers.
_RENDERED, _REAL, _CALIBRATED = 4, 16, 64


def export_weights(
    weights: str | Path | None,
    to: str,
    out: str | Path | None,
    *,
    frames: int | None,
    int8: bool,
    crops: str | None,
    segments: int | None,
    as_json: bool,
) -> None:
    """Writes the file and prints the largest differences.

    Args:
        weights: File or folder of the weights, by path or URL, or ``hf://user/name``; None for those that come with
            mgst.
        to: Format.
        out: Path or URL of the file to write; None for one next to the weights.
        frames: Fixed number of frames; None for any number.
        int8: Whether to write 8-bit integers.
        crops: Folder or URL of shards; None for rendered faces.
        segments: Number of segments of crops; None for the default.
        as_json: Whether to print one JSON object.

    Raises:
        UsageError: if an option or the weights are not valid.
        MgstError: if the outputs differ.
        OutputError: if the file cannot be written.
        ImportError: if a package of the format is not installed.
    """
    if int8 and to != "onnx":
        raise UsageError(f"--int8 needs --to onnx, got --to {to}", hint="tools of the other runtimes quantise them")
    if int8 and crops is None:
        raise UsageError("--int8 needs --crops", hint="give a folder of shards with crops like those that you score")
    loaded = load_network(PACKAGED if weights is None else weights)
    if frames is not None and frames < loaded.shortest:
        raise UsageError(f"this network needs at least {loaded.shortest} frames, got --frames {frames}")
    fold_batch_norms(loaded.network)
    if out is not None and not str(out).lower().endswith(SUFFIXES[to]):
        what = f"a file of --to {to} must end in {SUFFIXES[to]}"
        raise UsageError(what, where=out, hint=f"use --out {str(out).removesuffix(Path(out).suffix)}{SUFFIXES[to]}")
    wanted = out or _beside(weights, loaded, to, int8=int8)
    work = Work("reading crops")
    with display(work, interval=None), output_file(wanted) as folder:
        path = folder.path / Path(wanted).name
        some = _crops(loaded, frames, crops, segments, int8=int8)
        work.tell(f"exporting to {to}")
        if not int8:
            done, change = export_network(loaded, path, to, some, frames=frames), None
        else:
            with TemporaryDirectory() as temporary:
                full = export_network(loaded, Path(temporary) / "full.onnx", to, some[:_REAL], frames=frames)
                work.tell("converting to 8-bit integers")
                change = quantise(full.path, path, some)
            done = full
        made = [path, path.with_suffix(".bin")] if done.format == "openvino" else [path]
        files = {folder.name(file): file.stat().st_size for file in made}
    if as_json:
        line(json.dumps(_json(done, files, change), indent=1))
    else:
        _show(done, files, change, crops, side=loaded.size)


def _beside(weights: str | Path | None, loaded: LoadedNetwork, to: str, *, int8: bool) -> Path:
    """Returns the default of ``--out``: next to the weights; for others than the user's, in the current folder."""
    ending = f"{'-int8' if int8 else ''}{SUFFIXES[to]}"
    if weights is None or loaded.weights is None:
        return Path(f"mgst{ending}")
    if is_weights_url(weights):
        return Path(loaded.weights.stem + ending)
    if is_hub_name(weights):
        return Path(HubName.of(weights).repo.partition("/")[2] + ending)
    return loaded.weights.with_name(loaded.weights.stem + ending)


def _crops(
    loaded: LoadedNetwork, frames: int | None, crops: str | None, segments: int | None, *, int8: bool
) -> UInt8[Tensor, "b t 3 h w"]:
    length = frames or loaded.frames
    if crops is None:
        return portraits(segments or _RENDERED, frames=length, size=loaded.size)
    spec = InputSpec.of(loaded)
    return shard_crops(crops, spec, count=segments or (_CALIBRATED if int8 else _REAL), frames=length)


def _show(
    done: Exported, files: Mapping[str, int], change: ScoreChange | None, crops: str | None, *, side: int
) -> None:
    made = table("output", "largest difference")
    for name, difference in done.differences.items():
        made.add_row(name, f"{difference:.1e}")
    kind = "crops of the shards" if crops else "rendered faces"
    line(f"compared with PyTorch on {count(done.segments, 'segment')} of {kind}; the limit is {LIMIT:g}")
    show_table(made)
    if change is not None:
        line(
            f"8-bit integers change the score of a segment by {change.mean:.4f} on average and by {change.largest:.4f} "
            f"at most; {change.verdicts:,} of {count(change.segments, 'segment')} change their verdict"
        )
    frames = f"{done.frames} frames" if done.frames else "any number of frames"
    line(f"input: frames (batch, {frames}, 3, {side}, {side}); outputs: {', '.join(done.outputs)}")
    for file, bytes_ in files.items():
        line(f"{printable(file)}  {size(bytes_)}")


def _json(done: Exported, files: Mapping[str, int], change: ScoreChange | None) -> dict[str, Any]:
    file, bytes_ = next(iter(files.items()))
    found: dict[str, Any] = {
        "file": printable(file),
        "format": done.format,
        "bytes": bytes_,
        "frames": done.frames,
        "outputs": list(done.outputs),
        "segments": done.segments,
        "largest_differences": dict(done.differences),
    }
    if change is not None:
        found["int8"] = {
            "mean_score_change": change.mean,
            "largest_score_change": change.largest,
            "segments": change.segments,
            "changed_verdicts": change.verdicts,
        }
    return found
