import dataclasses
import itertools
import pickle

import cv2
import numpy as np
import pytest
import torch
from synthetic_shards import chunk_of, record_of, write_shard
from torch.utils.data import ConcatDataset, DataLoader, StackDataset, Subset

from mgst_data.core import ShardError, UsageError
from mgst_data.core.sampling import CentreWindow, EvenlySpaced, RandomWindow
from mgst_data.shards import (
    Draw,
    SegmentDataset,
    SegmentLoader,
    SegmentSampler,
    ShardReader,
    collate_segments,
    encode_image,
    encode_mask,
    open_folder,
    schema,
    warn_and_skip,
)
from mgst_data.shards.images import decode_image


@pytest.fixture
def make_loader(make_folder):
    reader = None

    def make(choose=RandomWindow(3), *, size=None, workers=0, batch_size=4, on_error=None, folder=None, **options):  # noqa: B008
        nonlocal reader
        reader = folder or reader or ShardReader.open(make_folder())
        handler = {"on_error": on_error} if on_error else {}
        dataset = SegmentDataset(reader, choose, size=size, **handler)
        return SegmentLoader(dataset, SegmentSampler(dataset.reader, batch_size, **options), workers=workers)

    return make


def content(batches):
    return [(batch.keys, batch.frame_indices.tolist(), batch.frames.sum().item()) for batch in batches]


def same(a, b):
    """Returns whether two batches are bit-identical."""
    columns = [(getattr(a, field.name), getattr(b, field.name)) for field in dataclasses.fields(a)]
    return all(torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in columns)


def test_a_batch_has_the_content_of_its_chunks(make_loader):
    loader = make_loader(CentreWindow(3), shuffle=False)
    chunks = {chunk.key: chunk for chunk in loader.sampler.reader}
    seen = []
    for batch in loader:
        assert batch.mask is None
        assert batch.frames.dtype == torch.uint8
        for i, key in enumerate(batch.keys):
            chunk = chunks[key]
            assert batch.frame_indices[i].tolist() == chunk.frame_indices[1:4].tolist()
            pictures = np.stack(list(chunk.frames([1, 2, 3])))
            assert np.array_equal(batch.frames[i].permute(0, 2, 3, 1).numpy(), pictures)
            torch.testing.assert_close(batch.landmarks[i], chunk.landmarks[1:4])
            assert batch.label[i] == chunk.record.label
            assert batch.valid[i].tolist() == [bool(v.float().mean() >= 0.9) for v in chunk.valid[1:4]]
        seen += batch.keys
    assert seen == list(chunks)


def test_only_the_frames_of_the_segments_are_decoded(make_loader, monkeypatch):
    decoded = []
    monkeypatch.setattr(schema, "decode_image", lambda data: decoded.append(1) or decode_image(data))
    loader = make_loader(RandomWindow(2))
    batches = list(loader)
    assert len(decoded) == 2 * len(loader.sampler.reader) == 2 * sum(map(len, batches))


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(make_loader, workers):
    alone, helped = make_loader(), make_loader(workers=workers)
    for _ in range(2):  # two epochs
        assert content(alone) == content(helped)


@pytest.fixture
def dataset(make_folder):
    return SegmentDataset(ShardReader.open(make_folder()), RandomWindow(3))


def test_a_data_set_has_a_length_and_integer_indices(dataset):
    keys = [chunk.key for chunk in dataset.reader]
    assert len(dataset) == len(keys)
    assert [sample.key for sample in dataset] == keys  # the iteration ends at the first IndexError
    last = len(keys) - 1
    for index in (last, -1, np.int64(last), torch.tensor(last)):
        assert same(collate_segments([dataset[index]]), collate_segments([dataset[last]]))
    assert dataset[-len(keys)].key == keys[0]
    for index in (len(keys), -len(keys) - 1):
        with pytest.raises(IndexError, match=f"index {index} is out of range for a data set of {len(keys)} segments"):
            dataset[index]
    with pytest.raises(TypeError, match="slice"):
        dataset[:2]


