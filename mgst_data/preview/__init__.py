"""Draws pictures and videos of extracted faces, self-blends and scores, for visual checks."""

from mgst_data.preview.blend import BlendDraw, blend_sheet, draw_frame, gallery
from mgst_data.preview.sheet import contact_sheet, write_sheets
from mgst_data.preview.stream import encode_video

__all__ = [
    "BlendDraw",
    "blend_sheet",
    "contact_sheet",
    "draw_frame",
    "encode_video",
    "gallery",
    "write_sheets",
]
