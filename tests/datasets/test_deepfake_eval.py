"""The layout of Deepfake-Eval-2024, whose labels are in one table."""

import pytest

from mgst_data.core import LayoutError
from mgst_data.datasets import DeepfakeEval2024, find_layout, scan_dataset
from mgst_data.testing import check_layout

TABLE = """\
Filename,Date,Video Ground Truth,Audio Ground Truth,Public Comments,Finetuning Set
oU0MuTlffWBW8HzTdz78Z0XkiYw.mp4,2024-11-14,Fake,Unknown,"lip sync is off, obviously",train
N5cLQEZoxDfUq7lBNfU4wq6VcLI.mp4,2024-11-13,Real,Fake,,test
HICemuEclIn-ZDbqZVUULNCfNMI.mp4,2024-11-11,Real,Real,,test
-QVbWlwGqPkhOTrOkdYjuFyyNh4.mp4,2024-11-14,Unknown,Unknown,"audio ""sounds"" fake",test
"""
NAMES = [line.partition(",")[0] for line in TABLE.splitlines()[1:]]
VIDEOS = [f"video-data/{name}" for name in NAMES]


@pytest.mark.parametrize("name", ["video-metadata-publish.csv", "video-metadata-publish-with-links.csv"])
def test_label_and_split_come_from_the_table(make_tree, rows, name):
    root = make_tree([*VIDEOS, "audio-data/x.mp3", "image-data/x.jpg"], {name: TABLE})
    assert find_layout(root) == "deepfake_eval_2024"
    check_layout(DeepfakeEval2024(), root)
    scan = scan_dataset(root)
    assert rows(scan) == [
        (VIDEOS[2], 0, "test", "real", "", ""),
        (VIDEOS[1], 0, "test", "real", "", ""),
        (VIDEOS[0], 1, "train", "Deepfake-Eval-2024", "", ""),
    ]
    assert {record.dataset for record in scan.records} == {"deepfake_eval_2024"}
    assert [(note.where, note.reason) for note in scan.notes] == [(".", "no_identity"), (VIDEOS[3], "no_label")]


def test_missing_and_unlisted_videos_give_notes(make_tree):
    scan = scan_dataset(make_tree([*VIDEOS[1:], "video-data/x.mp4"], {"video-metadata-publish.csv": TABLE}))
    found = {(note.where, note.reason) for note in scan.notes}
    assert {(VIDEOS[0], "missing_video"), ("video-data/x.mp4", "no_label")} <= found


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("Video Ground Truth", "Label", "columns are missing"), ('obviously",train', 'obviously",fit', r"\.csv:2: no")],
)
def test_an_error_in_the_table_names_it(make_tree, old, new, message):
    root = make_tree(VIDEOS, {"video-metadata-publish.csv": TABLE.replace(old, new)})
    with pytest.raises(LayoutError, match=message):
        scan_dataset(root)
