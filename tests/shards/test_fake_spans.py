"""A video that is fake in parts: its frames outside these parts are real everywhere."""

import json
from dataclasses import replace

import pytest
import torch
from synthetic_shards import CONFIG, chunk_of, record_of, write_shard

from mgst_data.core import ShardError
from mgst_data.core.sampling import RandomWindow
from mgst_data.shards import (
    SegmentDataset,
    ShardReader,
    collate_segments,
    decode_chunk,
    encode_chunk,
    open_folder,
    webdataset_pipeline,
)

# Frames 12 to 14 of 25 per second, and frames that no chunk has.
SPANS = ((0.48, 0.6), (1.0, 2.0))


@pytest.fixture
def record():
    return replace(record_of("a", label=1), fake_spans=SPANS)


@pytest.fixture
def folder(record, tmp_path):
    """Frames 0 to 9, without a fake frame, and frames 10 to 19."""
    records = [record, record_of("b"), record_of("c", label=1)]

    def chunks(one):
        return [chunk_of(one, chunk=number, t=10, masks=bool(one.label)) for number in range(2)]

    with open_folder(tmp_path, CONFIG, records) as opened:
        for task in opened.missing(records):
            write_shard(tmp_path, task, extract=chunks)
        opened.finish()
    return tmp_path


def test_frames_are_fake_from_the_start_of_a_span_to_before_its_end(record):
    times = torch.arange(9, 17, dtype=torch.float64) / 25
    assert record.fake_frames(times).tolist() == [False] * 3 + [True] * 3 + [False] * 2
    third = torch.tensor([0.48 - 1e-9, 0.6 - 1e-9, 0.6 - 1e-3], dtype=torch.float64)  # rounding of a time base
    assert record.fake_frames(third).tolist() == [True, False, True]
    assert replace(record, fake_spans=()).fake_frames(times).all()
    assert not record_of("b").fake_frames(times).any()


def test_a_sample_carries_the_spans(record):
    sample = encode_chunk(chunk_of(record))
    assert decode_chunk(sample).record.fake_spans == SPANS
    info = json.loads(sample["json"])
    assert info["fake_spans"] == [list(span) for span in SPANS]
    del info["fake_spans"]  # as in shards of earlier versions
    assert decode_chunk({**sample, "json": json.dumps(info).encode()}).fake_frames.all()
    for damaged in ([[1]], [["a", "b"]], 3, [[2, 1]]):
        with pytest.raises(ShardError):
            decode_chunk({**sample, "json": json.dumps({**info, "fake_spans": damaged}).encode()})


def test_a_chunk_without_fake_frames_is_real(folder):
    reader = ShardReader.open(folder)
    labels = {
        (reader.videos[v], i % 2): int(label)
        for i, (v, label) in enumerate(zip(reader.video, reader.label, strict=True))
    }
    assert labels == {("a", 0): 0, ("a", 1): 1, ("b", 0): 0, ("b", 1): 0, ("c", 0): 1, ("c", 1): 1}
    assert len(ShardReader.open(folder, label=0)) == 2  # videos are chosen by their own label


def expected(key, indices):
    return [int(key[0] == "c" or (key[0] == "a" and 12 <= index < 15)) for index in indices.tolist()]


def test_segments_have_labels_of_frames(folder):
    dataset = SegmentDataset(ShardReader.open(folder), RandomWindow(5), size=16)
    samples = [dataset[i] for _ in range(3) for i in range(len(dataset))]
    samples += list(webdataset_pipeline(str(folder), frames=5, size=16))
    partial = 0
    for sample in samples:
        wanted = expected(sample.key, sample.frame_indices)
        assert sample.frame_label.tolist() == wanted
        assert sample.label == max(wanted)
        partial += 0 < sum(wanted) < 5
    assert partial
    batch = collate_segments(samples[:6])
    assert batch.frame_label.tolist() == [sample.frame_label.tolist() for sample in samples[:6]]
    assert torch.equal(batch[1].frame_label, samples[1].frame_label)


def test_masks_and_patch_labels_are_real_outside_the_spans(folder):
    dataset = SegmentDataset(ShardReader.open(folder), RandomWindow(10), size=16)
    batch = dataset.__getitems__([0, 1, 2, 4])
    segment = batch.to_segment(grid=4)
    assert segment.label.tolist() == [0, 1, 0, 1]
    inside = torch.tensor(
        [expected(key, index) for key, index in zip(batch.keys, batch.frame_indices, strict=True)]
    ).bool()
    assert torch.equal(segment.frame_label.bool(), inside)
    assert (segment.mask[~inside] == 0).all()
    assert (segment.patch_label[~inside] == 0).all()
    assert (segment.mask[inside] > 0).flatten(1).any(dim=1).all()

    unmasked = replace(batch, mask=None, has_mask=torch.zeros(4, dtype=torch.bool)).to_segment(grid=4)
    assert torch.equal(unmasked.frame_label.bool(), inside)
    assert torch.equal(unmasked.patch_label, inside[:, :, None, None].expand(-1, -1, 4, 4).float())
