"""What was extracted, and what augmentations make of it, to be looked at."""

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
