"""Several sources: names, readers over several folders, draws by source, and batches of segments and of stills."""

import json
from collections import Counter
from dataclasses import replace

import pytest
import torch
from synthetic_shards import CONFIG, chunk_of, record_of, write_shard

from mgst_data.core import UsageError
from mgst_data.core.sampling import RandomWindow
from mgst_data.shards import SegmentDataset, SegmentLoader, SegmentSampler, ShardReader, Source, open_folder, sources_of
from mgst_data.shards.draws import alternated, shares


def write(out, count, *, t=5, fakes=0, person=None, first=0):
    records = [record_of(f"v{i}", label=int(i >= first + count)) for i in range(first, first + count + fakes)]
    if person is not None:
        records = [replace(record, target_key=person(i)) for i, record in enumerate(records)]
    with open_folder(out, CONFIG, records) as folder:
        for task in folder.missing(records):
            write_shard(out, task, extract=lambda record: [chunk_of(record, t=t)])
        folder.finish()
    return out


@pytest.fixture
def videos(tmp_path):
    """Eight real videos of 5 frames and four fakes; three videos show the same person."""
    return write(tmp_path / "videos", 8, fakes=4, person=lambda i: "ffpp/same" if i < 3 else f"ffpp/{i}")


@pytest.fixture
def photos(tmp_path):
    """Twelve pictures of four persons."""
    return write(tmp_path / "photos", 12, t=1, person=lambda i: f"photos/{i % 4}")


def drawn(sampler):
    return [draw.chunk for batch in sampler for draw in batch]


def test_sources_get_the_names_of_their_folders(tmp_path):
    for name in ("a/shards", "b/shards", "photos"):
        (tmp_path / name).mkdir(parents=True)
    found = sources_of([tmp_path / "a/shards", f"{tmp_path}/b/shards/", Source("mine", str(tmp_path / "photos"), 3)])
    assert [source.name for source in found] == ["a/shards", "b/shards", "mine"]
    assert [source.weight for source in found] == [1, 1, 3]
    assert sources_of("s3://bucket/faces")[0] == Source("faces", "s3://bucket/faces")


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf")])
def test_a_weight_must_be_positive(weight):
    with pytest.raises(UsageError, match="the weight of the source a must be above 0"):
        Source("a", "a", weight)


def test_a_folder_or_a_name_given_twice_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="a: given more than once"):
        sources_of([tmp_path / "a", f"{tmp_path}/b/../a"])
    with pytest.raises(UsageError, match="2 sources have the name 'x'"):
        sources_of([Source("x", "a"), Source("x", "b")])
    with pytest.raises(UsageError, match="no folder of shards"):
        sources_of([])


def test_a_reader_over_several_folders_has_the_chunks_of_each(videos, photos):
    both = ShardReader.open([videos, photos])
    alone = [ShardReader.open(videos), ShardReader.open(photos)]
    assert len(both) == sum(map(len, alone))
    for number, one in enumerate(alone):
        part = both.of_source(number)
        assert part.location == str((videos, photos)[number])
        assert [chunk.key for chunk in part] == [chunk.key for chunk in one]
        assert [part.videos[i] for i in part.video] == [one.videos[i] for i in one.video]
    assert both.videos.count("v0") == 2  # a key may be in both
    assert both.stills.tolist() == [False] * 12 + [True] * 12
    assert both.digest != ShardReader.open([photos, videos]).digest


def test_draws_follow_the_weights_then_the_persons(videos, photos):
    reader = ShardReader.open([Source("a", str(videos)), Source("b", str(photos), 3.0)], label=0)
    sampler = SegmentSampler(reader, 1, per_video=40, by_source=True)
    draws = torch.tensor(drawn(sampler))
    assert len(draws) == 40 * 20
    assert reader.source[draws].bincount().tolist() == [200, 600]
    persons = Counter((int(reader.source[i]), reader.persons[reader.video[i]]) for i in draws.tolist())
    assert {count for (source, _), count in persons.items() if source} == {150}
    assert set(persons.values()) <= {33, 34, 150}
    assert len([source for source, _ in persons if not source]) == 6  # three of eight videos show one person
    of_one = Counter(int(reader.video[i]) for i in draws.tolist() if reader.persons[reader.video[i]] == "ffpp/same")
    assert len(of_one) == 3


