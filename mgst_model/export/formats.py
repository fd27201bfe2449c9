"""The formats of exported networks: each is written, read again, and compared with the original."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from mgst_data import __version__
from mgst_data.core import MgstError, UsageError
from mgst_data.core.optional import need
from mgst_data.shards.storage import output_errors, write_atomic
from mgst_model.export.graph import INPUT, OUTPUTS, ScoringGraph, as_input, trace
from mgst_model.export.session import session_of
from mgst_model.networks.checkpoint import LoadedNetwork, card_document

# Largest accepted difference of a score between the original and the exported network.
LIMIT = 1e-4
# Name of the description in the metadata of a file, and its version.
KEY, VERSION = "mgst", 1
Outputs = Mapping[str, Tensor]
Runner = Callable[[Tensor], Outputs]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A network that was exported and compared with the original.

    Attributes:
        path: The file. OpenVINO has a second file with the weights beside it.
        format: A name in :data:`FORMATS`.
        frames: Number of frames of each segment; None for any number.
        outputs: Names of the outputs, in their order.
        differences: Largest difference of each output from the original, over all compared segments.
        segments: Number of compared segments.
    """

    path: Path
    format: str
    frames: int | None
    outputs: tuple[str, ...]
    differences: Mapping[str, float]
    segments: int

    @property
    def difference(self) -> float:
        """Largest difference over all outputs."""
        return max(self.differences.values())


def export_network(
    loaded: LoadedNetwork,
    path: str | Path,
    to: str,
    crops: UInt8[Tensor, "b t 3 h w"],
    *,
    frames: int | None = None,
    limit: float = LIMIT,
) -> Exported:
    """Writes a network to a file for another runtime, if the file gives the same outputs.

    The number of segments is dynamic in all formats. The file describes its input in its metadata.

    Args:
        loaded: The network, on the CPU. Folded batch norms make it faster, see
            :func:`~mgst_model.networks.fold_batch_norms`.
        path: File to write.
        to: Format: "onnx", "torch-export" or "openvino".
        crops: Segments to compare the outputs on, of the size of the network; at least as many frames as it needs.
        frames: Number of frames of each segment; None for any number, so that short tracks can be scored, too.
        limit: Largest accepted difference of an output.

    Raises:
        UsageError: if the network cannot be exported, or the format is unknown.
        ImportError: if the package of the format is not installed.
        MgstError: if an output differs by more than the limit, with the reason "export_differs". Then no file is left.
        OutputError: if the file cannot be written.
    """
    if to not in FORMATS:
        raise UsageError(f"unknown format {to!r}; known: {', '.join(FORMATS)}")
    write, run = FORMATS[to]
    path = Path(path)
    program, names = trace(loaded, frames=frames)
    about = description(loaded, names, frames=frames)
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    # The names of temporary files are the final ones, because a file of OpenVINO knows the name of the other.
    with output_errors(path), TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        part = Path(folder) / path.name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are for the developers of the libraries
            write(program, names, about, part)
        differences = compare(run(part, names), loaded.network, crops, fixed=frames, shortest=loaded.shortest)
        worst = max(differences, key=lambda name: differences[name])
        if not differences[worst] <= limit:
            what = f"{worst} of the exported network differs by {differences[worst]:.2g}, more than {limit:g}"
            hint = "the file was not kept; try another format, or report the backbone"
            raise MgstError(what, where=path, hint=hint, reason="export_differs")
        for file in Path(folder).iterdir():
            write_atomic(path.with_name(file.name), file.read_bytes())
    return Exported(path=path, format=to, frames=frames, outputs=names, differences=differences, segments=len(crops))


def description(loaded: LoadedNetwork, names: tuple[str, ...], *, frames: int | None) -> dict[str, Any]:
    """Returns what a file says about itself: its input, its outputs and the card of the weights.

    Args:
        loaded: The network.
        names: Names of its outputs.
        frames: Number of frames of each segment; None for any number.
    """
    statistics = _statistics(loaded.network)
    return {
        "version": VERSION,
        "made_by": f"mgst {__version__}",
        "input": {
            "name": INPUT,
            "shape": ["batch", frames or "frames", 3, loaded.size, loaded.size],
            "colour": "RGB, float32, in [0, 1]",
            "normalisation": {"inside_the_network": True, **statistics},
            "frames": frames,
            "usual_frames": loaded.frames,
            "least_frames": frames or loaded.shortest,
            "face_margin": loaded.face_margin,
        },
        "outputs": {name: OUTPUTS[name] for name in names},
        "int8": False,
        "card": card_document(loaded.card),
    }


