"""What was extracted, to be looked at."""

from mgst_data.preview.sheet import contact_sheet, write_sheets

__all__ = ["contact_sheet", "write_sheets"]
