"""Scores that were made elsewhere are joined with shards by path or key, and mistakes in the table are named."""

from __future__ import annotations

import pytest

from mgst_data.core import UsageError
from mgst_data.shards import ShardFolder
from mgst_data.shards.report import latest
from mgst_model.evaluate import read_scores


@pytest.fixture(scope="module")
def videos(mixed_shards):
    """The reports of the four videos of the split val."""
    reports = latest(ShardFolder.read(str(mixed_shards)).reports())
    return [video for video in reports.values() if video.split == "val"]


def write(path, rows, header="video,score"):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def test_scores_get_labels_and_groups_of_the_shards(mixed_shards, videos, tmp_path):
    rows = [(video.video, 0.25 * number) for number, video in enumerate(videos)]
    found = read_scores(write(tmp_path / "theirs.csv", rows), [str(mixed_shards)], "val")
    assert found.model == "theirs"
    assert {one.key: one.score for one in found.videos} == {video.key: 0.25 * i for i, video in enumerate(videos)}
    assert [(one.label, one.method, one.split) for one in found.videos] == [
        (v.label, v.method, v.split) for v in videos
    ]
    by_key = [("x", video.key, video.dataset, 0.25 * number) for number, video in enumerate(videos)]
    again = read_scores(write(tmp_path / "k.csv", by_key, "note,key,dataset,score"), [str(mixed_shards)], "val")
    assert again.videos == found.videos


def test_an_empty_score_is_a_video_without_a_face(mixed_shards, videos, tmp_path):
    rows = [(video.video, "" if number == 0 else 0.5) for number, video in enumerate(videos)]
    found = read_scores(write(tmp_path / "a.csv", rows), [str(mixed_shards)], "val")
    assert [one.key for one in found.faceless()] == [videos[0].key]


def test_rows_of_other_splits_are_ignored(mixed_shards, videos, tmp_path):
    known = latest(ShardFolder.read(str(mixed_shards)).reports()).values()
    path = write(tmp_path / "a.csv", [(video.video, 0.5) for video in known])
    assert len(read_scores(path, [str(mixed_shards)], "val")) == len(videos)
    assert len(read_scores(path, [str(mixed_shards)], None)) == len(known)


def test_mistakes_are_named_with_line_and_remedy(mixed_shards, videos, tmp_path):
    rows = [(video.video, 0.5) for video in videos]
    typo = videos[0].video.replace(".mp4", ".mp3")
    cases = [
        ([*rows, (typo, 0.5)], f"1 of 5 videos are not in the shards, for example {typo} \\(line 6\\)"),
        (rows[1:], f"1 of 4 videos of the split 'val' have no score, for example {videos[0].video}"),
        ([*rows, rows[2]], f"line 6: {videos[2].video} has a score in line 4 already"),
        ([(rows[0][0], 1.5), *rows[1:]], r"line 2: a score must be in \[0, 1\], got 1.5 .*sigmoid"),
        ([(rows[0][0], "high"), *rows[1:]], r"line 2: a score must be in \[0, 1\], got high"),
        ([(rows[0][0], "nan"), *rows[1:]], r"line 2: a score must be in \[0, 1\], got nan"),
        ([("", 0.5), *rows], "line 2: no video and no key"),
    ]
    for changed, what in cases:
        with pytest.raises(UsageError, match=what) as caught:
            read_scores(write(tmp_path / "a.csv", changed), [str(mixed_shards)], "val")
        assert caught.value.where == str(tmp_path / "a.csv")
    with pytest.raises(UsageError, match="the header has file, probability"):
        read_scores(write(tmp_path / "a.csv", rows, "file,probability"), [str(mixed_shards)], "val")
    with pytest.raises(UsageError, match="no such file"):
        read_scores(tmp_path / "none.csv", [str(mixed_shards)], "val")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UsageError, match="not a CSV file"):
        read_scores(tmp_path / "b.csv", [str(mixed_shards)], "val")