def test_a_sample_is_a_row_of_its_batch(dataset):
    draws = [Draw(i, 7 * i) for i in (4, 0, 2)]
    batch, samples = dataset.__getitems__(draws), [dataset[draw] for draw in draws]
    assert [sample.frames.shape for sample in batch] == [(3, 3, 16, 16)] * 3
    assert same(collate_segments(samples), batch)
    assert same(collate_segments(list(batch)), batch)
    assert collate_segments(batch) is batch
    assert collate_segments(samples).frames.stride() == batch.frames.stride()  # channels-last


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("options", [{}, {"collate_fn": collate_segments}])
def test_a_data_loader_shuffles_and_batches_the_data_set(dataset, workers, options):
    def batches(seed, **more):
        generator = torch.Generator().manual_seed(seed)
        return list(DataLoader(dataset, 2, shuffle=True, num_workers=workers, generator=generator, **options, **more))

    keys = [key for batch in batches(0) for key in batch.keys]
    assert sorted(keys) == sorted(chunk.key for chunk in dataset.reader)
    assert keys == [key for batch in batches(0) for key in batch.keys]
    assert keys != [key for batch in batches(1) for key in batch.keys]
    count = len(dataset)
    assert [len(batch) for batch in batches(0)] == [2] * (count // 2) + [1] * (count % 2)
    assert [len(batch) for batch in batches(0, drop_last=True)] == [2] * (count // 2)
    # A segment depends neither on its batch nor on the process that reads it.
    by_key = {sample.key: collate_segments([sample]) for sample in dataset}
    assert all(same(collate_segments([sample]), by_key[sample.key]) for batch in batches(1) for sample in batch)


def test_subsets_and_other_collate_functions_work(dataset):
    generator = torch.Generator()
    for made in (Subset(dataset, [3, 1]), ConcatDataset([Subset(dataset, [3]), Subset(dataset, [1])])):
        (batch,) = DataLoader(made, 2, generator=generator)
        assert batch.keys == (dataset[3].key, dataset[1].key)
        (labels,) = DataLoader(made, 2, generator=generator, collate_fn=lambda samples: [s.label for s in samples])
        assert labels == [dataset[3].label, dataset[1].label]
    (pairs,) = DataLoader(StackDataset(dataset, range(len(dataset))), len(dataset), generator=generator)
    assert same(pairs[0], dataset.__getitems__(range(len(dataset))))
    assert pairs[1].tolist() == list(range(len(dataset)))


@pytest.mark.parametrize("workers", [0, 1])
def test_frames_depend_on_seed_epoch_and_number(dataset, workers):
    loader = DataLoader(dataset, 4, num_workers=workers, persistent_workers=workers > 0, generator=torch.Generator())

    def starts(epoch):
        dataset.set_epoch(epoch)
        return [int(first) for batch in loader for first in batch.frame_indices[:, 0] % 10]

    first, second = starts(0), starts(1)
    assert set(first) == {0, 1, 2}  # all positions of 3 frames in 5
    assert first != second
    assert starts(0) == first
    other = SegmentDataset(dataset.reader, dataset.choose, seed=1)
    assert [int(sample.frame_indices[0]) % 10 for sample in other] != first


@pytest.mark.timeout(60)
def test_workers_use_one_opencv_thread(dataset):
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (31, 31), 5)  # starts the thread pool of OpenCV
        count = DataLoader(
            dataset, num_workers=2, collate_fn=lambda samples: cv2.getNumThreads(), generator=torch.Generator()
        )
        assert set(count) == {1}
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize("world", [2, 3])
def test_processes_and_workers_together_read_every_chunk_once(make_loader, world):
    batches = [batch for rank in range(world) for batch in make_loader(rank=rank, world=world, workers=rank % 2)]
    keys = [key for batch in batches for key in batch.keys]
    assert sorted(keys) == sorted(chunk.key for chunk in make_loader().sampler.reader)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stopped_epoch_resumes_with_the_remaining_batches(make_loader, workers):
    whole, second = content(loader := make_loader()), content(loader)
    stopped = make_loader(workers=workers)
    begun = content(itertools.islice(stopped, 3))
    state = pickle.loads(pickle.dumps(stopped.state_dict()))
    resumed = make_loader(workers=workers)
    resumed.load_state_dict(state)
    assert len(resumed) == len(whole) - 3
    assert begun + content(resumed) == whole
    assert content(resumed) == second
    # The stopped loader continues at the same position.
    assert content(stopped) == whole[3:]


def test_the_state_of_other_shards_or_another_seed_is_refused(make_loader, make_folder):
    state = make_loader().state_dict()
    with pytest.raises(UsageError, match="another seed"):
        make_loader(seed=1).load_state_dict(state)
    other = ShardReader.open(make_folder("other", skip={"v00": "no_face"}))
    with pytest.raises(UsageError, match="other shards"):
        make_loader(folder=other).load_state_dict(state)


def test_scaling_moves_landmarks_and_masks_with_the_crop(tmp_path):
    size, at = 16, (4, 9)  # column, row
    picture, mask = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.uint8)
    picture[at[1], at[0]] = mask[at[1], at[0]] = 255
    base = chunk_of(record_of("v", label=1), image_format="png", k=1)
    chunk = dataclasses.replace(
        base,
        landmarks=torch.tensor(at, dtype=torch.float32).expand(5, 1, 2).contiguous(),
        images=(encode_image(picture, image_format="png"),) * 5,
        masks=(encode_mask(mask),) * 5,
    )
    reader = folder_of(tmp_path, [chunk])
    for wanted in (8, 12, 16, 48):
        batch = collate_segments([SegmentDataset(reader, CentreWindow(1), size=wanted)[0]])
        assert batch.frames.shape == (1, 1, 3, wanted, wanted)
        for image in (batch.frames[0, 0, 0].double(), batch.mask[0, 0, 0].double()):
            rows, columns = torch.meshgrid(torch.arange(wanted), torch.arange(wanted), indexing="ij")
            centre = torch.stack([(columns * image).sum(), (rows * image).sum()]) / image.sum()
            torch.testing.assert_close(centre.float(), batch.landmarks[0, 0, 0], atol=0.3, rtol=0)


