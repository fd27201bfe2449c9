"""Scores of shards: which frames are scored, which score a video has, and what the scores depend on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from shards.synthetic_shards import CONFIG, chunk_of, record_of, write_shard
from torch import nn

from mgst_data.core import UsageError
from mgst_data.shards import ShardCache, open_folder
from mgst_model.evaluate.perturbations import PERTURBATIONS
from mgst_model.evaluate.plots import robustness_png
from mgst_model.evaluate.predictions import Predictions
from mgst_model.evaluate.robustness import Robustness, robustness_rows
from mgst_model.evaluate.score import Disturbance, score_shards
from mgst_model.networks import NetworkConfig, build_network
from mgst_model.networks.checkpoint import LoadedNetwork, load_network, save_network
from mgst_model.networks.output import SegmentOutput

SIDE = 32


class Recorder(nn.Module):
    """Gives bright frames high scores, and records the lengths of its segments."""

    def __init__(self) -> None:
        super().__init__()
        self.lengths: list[int] = []

    def forward(self, frames):
        self.lengths += [frames.shape[1]] * len(frames)
        logits = 40 * (frames.mean(dim=(2, 3, 4)) - 0.5)
        return SegmentOutput(logits.mean(dim=1), logits, None, None)


def recorder(frames: int = 2, *, kind: str = "image") -> LoadedNetwork:
    return LoadedNetwork(network=Recorder().eval(), config=NetworkConfig(kind=kind), frames=frames, size=SIDE, info={})


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> LoadedNetwork:
    """A tiny network of both streams, saved and loaded again."""
    config = NetworkConfig(backbone="test_convnext", pretrained="random", dim=16, heads=2, blocks=3, embedding_dim=8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = build_network(config)
    return load_network(save_network(tmp_path_factory.mktemp("net") / "net", made, config, frames=2, size=SIDE))


def chunks(record, lengths=((6,),)):
    """One track per tuple, with chunks of these lengths; later tracks have smaller boxes."""
    return [
        replace(chunk_of(record, track, n, t=t, size=SIDE), boxes=torch.tensor([[0, 0, side, side]] * t).float())
        for track, some in enumerate(lengths)
        for n, t in enumerate(some)
        for side in (SIDE - 8 * track,)
    ]


@pytest.fixture
def make_shards(tmp_path) -> Callable[..., str]:
    """``make_shards(((6, 3), (4,)))``: two videos with a track of 6 and 3 frames and one of 4; one without a face."""

    def make(lengths=((6,),)) -> str:
        records = [record_of(key, label=label, split="test") for key, label in (("a", 0), ("b", 1), ("none", 0))]
        out: Path = tmp_path / "shards"
        with open_folder(out, CONFIG, records, videos_per_shard=9) as folder:
            for task in folder.missing(records):
                write_shard(
                    out, task, skip={"none": "no_face"}, extract=lambda r: chunks(r, lengths) if r.key != "none" else []
                )
            folder.finish()
        return str(out)

    return make


def by_key(predictions: Predictions) -> dict:
    return {video.key: video for video in predictions.videos}


def test_a_video_is_scored_in_evenly_spaced_segments(make_shards):
    shards = make_shards(((32,),))
    video = by_key(score_shards(recorder(), shards, segments=8))["a"]
    # 31 possible starts; the centres of eight equal parts.
    starts = [(2 * i + 1) * 31 // 16 for i in range(8)]
    assert video.frame_indices == tuple(frame for start in starts for frame in (start, start + 1))
    assert len(video.segments) == 8
    assert video.score == pytest.approx(sum(video.segments) / 8, abs=1e-6)


def test_scores_are_those_of_local_shards(make_shards, tmp_path):
    shards = make_shards(((6, 3), (4,)))
    cache = ShardCache(tmp_path / "cache")
    behind = score_shards(recorder(), f"file://{shards}", cache=cache)
    cache.close()
    assert behind.videos == score_shards(recorder(), shards).videos


def test_segments_and_frames_outside_the_fake_spans_are_real(tmp_path):
    record = replace(record_of("a", label=1, split="test"), fake_spans=((0.04, 0.08),))  # frame 1 of 25 per second
    with open_folder(tmp_path, CONFIG, [record]) as folder:
        for task in folder.missing([record]):
            write_shard(tmp_path, task, extract=chunks)
        folder.finish()
    (video,) = score_shards(recorder(), str(tmp_path), segments=3).videos
    assert video.label == 1
    assert video.frame_indices == (0, 1, 2, 3, 4, 5)
    assert video.frame_labels == (0, 1, 0, 0, 0, 0)
    assert video.segment_labels == (1, 0, 0)
    with_one_label = score_shards(recorder(), str(tmp_path), segments=1).videos[0]
    assert with_one_label.segment_labels == (0,)


def test_segments_do_not_cross_chunks(make_shards):
    loaded = recorder(frames=4)
    video = by_key(score_shards(loaded, make_shards(((6, 2, 5),)), segments=20))["a"]
    assert set(loaded.network.lengths) == {4}
    assert len(video.segments) == 3 + 2
    assert set(video.frame_indices) == {*range(6), *range(20, 25)}


def test_a_short_track_is_scored_with_its_own_length(make_shards):
    loaded = recorder(frames=16)
    video = by_key(score_shards(loaded, make_shards(((3,),))))["a"]
    assert loaded.network.lengths == [3, 3]
    assert (len(video.segments), video.frame_indices) == (1, (0, 1, 2))


def test_a_track_that_is_shorter_than_the_network_needs_is_listed_without_a_score(make_shards):
    shards = make_shards(((1,),))
    assert [video.score for video in score_shards(recorder(kind="parallel"), shards).videos] == [None] * 3
    assert None not in [video.score for video in score_shards(recorder(), shards).videos[:2]]


def test_frame_scores_of_overlapping_segments_are_averaged(make_shards):
    class Counter(nn.Module):
        """Scores each frame by its distance from the start of its segment."""

        def forward(self, frames):
            logits = torch.arange(frames.shape[1]).float().expand(frames.shape[:2])
            return SegmentOutput(logits.mean(dim=1), logits, None, None)

    loaded = replace(recorder(frames=3), network=Counter())
    video = by_key(score_shards(loaded, make_shards(((4,),))))["a"]
    at = torch.arange(3).sigmoid().tolist()
    assert video.frame_indices == (0, 1, 2, 3)
    assert video.frames == pytest.approx((at[0], (at[1] + at[0]) / 2, (at[2] + at[1]) / 2, at[2]), abs=1e-6)


def test_the_main_track_is_the_largest_and_max_is_the_highest_score(make_shards):
    shards = make_shards(((6,), (6,)))
    main = by_key(score_shards(recorder(), shards))
    top = by_key(score_shards(recorder(), shards, tracks="max"))
    alone = by_key(score_shards(recorder(), shards, segments=1))
    assert all(top[key].score >= main[key].score for key in "ab")
    assert any(top[key].score > main[key].score for key in "ab")
    assert len(alone["a"].segments) == 1


def test_videos_without_a_face_are_listed_with_their_record(make_shards):
    (video,) = score_shards(recorder(), make_shards(), split="test").faceless()
    assert (video.key, video.score, video.label, video.split, video.compression) == ("none", None, 0, "test", "c23")


def test_a_video_without_a_face_keeps_its_compression_among_several(tmp_path):
    records = [
        replace(record_of(f"{kind}_{compression}", split="test"), compression=compression)
        for kind in ("seen", "none")
        for compression in ("c23", "c40")
    ]
    skip = {record.key: "no_face" for record in records if record.key.startswith("none")}
    with open_folder(tmp_path / "shards", CONFIG, records, videos_per_shard=9) as folder:
        for task in folder.missing(records):
            write_shard(tmp_path / "shards", task, skip=skip, extract=lambda r: [] if r.key in skip else chunks(r))
        folder.finish()
    found = score_shards(recorder(), str(tmp_path / "shards")).faceless()
    assert {video.key: video.compression for video in found} == {"none_c23": "c23", "none_c40": "c40"}


def test_scores_do_not_depend_on_the_batch(network, make_shards, device):
    shards = make_shards(((9, 3), (4,)))
    network.network.to(device)
    options = {"tracks": "max", "device": device}
    first, *others = (score_shards(network, shards, batch=batch, **options) for batch in (8, 1, 3))
    assert score_shards(network, shards, batch=8, **options) == first
    for other in others:
        for ours, theirs in zip(other.videos[:2], first.videos[:2], strict=True):
            assert ours.segments == pytest.approx(theirs.segments, abs=1e-5)
            assert ours.frames == pytest.approx(theirs.frames, abs=1e-5)
    network.network.to("cpu")


@pytest.mark.parametrize("kind", [kind for kind, one in PERTURBATIONS.items() if not one.needs_codec])
def test_perturbations_depend_on_the_seed_alone(make_shards, kind):
    shards = make_shards()

    def scores(seed: int, **options: int) -> tuple:
        disturbance = Disturbance(kind, 5, seed=seed)
        return score_shards(recorder(), shards, disturbance=disturbance, **options).videos

    clean = score_shards(recorder(), shards).videos
    assert scores(0) == scores(0)
    for one, other in zip(scores(0, batch=1), scores(0), strict=True):
        assert one.frames == pytest.approx(other.frames, abs=1e-6)
    assert scores(0) != clean
    assert (scores(1) != scores(0)) == (kind in ("gaussian_noise", "block_wise"))


def test_h264_needs_a_codec(make_shards):
    shards = make_shards()
    seen: list[int] = []

    def codec(frames, crf):
        seen.append(crf)
        return frames

    found = score_shards(recorder(), shards, segments=1, disturbance=Disturbance("h264", 2, codec))
    assert seen == [32, 32]
    assert found.videos == score_shards(recorder(), shards, segments=1).videos
    with pytest.raises(UsageError, match="needs a video codec"):
        score_shards(recorder(), shards, disturbance=Disturbance("h264", 2))


def test_a_split_without_videos_is_rejected(make_shards):
    with pytest.raises(UsageError, match="no videos to score"):
        score_shards(recorder(), make_shards(), split="val")


ROBUST = Robustness("ours", 0.9, {"blur": {1: 0.8, 5: 0.6}, "h264": {1: 0.9, 5: 0.7}})


def test_robustness_is_averaged_over_severities_then_kinds():
    assert ROBUST.mean_of("blur") == pytest.approx(0.7)
    assert ROBUST.mean == pytest.approx(0.75)
    assert ROBUST.drop == pytest.approx(0.15)
    assert ROBUST.curve("h264") == {0: 0.9, 1: 0.9, 5: 0.7}
    rows = robustness_rows([ROBUST])
    assert list(rows[0]) == ["perturbation", "clean", "severity 1", "severity 5", "mean", "drop"]
    assert [row["perturbation"] for row in rows] == ["blur", "h264", "mean"]
    assert rows[-1]["severity 1"] == pytest.approx(0.85)
    assert rows[-1]["drop"] == pytest.approx(ROBUST.drop)
    assert [row["model"] for row in robustness_rows([ROBUST, replace(ROBUST, model="b")])] == ["ours"] * 3 + ["b"] * 3


def test_robustness_that_cannot_be_averaged_or_compared_is_rejected():
    for disturbed in ({}, {"blur": {}}, {"blur": {1: 0.5}, "h264": {2: 0.5}}):
        with pytest.raises(ValueError, match="severit"):
            Robustness("ours", 0.9, disturbed)
    other = Robustness("other", 0.9, {"noise": {3: 0.5}})
    with pytest.raises(ValueError, match="different severities"):
        robustness_rows([ROBUST, other])
    with pytest.raises(ValueError, match="different perturbations"):
        robustness_png([ROBUST, other])
    with pytest.raises(ValueError, match="no curve"):
        robustness_png([])


@pytest.mark.parametrize("kinds", [1, 4, 7])
def test_robustness_has_a_panel_for_each_kind(monkeypatch, kinds):
    figures: list = []
    monkeypatch.setattr("mgst_model.evaluate.plots._png", lambda figure: figures.append(figure) or b"")
    robust = Robustness("ours", 0.9, {f"kind_{i}": {1: 0.8, 2: 0.7} for i in range(kinds)})
    robustness_png([robust, replace(robust, model="b")])
    panels = figures[0].axes
    assert [panel.get_title() for panel in panels] == [f"kind {i}" for i in range(kinds)]
    for panel in panels:
        ours, theirs, _ = panel.get_lines()
        assert list(ours.get_xdata()) == [0, 1, 2]
        assert list(ours.get_ydata()) == [0.9, 0.8, 0.7]
        assert (ours.get_marker(), ours.get_linestyle()) != (theirs.get_marker(), theirs.get_linestyle())


FACELESS = ("no_face", "faces_too_small", "faces_too_brief", "unclear_faces", "only_damaged_frames")


def test_a_video_without_a_face_is_listed_for_each_of_these_reasons_and_no_other(tmp_path):
    reasons = (*FACELESS, "decode_error", "truncated", "missing", "worker_died")
    records = [record_of(key, split="test") for key in ("seen", *reasons)]
    skip = {reason: reason for reason in reasons}
    with open_folder(tmp_path / "shards", CONFIG, records, videos_per_shard=9) as folder:
        for task in folder.missing(records):
            write_shard(tmp_path / "shards", task, skip=skip, extract=lambda r: [] if r.key in skip else chunks(r))
        folder.finish()
    found = score_shards(recorder(), str(tmp_path / "shards"))
    assert {video.key for video in found.faceless()} == set(FACELESS)
    assert {video.key for video in found.videos} == {"seen", *FACELESS}
