"""Links the real clips into the directory layout of FaceForensics++."""

from __future__ import annotations

import json
from pathlib import Path

COMPRESSION = "c23"


def link_clips(clips: Path, root: Path) -> dict[str, str]:
    """Builds the tree; returns the clip behind each name of a video in it.

    Real clips are numbered. A graphics swap is named after its target and source, which are both among them; an
    autoencoder swap after its target and an identity of its own. Fakes without a target among the clips stay out.
    """
    reals = sorted((clips / "real").iterdir())
    number = {path.stem: f"{i:03d}" for i, path in enumerate(reals)}
    linked = {}

    def link(path: Path, folder: str, name: str) -> None:
        there = root / folder / COMPRESSION / "videos" / f"{name}.mp4"
        there.parent.mkdir(parents=True, exist_ok=True)
        there.symlink_to(path.resolve())
        linked[name] = path.name

    for path in reals:
        link(path, "original_sequences/youtube", number[path.stem])
    for i, path in enumerate(sorted((clips / "fake").iterdir())):
        if path.stem.startswith("gfxswap_"):
            target, source = path.stem.removeprefix("gfxswap_").split("__from_")
            link(path, "manipulated_sequences/FaceSwap", f"{number[target]}_{number[source]}")
        elif path.stem.endswith("_swap"):
            target = path.stem.removesuffix("_swap") + "_orig"
            link(path, "manipulated_sequences/Deepfakes", f"{number[target]}_{900 + i}")
    # Every identity appears in one split: pairs of targets and sources in the test split, the others in train.
    fakes = [name.split("_") for name in linked if "_" in name]
    used = {part for pair in fakes for part in pair}
    rest = [name for name in linked if "_" not in name and name not in used]
    pairs = {"train": [[a, b] for a, b in zip(rest[::2], rest[1::2], strict=False)], "val": [], "test": fakes}
    (root / "splits").mkdir()
    for split, listed in pairs.items():
        (root / "splits" / f"{split}.json").write_text(json.dumps(listed))
    return linked