def folder_of(path, chunks):
    """Writes a folder with one shard of these chunks; each chunk is from another video."""
    records = [chunk.record for chunk in chunks]
    by_key = {chunk.record.key: [chunk] for chunk in chunks}
    with open_folder(path / "one", {}, records) as folder:
        for task in folder.missing(records):
            write_shard(path / "one", task, extract=lambda record: by_key[record.key])
    return ShardReader.open(path / "one")


def test_crops_of_several_sizes_are_extended_or_scaled(tmp_path):
    still = chunk_of(record_of("c", label=1), t=1, size=20, image_format="png", masks=True)
    crops = [chunk_of(record_of("a"), size=16), chunk_of(record_of("b"), size=24), still]
    reader = folder_of(tmp_path, crops)
    rows = [reader.videos.index(name) for name in "abc"]
    dataset = SegmentDataset(reader, CentreWindow(1))
    batch = dataset.__getitems__(rows)
    assert batch.frames.shape == (3, 1, 3, 24, 24)
    for i, size in enumerate((16, 24, 20)):
        alone = collate_segments([dataset[rows[i]]])
        assert alone.frames.shape[-2:] == (size, size)
        assert torch.equal(batch.frames[i, ..., :size, :size], alone.frames[0])
        assert torch.equal(batch.landmarks[i], alone.landmarks[0])
        # To the right and downwards, the outermost pixels are repeated; nothing is fake there.
        right, below = batch.frames[i, ..., :size, size:], batch.frames[i, ..., size:, :]
        assert torch.equal(right, batch.frames[i, ..., :size, size - 1 : size].expand_as(right))
        assert torch.equal(below, batch.frames[i, ..., size - 1 : size, :].expand_as(below))
        if batch.has_mask[i]:
            assert torch.equal(batch.mask[i, ..., :size, :size], alone.mask[0])
        assert not batch.mask[i, ..., size:, :].any()
        assert not batch.mask[i, ..., :, size:].any()
    assert batch.has_mask.tolist() == [False, False, True]
    assert batch.mask[2].any()
    with pytest.raises(UsageError, match=r"1 frames? of 16x16 .*; .*1 frames? of 24x24 .*give a size"):
        collate_segments([dataset[rows[0]], dataset[rows[1]]])
    scaled = SegmentDataset(reader, CentreWindow(1), size=20).__getitems__(rows)
    assert scaled.frames.shape == (3, 1, 3, 20, 20)


