"""Drawings of scores over time and on frames, and the annotated video."""

from dataclasses import replace

import av
import numpy as np
import pytest

from mgst_data.core import OutputError
from mgst_data.preview.annotate import LONGEST, Annotator
from mgst_data.preview.scores import (
    ScoredTrack,
    clock,
    curve,
    level,
    score_colour,
    timeline,
    track_colour,
    verdict,
    verdict_colour,
)
from mgst_data.preview.stream import write_video


def track(frames, scores, *, number=0, box=(20, 20, 60, 60), patches=None, fps=10.0):
    frames = np.asarray(list(frames), np.int64)
    n = len(frames)
    return ScoredTrack(
        id=number,
        frame=frames,
        time=frames / fps,
        score=np.broadcast_to(np.asarray(scores, np.float32), n),
        boxes=np.broadcast_to(np.asarray(box, np.float64), (n, 4)),
        squares=np.broadcast_to(np.asarray(box) + np.array([-10.0, -10, 10, 10]), (n, 4)),
        patches=None if patches is None else np.broadcast_to(np.asarray(patches, np.float16), (n, *np.shape(patches))),
        overall=float(np.mean(scores)),
    )


def test_spans_are_the_runs_of_consecutive_frames():
    assert track([3, 4, 5, 9, 20, 21], 0.5).spans() == [(0, 3), (3, 4), (4, 6)]
    assert track([], 0.5).spans() == []


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_colours_go_from_blue_over_yellow_to_red(threshold):
    real, undecided, fake = (score_colour(score, threshold) for score in (0.0, threshold, 1.0))
    assert real[2] > max(real[:2])
    assert fake[0] > 2 * max(fake[1:])
    assert min(undecided[:2]) > 2 * undecided[2]
    reds = [score_colour(score, threshold)[0] for score in np.linspace(0, threshold, 9)]
    assert reds == sorted(reds)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_extreme_thresholds_have_colours_too(threshold):
    for score in (0.0, 0.5, 1.0):
        assert all(0 <= value <= 255 for value in score_colour(score, threshold))


def test_a_verdict_never_says_real():
    said = [verdict(score, 0.5) for score in (0.49, 0.5, 0.51)]
    assert said == ["not called fake", "not called fake", "fake"]
    assert [verdict(score, 0.5, ("blurred",)) for score in (0.1, 0.9)] == ["cannot say"] * 2
    assert len({verdict_colour(one) for one in (*said, "cannot say")}) == 3


@pytest.mark.parametrize(("seconds", "words"), [(0.52, "0.5 s"), (59.9, "59.9 s"), (90, "1:30"), (3750, "1:02:30")])
def test_times_are_formatted_short(seconds, words):
    assert clock(seconds) == words


def test_a_curve_goes_through_its_scores_and_leaves_gaps():
    canvas = np.zeros((100, 201, 3), np.uint8)
    curve(canvas, track([*range(5), *range(15, 21)], [0.9] * 5 + [0.1] * 6), 2.0, (255, 255, 255), thickness=1)
    drawn = canvas[..., 0] > 128
    assert drawn[level(0.9, 100), :40].all()
    assert drawn[level(0.1, 100), 150:].all()
    assert not drawn[:, 45:145].any()


def test_a_timeline_is_red_for_fake_and_blue_for_real_scores():
    both = timeline([track(range(100), 0.95), track(range(50), 0.05, number=1)], seconds=10.0, title="a title")
    assert both.shape[1] == 1200
    # Below the middle of the first row, and above the lower edge of the second row.
    red = both[44 + 60, 300:1100].mean(axis=0)
    assert red[0] > red[2] + 40
    blue = both[44 + 92 + 14 + 92 - 5, 300:600].mean(axis=0)
    assert blue[2] > blue[0] + 20
    nothing = both[44 + 92 + 14 + 80, 800:1100].astype(int)
    assert np.abs(nothing - nothing.mean(axis=1, keepdims=True)).max() <= 1  # grey: no scores there


def test_a_timeline_of_many_tracks_has_a_limited_height():
    crowd = [track(range(5 + n), 0.5, number=n) for n in range(40)]
    assert timeline(crowd, seconds=5.0, most=12).shape == timeline(crowd[-12:], seconds=5.0).shape


@pytest.mark.parametrize("seconds", [0.04, 3.0, 59.0, 61.0, 9000.0, 400000.0])
def test_a_timeline_can_have_any_length(seconds):
    made = timeline([track([0, 1], 0.4)], seconds=seconds, title="cafe\u0301 \udce9 \u732b")
    assert made.dtype == np.uint8


def test_the_box_on_an_annotated_frame_has_the_colour_of_its_score():
    frame = np.full((240, 320, 3), 90, np.uint8)
    fake, real = track(range(3), 1.0), track(range(3), 0.0, number=1, box=(150, 60, 220, 140))
    draw = Annotator([fake, real], size=(240, 320), seconds=0.3)
    picture = draw(frame, 1, 0.1)
    assert (frame == 90).all()
    assert picture.shape[1] == 320
    assert picture.shape[0] > 240
    assert tuple(picture[60, 40]) == score_colour(1.0)
    assert tuple(picture[140, 185]) == score_colour(0.0)
    assert (picture[225:240] == 90).all()
    without = draw(frame, 7, 0.2)
    assert (without[:240] == 90).all()


