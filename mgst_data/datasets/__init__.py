"""Layouts of data sets, one per module: each converts a folder to video records."""

from mgst_data.datasets.av_deepfake1m import AVDeepfake1M
from mgst_data.datasets.celebdf import CelebDF
from mgst_data.datasets.celebdf_pp import CelebDFPP
from mgst_data.datasets.deeperforensics import DeeperForensics
from mgst_data.datasets.deepfake_eval import DeepfakeEval2024
from mgst_data.datasets.deepfake_timit import DeepfakeTIMIT
from mgst_data.datasets.deepfakebench import DeepfakeBench
from mgst_data.datasets.deepspeak import DeepSpeak
from mgst_data.datasets.df40 import DF40
from mgst_data.datasets.dfdc import DFDC
from mgst_data.datasets.dfdc_preview import DFDCPreview
from mgst_data.datasets.faceforensics import FaceForensics
from mgst_data.datasets.fakeavceleb import FakeAVCeleb
from mgst_data.datasets.find import find_layout, make_layout, scan_dataset
from mgst_data.datasets.folder import Folder
from mgst_data.datasets.forgerynet import ForgeryNet
from mgst_data.datasets.images import Images
from mgst_data.datasets.keys import video_key
from mgst_data.datasets.kodf import KoDF
from mgst_data.datasets.layout import LAYOUTS, Layout, Note, Scan
from mgst_data.datasets.leakage import check_leakage
from mgst_data.datasets.manifest import Manifest
from mgst_data.datasets.selection import select
from mgst_data.datasets.synthforensics import SynthForensics
from mgst_data.datasets.uadfv import UADFV
from mgst_data.datasets.wilddeepfake import WildDeepfake

__all__ = [
    "DF40",
    "DFDC",
    "LAYOUTS",
    "UADFV",
    "AVDeepfake1M",
    "CelebDF",
    "CelebDFPP",
    "DFDCPreview",
    "DeepSpeak",
    "DeeperForensics",
    "DeepfakeBench",
    "DeepfakeEval2024",
    "DeepfakeTIMIT",
    "FaceForensics",
    "FakeAVCeleb",
    "Folder",
    "ForgeryNet",
    "Images",
    "KoDF",
    "Layout",
    "Manifest",
    "Note",
    "Scan",
    "SynthForensics",
    "WildDeepfake",
    "check_leakage",
    "find_layout",
    "make_layout",
    "scan_dataset",
    "select",
    "video_key",
]
