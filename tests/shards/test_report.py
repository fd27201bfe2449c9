import json

import pytest
from synthetic_shards import chunks_of, record_of, report_of

from mgst_data.core import ShardError
from mgst_data.shards import ShardReport, Tally, VideoReport, summarise
from mgst_data.shards.report import SampleSpan, ShardFile

A, B, C = record_of("a"), record_of("b", label=1), record_of("c", label=1, split="test")


def shard(name, *videos) -> ShardReport:
    return ShardReport(
        name, videos, (SampleSpan("a-00-0000", 0, 512, 5),), (ShardFile(f"{name}.tar", 1536, "ab"),), 1.5
    )


def test_a_report_is_unchanged_after_writing_and_reading():
    report = shard(
        "train-000000",
        report_of(A, list(chunks_of(A)), frames=100, notes=(("truncated", "ends after 3 s"),)),
        report_of(B, reason="no_face", frames=20, seconds=0.25),
    )
    assert ShardReport.from_json(report.to_json()) == report
    assert report.skips == {"no_face": 1}


def test_a_report_of_an_earlier_version_is_read():
    raw = json.loads(shard("s", report_of(A)).to_json())
    assert raw["videos"][0].pop("compression") == "c23"
    assert raw["videos"][0].pop("prepared") == 0
    (video,) = ShardReport.from_json(json.dumps(raw).encode()).videos
    assert (video.compression, video.prepared) == ("", 0)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda raw: raw.pop("samples"), "'samples' is missing"),
        (lambda raw: raw["videos"][0].pop("key"), "'key' is missing"),
        (lambda raw: raw["videos"][0].update(frames="many"), "'frames' is 'many'"),
        (lambda raw: raw["videos"][0].update(status="lost"), "got 'lost'"),
        (lambda raw: raw["videos"][0].update(notes=["x"]), "malformed"),
        (lambda raw: raw.update(name=None), "'name' is None"),
        (lambda raw: raw.update(videos=3), "malformed"),
    ],
)
def test_a_malformed_report_is_an_error_that_names_the_file(change, complaint):
    raw = json.loads(shard("s", report_of(A)).to_json())
    change(raw)
    with pytest.raises(ShardError, match=complaint) as caught:
        ShardReport.from_json(json.dumps(raw).encode(), where="out/s.json")
    assert caught.value.where == "out/s.json"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff"])
def test_data_that_is_not_a_report_is_an_error(data):
    with pytest.raises(ShardError, match="malformed report"):
        ShardReport.from_json(data)


@pytest.mark.parametrize(
    "fields", [{"status": "skipped"}, {"reason": "no_face"}, {"status": "skipped", "reason": "no_face", "chunks": 1}]
)
def test_a_contradictory_report_is_an_error(fields):
    with pytest.raises(ValueError, match=r"a skipped video must have"):
        VideoReport(key="a", video="a.mp4", dataset="d", split="", label=0, method="real", **fields)


def test_totals_count_every_video_once_by_its_latest_status():
    first = shard("train-000000", report_of(A, list(chunks_of(A)), frames=9), report_of(B, reason="decode_error"))
    other = shard("test-000000", report_of(C, reason="no_face", frames=7))
    again = shard("train-000001", report_of(B, list(chunks_of(B)), frames=5, notes=(("truncated", ""),)))

    before = summarise([first, other])
    assert before.overall.videos == 1
    assert before.skips == {"decode_error": (B.video,), "no_face": (C.video,)}

    totals = summarise([first, other, again])
    assert (totals.overall.videos, totals.overall.skipped, totals.overall.frames) == (2, 1, 21)
    assert totals.skips == {"no_face": (C.video,)}
    assert totals.notes == {"truncated": (B.video,)}
    assert totals.label["real"] + totals.label["fake"] == totals.overall
    for by in ("dataset", "split", "method"):
        assert sum(getattr(totals, by).values(), Tally()) == totals.overall
    json.dumps(totals.as_dict())