def test_a_referenced_picture_is_not_overwritten():
    draw = Annotator([track(range(40), 0.5)], size=(64, 80), seconds=4.0)
    held = [draw(np.full((64, 80, 3), i, np.uint8), 100, 0.1 * i) for i in range(6)]
    assert [int(picture[:64].max()) for picture in held] == list(range(6))


def test_the_heat_map_covers_only_patches_above_the_threshold():
    patches = np.zeros((4, 4))
    patches[3, 3] = 1.0
    frame = np.full((200, 200, 3), 90, np.uint8)
    one = track(range(2), 0.2, box=(40, 40, 160, 160), patches=patches)
    picture = Annotator([one], size=(200, 200), seconds=0.2)(frame, 0, 0.0)
    hot = picture[162:168, 162:168].reshape(-1, 3).mean(axis=0)
    assert hot[0] > 140
    assert hot[0] > hot[2] + 80
    assert (picture[50:110, 60:110] == 90).all()


def test_a_map_is_drawn_where_the_score_of_the_frame_is_above_the_threshold():
    heat = np.zeros((2, 6, 6), np.float16)
    heat[:, 5, 5] = 1.0
    frame = np.full((200, 200, 3), 90, np.uint8)
    one = replace(track(range(2), [0.2, 0.9], box=(40, 40, 160, 160)), maps=heat)
    draw = Annotator([one], size=(200, 200), seconds=0.2)
    low, high = (draw(frame, i, 0.0)[162:168, 162:168].astype(int) for i in range(2))
    assert (low == 90).all()
    assert high[..., 0].mean() > high[..., 2].mean() + 60


def test_the_heat_map_may_extend_beyond_the_frame():
    one = track(range(2), 0.9, box=(-50, -30, 130, 90), patches=np.ones((4, 4)))
    outside = track(range(2), 0.9, number=1, box=(300, 300, 340, 340), patches=np.ones((4, 4)))
    picture = Annotator([one, outside], size=(64, 80), seconds=0.2)(np.zeros((64, 80, 3), np.uint8), 0, 0.0)
    assert picture[60, 70, 0] > 60


def test_the_strip_marks_the_position_of_the_frame():
    draw = Annotator([track(range(100), 0.7)], size=(100, 400), seconds=10.0)
    frame = np.zeros((100, 400, 3), np.uint8)
    for time in (0.0, 2.5, 9.9):
        strip = draw(frame, 0, time)[100:]
        marker = (strip[-20:] == 235).all(axis=(0, 2)).nonzero()[0]
        assert marker.mean() == pytest.approx(time / 10 * 399, abs=2)


def test_large_frames_are_scaled_down_and_sides_are_even():
    draw = Annotator([track(range(2), 0.7, box=(400, 400, 1200, 1200))], size=(2161, 3841), seconds=1.0)
    picture = draw(np.zeros((2161, 3841, 3), np.uint8), 0, 0.0)
    assert max(picture.shape[:2]) == LONGEST
    assert picture.shape[0] % 2 == picture.shape[1] % 2 == 0
    assert picture[400, 300].max() > 100  # the lower edge of the box, scaled by a third
    assert Annotator([], size=(63, 65), seconds=0.0)(np.zeros((63, 65, 3), np.uint8), 0, 0.0).shape == (64, 64, 3)


def test_tracks_have_different_colours():
    assert len({track_colour(n) for n in range(8)}) == 8


def pictures(count):
    for n in range(count):
        yield (n if n < 5 else 2 * n) / 20, np.full((48, 64, 3), 20 * n, np.uint8)


def test_a_video_keeps_times_and_pictures(tmp_path):
    assert write_video(tmp_path / "a: b.mp4", pictures(10), fps=20.0) == 10
    with av.open(f"file:{tmp_path}/a: b.mp4") as video:
        frames = list(video.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx([time for time, _ in pictures(10)], abs=1e-3)
    assert [frame.to_ndarray(format="rgb24").mean() for frame in frames] == pytest.approx(range(0, 200, 20), abs=4)
    assert [path.name for path in tmp_path.iterdir()] == ["a: b.mp4"]


def test_equal_times_do_not_end_the_file(tmp_path):
    same = ((0.5, picture) for _, picture in pictures(6))
    assert write_video(tmp_path / "a.mp4", same, fps=29.97) == 6
    with av.open(str(tmp_path / "a.mp4")) as video:
        assert len(list(video.decode(video=0))) == 6


def test_an_interrupted_video_leaves_no_file(tmp_path):
    def broken():
        yield from pictures(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "a.mp4", broken(), fps=20.0)
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError):
        write_video(tmp_path / "nowhere" / "a.mp4", pictures(3), fps=20.0)
