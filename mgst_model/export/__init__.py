"""Exports a network to files for other runtimes: ONNX, torch.export, OpenVINO. Libraries are imported when needed."""

from mgst_model.export.crops import portraits, shard_crops
from mgst_model.export.formats import FORMATS, Exported, export_network
from mgst_model.export.graph import OUTPUTS, ScoringGraph
from mgst_model.export.quantise import ScoreChange, quantise
from mgst_model.export.runtime import ExportedNetwork, kept_export, load_onnx

__all__ = [
    "FORMATS",
    "OUTPUTS",
    "Exported",
    "ExportedNetwork",
    "ScoreChange",
    "ScoringGraph",
    "export_network",
    "kept_export",
    "load_onnx",
    "portraits",
    "quantise",
    "shard_crops",
]
