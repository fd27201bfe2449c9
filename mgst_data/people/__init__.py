"""Who is in the picture: persons as neutral codes, splits by person, leakage, and near-duplicates. Nobody is named."""

from mgst_data.people.cluster import THRESHOLD, UNCERTAIN, Doubt, cluster
from mgst_data.people.duplicates import Duplicate, near_duplicates
from mgst_data.people.embed import FaceEmbedder, TrackFaces, embed_folders
from mgst_data.people.find import People, Video, find_people, video_reports
from mgst_data.people.leaks import Leak, draw_pair, effective_splits, find_leaks
from mgst_data.people.split import connected_videos, split_by_people

__all__ = [
    "THRESHOLD",
    "UNCERTAIN",
    "Doubt",
    "Duplicate",
    "FaceEmbedder",
    "Leak",
    "People",
    "TrackFaces",
    "Video",
    "cluster",
    "connected_videos",
    "draw_pair",
    "effective_splits",
    "embed_folders",
    "find_leaks",
    "find_people",
    "near_duplicates",
    "split_by_people",
    "video_reports",
]
