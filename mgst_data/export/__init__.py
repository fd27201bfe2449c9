"""Exports of shards to the formats of other tools: FiftyOne, Hugging Face datasets, COCO with videos, plain folders."""

from mgst_data.export.write import FORMATS, ExportSummary, export_tracks

__all__ = ["FORMATS", "ExportSummary", "export_tracks"]
