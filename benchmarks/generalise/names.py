"""Names in tables and results: kinds of fakes, folders, and properties of real videos. Imports nothing."""

from __future__ import annotations

CLIPS, STILLS = "clips", "stills"
SWAPS = ("autoencoder swap", "graphics swap", "swap")
OTHERS = ("lip-sync", "reenactment", "talking head", "generator")
KINDS = (*SWAPS, *OTHERS)
ALL_SWAPS, ALL_OTHERS = "all swaps", "all others"
GROUPS: dict[str, tuple[str, ...]] = {**{kind: (kind,) for kind in KINDS}, ALL_SWAPS: SWAPS, ALL_OTHERS: OTHERS}
SHARPNESS, FACE_SIZE, BRIGHTNESS, BITS = "sharpness", "face size", "skin brightness", "bits per pixel"
PROPERTIES = {
    SHARPNESS: "mean absolute Laplacian of the face at 160 pixels, grey levels",
    FACE_SIZE: "square root of the area of the face box, pixels of the video",
    BRIGHTNESS: "median L* (CIELAB) of cheeks and nose",
    BITS: "bits of the file per pixel of its frames",
}
