"""Miniatures of the data sets that papers use: the directory layouts of the originals, with tiny videos."""

from __future__ import annotations

import json
from pathlib import Path

from face_videos import encode, faces

# Pairs of people of FaceForensics++ in each split.
PAIRS = {"train": [("000", "001"), ("006", "007")], "val": [("002", "003")], "test": [("004", "005")]}
FFPP, DEEPER = "FaceForensics++", "DeeperForensics-1.0"
# Videos of each data set, one real and one fake at least, and its lists.
VIDEOS: dict[str, list[str]] = {
    FFPP: [
        *(
            f"original_sequences/youtube/c23/videos/{name}.mp4"
            for pairs in PAIRS.values()
            for pair in pairs
            for name in pair
        ),
        *(f"manipulated_sequences/{method}/c23/videos/004_005.mp4" for method in ("Deepfakes", "FaceShifter")),
        "original_sequences/actors/c23/videos/01__kitchen_pan.mp4",
        "manipulated_sequences/DeepFakeDetection/c23/videos/01_02__kitchen_pan__YVGY8LOK.mp4",
    ],
    "Celeb-DF-v2": [
        "Celeb-real/id0_0000.mp4",
        "YouTube-real/00170.mp4",
        "Celeb-synthesis/id0_id1_0000.mp4",
    ],
    "DFDC": ["test/aaa.mp4", "test/bbb.mp4"],
    "DFDCP": ["original_videos/643669/643669_A_001.mp4", "method_A/1224068/1224068_A_001_1767194.mp4"],
    # One target is a training video of FaceForensics++, as in the official test list.
    DEEPER: ["manipulated_videos/end_to_end/000_M101.mp4", "manipulated_videos/end_to_end/004_W005.mp4"],
}


def _preview(label: str, target: str, swapped: str | None) -> dict[str, object]:
    return {"label": label, "set": "test", "augmentations": [], "target_id": target, "swapped_id": swapped}


LISTS: dict[str, dict[str, str]] = {
    FFPP: {f"splits/{split}.json": json.dumps(pairs) for split, pairs in PAIRS.items()},
    "Celeb-DF-v2": {
        "List_of_testing_videos.txt": "1 Celeb-real/id0_0000.mp4\n1 YouTube-real/00170.mp4\n"
        "0 Celeb-synthesis/id0_id1_0000.mp4\n"
    },
    "DFDC": {"test/labels.csv": "filename,label\naaa.mp4,0\nbbb.mp4,1\n"},
    "DFDCP": {
        "dataset.json": json.dumps(
            {
                VIDEOS["DFDCP"][0]: _preview("real", "643669", None),
                VIDEOS["DFDCP"][1]: _preview("fake", "1224068", "1767194"),
            }
        )
    },
    DEEPER: {f"lists/splits/{split}.txt": "" for split in ("train", "val")}
    | {"lists/splits/test.txt": "000_M101.mp4\n004_W005.mp4\n"},
}


def make_miniatures(root: Path, *, frames: int) -> None:
    """Writes all data sets. No two videos are the same.

    Args:
        root: Folder for the data sets.
        frames: Frames per video.
    """
    number = 0
    for name, videos in VIDEOS.items():
        for video in videos:
            path = root / name / video
            path.parent.mkdir(parents=True, exist_ok=True)
            encode(path, faces(frames, (10 + number, 20 + number // 2)))
            number += 1
        for place, text in LISTS[name].items():
            path = root / name / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