def compare(
    run: Runner, network: nn.Module, crops: UInt8[Tensor, "b t 3 h w"], *, fixed: int | None, shortest: int
) -> dict[str, float]:
    """Returns the largest difference of each output, over all segments together, one alone and a short one.

    Args:
        run: Computes the outputs of the exported network.
        network: The original network.
        crops: Segments to compare on.
        fixed: Number of frames of each segment; None if it is free.
        shortest: Smallest number of frames of a free segment.
    """
    graph = ScoringGraph(network).eval()
    some = crops if fixed is None else crops[:, :fixed]
    differences: dict[str, float] = {}
    for batch in (some, some[:1]) if fixed else (some, some[:1], some[:1, :shortest]):
        frames = as_input(batch)
        names = graph.names(frames)
        with torch.inference_mode():
            expected = dict(zip(names, graph(frames), strict=True))
        found = run(frames)
        for name, value in expected.items():
            difference = float((found[name] - value).abs().max())
            # NaN counts as a difference.
            differences[name] = max(differences.get(name, 0.0), difference if difference >= 0 else float("inf"))
    return differences


def _statistics(network: nn.Module) -> dict[str, Any]:
    """Returns mean and standard deviation that the spatial stream subtracts and divides by; empty without one."""
    owner = getattr(network, "spatial", None) or network
    found = {name: getattr(owner, name, None) for name in ("mean", "std")}
    return {name: value.flatten().tolist() for name, value in found.items() if isinstance(value, Tensor)}


def _write_onnx(program: Any, names: tuple[str, ...], about: Mapping[str, Any], path: Path) -> None:
    need("onnxscript", "export")
    need("onnxruntime", "export")
    axes = {0: "batch"} | ({} if about["input"]["frames"] else {1: "frames"})
    made = torch.onnx.export(
        program,
        input_names=[INPUT],
        output_names=list(names),
        dynamic_shapes=(axes,),
        dynamo=True,
        verbose=False,
        external_data=False,
    )
    if made is None:
        raise UsageError("torch has returned no ONNX program")
    made.model.metadata_props[KEY] = json.dumps(about)
    made.save(path, external_data=False)


def _run_onnx(path: Path, names: tuple[str, ...]) -> Runner:
    session = session_of(path)

    def run(frames: Tensor) -> Outputs:
        return dict(zip(names, map(torch.from_numpy, session.run(None, {INPUT: frames.numpy()})), strict=True))

    return run


def _write_torch(program: Any, names: tuple[str, ...], about: Mapping[str, Any], path: Path) -> None:  # noqa: ARG001
    torch.export.save(program, path, extra_files={f"{KEY}.json": json.dumps(about)})


def _run_torch(path: Path, names: tuple[str, ...]) -> Runner:
    # This process has written the file. mgst loads no such file of others: torch may unpickle parts of it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.export.load(path).module()

    def run(frames: Tensor) -> Outputs:
        with torch.no_grad():
            return dict(zip(names, module(frames), strict=True))

    return run


def _write_openvino(program: Any, names: tuple[str, ...], about: Mapping[str, Any], path: Path) -> None:
    need("openvino", "openvino")
    import openvino

    # Not by openvino.convert_model, which may send statistics of its use.
    with TemporaryDirectory() as folder:
        _write_onnx(program, names, about, Path(folder) / "network.onnx")
        model = openvino.Core().read_model(Path(folder) / "network.onnx")
    model.set_rt_info(json.dumps(about), [KEY])
    openvino.save_model(model, path, compress_to_fp16=False)


def _run_openvino(path: Path, names: tuple[str, ...]) -> Runner:
    import openvino

    core = openvino.Core()
    # float32 is the format of the original; on some processors the default is bfloat16.
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(path), "CPU", options)

    def run(frames: Tensor) -> Outputs:
        found = compiled(frames.numpy())
        return {name: torch.from_numpy(found[name].copy()) for name in names}

    return run


# How each format is written, and how a written file is run. Suffixes are in SUFFIXES.
FORMATS: dict[str, tuple[Callable[[Any, tuple[str, ...], Mapping[str, Any], Path], None],
                         Callable[[Path, tuple[str, ...]], Runner]]] = {
    "onnx": (_write_onnx, _run_onnx),
    "torch-export": (_write_torch, _run_torch),
    "openvino": (_write_openvino, _run_openvino),
}  # fmt: skip
SUFFIXES = {"onnx": ".onnx", "torch-export": ".pt2", "openvino": ".xml"}
