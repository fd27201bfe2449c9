"""One layout a file: a folder on disk becomes video records."""

from mgst_data.datasets.celebdf import CelebDF
from mgst_data.datasets.deeperforensics import DeeperForensics
from mgst_data.datasets.df40 import DF40
from mgst_data.datasets.dfdc import DFDC
from mgst_data.datasets.dfdc_preview import DFDCPreview
from mgst_data.datasets.faceforensics import FaceForensics
from mgst_data.datasets.find import find_layout, make_layout, scan_dataset
from mgst_data.datasets.folder import Folder
from mgst_data.datasets.keys import video_key
from mgst_data.datasets.layout import LAYOUTS, Layout, Note, Scan
from mgst_data.datasets.leakage import check_leakage
from mgst_data.datasets.manifest import Manifest
from mgst_data.datasets.selection import select
from mgst_data.datasets.wilddeepfake import WildDeepfake

__all__ = [
    "DF40",
    "DFDC",
    "LAYOUTS",
    "CelebDF",
    "DFDCPreview",
    "DeeperForensics",
    "FaceForensics",
    "Folder",
    "Layout",
    "Manifest",
    "Note",
    "Scan",
    "WildDeepfake",
    "check_leakage",
    "find_layout",
    "make_layout",
    "scan_dataset",
    "select",
    "video_key",
]
