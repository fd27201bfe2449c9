"""Reading video: every frame, in order, upright."""
