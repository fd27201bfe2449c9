"""Contact sheets: one row per chunk, and pictures side by side."""

from __future__ import annotations

import numpy as np
import pytest
from shards.synthetic_shards import CONFIG, chunk_of, record_of, write_shard

from mgst_data.preview.sheet import _rows, contact_sheet, write_sheets
from mgst_data.shards import ShardReader, decode_image, open_folder

SIDE, CAPTION = 32, 18


@pytest.mark.parametrize(
    ("lengths", "columns", "expected"),
    [
        ([5, 4], 8, [(0, 1), (1, 2)]),
        ([1, 1, 1], 2, [(0, 2), (2, 3)]),
        ([1, 5, 1, 1], 4, [(0, 1), (1, 2), (2, 4)]),
        ([1, 1], 1, [(0, 1), (1, 2)]),
        ([], 8, []),
    ],
)
def test_chunks_of_one_frame_share_rows(lengths, columns, expected):
    assert [(row.start, row.stop) for row in _rows(lengths, columns)] == expected


def test_pictures_fill_a_row_and_a_video_has_its_own():
    chunks = [chunk_of(record_of(key), t=t) for key, t in (("a", 1), ("b", 1), ("c", 3))]
    sheet = contact_sheet(chunks, columns=4, side=SIDE)
    assert sheet.shape == (2 * (SIDE + CAPTION), 4 * SIDE, 3)
    cells = [
        sheet[row * (SIDE + CAPTION) + CAPTION :][:SIDE, column * SIDE : (column + 1) * SIDE]
        for row in range(2)
        for column in range(4)
    ]
    assert [bool((cell != 255).any()) for cell in cells] == [True, True, False, False, True, True, True, False]
    assert not np.array_equal(cells[0], cells[1])


def test_sheets_hold_every_picture(tmp_path):
    records = [record_of(f"v{i}") for i in range(7)]
    with open_folder(tmp_path / "shards", CONFIG, records, videos_per_shard=9) as folder:
        for task in folder.missing(records):
            write_shard(tmp_path / "shards", task, extract=lambda record: [chunk_of(record, t=1)])
        folder.finish()
    reader = ShardReader.open(tmp_path / "shards")
    assert write_sheets(reader, tmp_path / "sheets", rows=2, columns=2, side=SIDE) == 2
    pictures = [decode_image((tmp_path / "sheets" / f"sheet-000{i}.png").read_bytes()) for i in (0, 1)]
    assert [picture.shape for picture in pictures] == [(2 * (SIDE + CAPTION), 2 * SIDE, 3)] * 2
    last = pictures[1][SIDE + 2 * CAPTION :]
    assert (last[:, :SIDE] != 255).any()
    assert (last[:, SIDE:] == 255).all()  # 7 pictures fill 3.5 rows
