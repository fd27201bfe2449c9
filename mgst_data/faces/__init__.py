"""Detection, tracking, landmarks and crops of faces."""
