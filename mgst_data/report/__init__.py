"""Reports on folders of shards: HTML pages with totals, distributions, and every track as pictures and numbers."""

from mgst_data.report.outliers import LIMIT, outliers
from mgst_data.report.pose import head_pose
from mgst_data.report.tracks import TrackFacts
from mgst_data.report.write import ReportSummary, write_report

__all__ = ["LIMIT", "ReportSummary", "TrackFacts", "head_pose", "outliers", "write_report"]