def test_chunks_that_are_too_short_are_omitted(tmp_path):
    reader = folder_of(tmp_path, [chunk_of(record_of("a"), t=5), chunk_of(record_of("b"), t=9)])
    assert len(SegmentDataset(reader, RandomWindow(3, stride=3))) == 1
    with pytest.raises(UsageError, match=r"/one: no chunk has 10 frames; the longest has 9 \(.*--frames 10"):
        SegmentDataset(reader, EvenlySpaced(10))


def test_labels_come_from_the_masks_if_there_are_masks(tmp_path, device):
    half = np.zeros((16, 16), np.uint8)
    half[:, :8] = 255
    empty = np.zeros((16, 16), np.uint8)
    masked = dataclasses.replace(chunk_of(record_of("a", label=1), t=2), masks=(encode_mask(half), encode_mask(empty)))
    reader = folder_of(tmp_path, [masked, chunk_of(record_of("b", label=1), t=2), chunk_of(record_of("c"), t=2)])
    order = [reader.videos.index(name) for name in "abc"]
    dataset = SegmentDataset(reader, EvenlySpaced(2))
    batch = dataset.__getitems__(order)
    assert same(collate_segments([dataset[i] for i in order]), batch)
    assert batch.has_mask.tolist() == [True, False, False]
    segment = (batch.pin_memory() if device.type == "cuda" else batch).to_segment(device, grid=4)
    assert segment.frames.device.type == device.type
    assert segment.label.tolist() == [1, 1, 0]
    assert segment.frame_label.tolist() == [[1, 0], [1, 1], [0, 0]]
    assert segment.patch_label[0, 0].tolist() == [[1, 1, 0, 0]] * 4
    assert segment.patch_label[1].min() == 1
    assert not segment.mask[1:].any()
    torch.testing.assert_close(segment.frames.cpu(), batch.frames.float() / 255)
    assert torch.equal(segment.valid.cpu(), batch.valid)


@pytest.fixture
def damaged(make_folder):
    """A reader whose first chunk has a damaged header, and whose second chunk has damaged images."""
    out = make_folder()
    reader = ShardReader.open(out)
    path = out / reader.shards[reader.shard[0]].rsplit("/", 1)[1]
    data = bytearray(path.read_bytes())
    begin, end = int(reader.offset[1]), int(reader.offset[1] + reader.size[1])
    data[begin:end] = data[begin:end].replace(b"\xff\xd8\xff\xe0", bytes(4))
    data[int(reader.offset[0]) : int(reader.offset[0]) + 512] = bytes(512)
    path.write_bytes(data)
    return reader


def test_a_damaged_chunk_ends_the_run_by_default(make_loader, damaged):
    with pytest.raises(ShardError, match=r"\.tar"):
        list(make_loader(folder=damaged))


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.filterwarnings("default"))])
def test_damaged_chunks_are_omitted_and_counted_on_request(make_loader, damaged, workers):
    loader = make_loader(folder=damaged, on_error=warn_and_skip, workers=workers)
    if workers:
        batches = list(loader)
    else:
        with pytest.warns(UserWarning, match=r"damaged|is damaged"):
            batches = list(loader)
    sound = {damaged[i].key for i in range(2, len(damaged))}
    assert {key for batch in batches for key in batch.keys} == sound
    assert loader.skipped == sum(batch.skipped for batch in batches) == 2


def test_a_batch_without_readable_chunks_is_an_error(damaged):
    dataset = SegmentDataset(damaged, CentreWindow(2), on_error=lambda error: None)
    with pytest.raises(ShardError, match=r"/shards: none of the 2 chunks of a batch"):
        dataset.__getitems__([0, 1])


@pytest.mark.parametrize("index", [0, 1])
def test_reading_a_damaged_chunk_raises(damaged, index):
    seen = []
    dataset = SegmentDataset(damaged, CentreWindow(2), on_error=seen.append)
    with pytest.raises(ShardError, match=r"\.tar") as caught:
        dataset[index]
    assert seen == [caught.value]
    batch = dataset.__getitems__([index, 2])
    assert (batch.keys, batch.skipped, len(seen)) == ((damaged[2].key,), 1, 2)


def test_sampler_and_dataset_must_have_the_same_chunks(make_folder):
    reader = ShardReader.open(make_folder())
    dataset = SegmentDataset(reader, CentreWindow(2))
    with pytest.raises(ValueError, match="must have the same chunks"):
        SegmentLoader(dataset, SegmentSampler(reader.where(reader.label == 0), 2))