def test_a_balanced_epoch_has_the_shares_of_each_label(videos, photos, tmp_path):
    more = write(tmp_path / "more", 6, fakes=6)
    reader = ShardReader.open([Source("a", str(videos)), Source("b", str(photos), 2.0), Source("c", str(more), 3.0)])
    draws = torch.tensor(drawn(SegmentSampler(reader, 1, per_video=6, by_source=True, balance=True)))
    assert reader.label[draws].tolist() == [0, 1] * (len(draws) // 2)
    for label, wanted in ((0, [1 / 6, 2 / 6, 3 / 6]), (1, [1 / 4, 0, 3 / 4])):
        counts = reader.source[draws[reader.label[draws] == label]].bincount(minlength=3)
        assert (counts / counts.sum()).tolist() == pytest.approx(wanted, abs=0.01)


@pytest.mark.parametrize("world", [1, 2])
def test_batches_of_segments_and_of_stills_alternate_in_all_processes(videos, photos, world):
    dataset = SegmentDataset(ShardReader.open([videos, photos], label=0), RandomWindow(3), size=16, stills=True)
    options = {"per_video": 2, "by_source": True, "span": 3, "drop_last": True, "world": world}
    samplers = [SegmentSampler(dataset.reader, 2, rank=rank, **options) for rank in range(world)]
    lengths = [[batch.frames.shape[1] for batch in SegmentLoader(dataset, sampler)] for sampler in samplers]
    assert all(each == lengths[0] for each in lengths)
    # 40 draws with equal weights: 20 segments and 20 stills.
    assert lengths[0] == [3, 1] * (10 // world)
    for epoch in range(3):
        samplers[0].epoch = epoch
        samplers[0].position = 0
        assert len(list(samplers[0])) == 20 // world


def test_a_mixed_epoch_resumes_exactly_and_only_with_its_batches(videos, photos):
    dataset = SegmentDataset(ShardReader.open([videos, photos], label=0), RandomWindow(3), size=16, stills=True)

    def loader(batch_size=2, span=3):
        sampler = SegmentSampler(
            dataset.reader, batch_size, per_video=2, by_source=True, span=span, drop_last=True, seed=5
        )
        return SegmentLoader(dataset, sampler)

    whole = [batch.keys for batch in loader()]
    first, second = loader(), loader()
    for number, _ in enumerate(first, start=1):
        if number == 7:
            break
    second.load_state_dict(first.state_dict())
    assert [batch.keys for batch in second] == whole[7:]
    with pytest.raises(UsageError, match="another batch size or number of processes"):
        loader(batch_size=4).load_state_dict(first.state_dict())


def test_stills_and_segments_in_one_batch_are_an_error(videos, photos):
    dataset = SegmentDataset(ShardReader.open([videos, photos]), RandomWindow(3), size=16, stills=True)
    assert dataset[len(dataset) - 1].frames.shape[0] == 1
    with pytest.raises(UsageError, match="segments and stills cannot be in one batch"):
        dataset.__getitems__([0, len(dataset) - 1])
    with pytest.raises(ValueError, match="need drop_last"):
        SegmentSampler(dataset.reader, 2, span=3)


def test_too_few_stills_for_a_batch_are_an_error(videos, photos):
    reader = ShardReader.open([Source("a", str(videos), 99), Source("b", str(photos), 1)])
    with pytest.raises(UsageError, match="an epoch has 0 stills, too few for one batch"):
        SegmentSampler(reader, 4, per_video=1, by_source=True, span=3, drop_last=True)


def test_short_videos_are_no_stills(tmp_path):
    short = write(tmp_path / "short", 2, t=2)
    dataset = SegmentDataset(
        ShardReader.open([short, write(tmp_path / "long", 2)]), RandomWindow(3), stills=True, size=16
    )
    assert len(dataset) == 2


def test_persons_of_old_reports_are_read_from_the_chunks(videos, tmp_path):
    for path in videos.glob("train-*.json"):
        report = json.loads(path.read_text())
        for video in report["videos"]:
            del video["target_key"], video["source_key"], video["content"]
        for sample in report["samples"]:
            del sample["fakes"]
        path.write_text(json.dumps(report))
    old = ShardReader.open(videos)
    assert set(old.persons) == {None}
    assert Counter(old.with_persons().persons)["ffpp/same"] == 3
    assert old.label.sum() == 4


def test_counts_are_divided_exactly():
    assert shares(10, [1, 1, 1]) == [4, 3, 3]
    assert shares(7, [0.5, 3.0]) == [1, 6]
    assert shares(0, [2.0]) == [0]


def test_blocks_of_the_rarer_kind_are_spread_evenly():
    found = alternated(torch.arange(9), torch.arange(100, 105), 2).reshape(-1, 2)
    assert found[:, 0].tolist() == [0, 2, 100, 4, 6, 102]
