"""The page of a scored video: the frames that it shows, its links, and its words."""

import json
import re
from dataclasses import replace
from urllib.parse import unquote

import cv2
import numpy as np
import pytest
from face_videos import encode, faces

from mgst_data.html.links import link
from mgst_data.preview.scores import ScoredTrack
from mgst_data.shards.images import decode_image
from mgst_model.networks.calibration import Calibration
from mgst_model.predict import TrackPrediction, VideoPrediction
from mgst_model.predict.moments import cut_out, extremes

RATE = 25


def track(scores, *, kind=ScoredTrack, **options):
    count = len(scores)
    about = {
        "id": 0,
        "frame": np.arange(count),
        "time": np.arange(count) / RATE,
        "score": np.asarray(scores, np.float32),
        "boxes": np.tile(np.array([10.0, 10, 30, 40]), (count, 1)),
        "squares": np.tile(np.array([0.0, 0, 40, 40]), (count, 1)),
        "patches": np.full((count, 2, 2), 0.9, np.float16),
        "overall": float(np.mean(scores)),
    }
    return kind(**{**about, **options})


def prediction(source, *, frames=30, **options):
    tracks = [track(np.linspace(0, 1, frames), kind=TrackPrediction)]
    about = {"frames": frames, "fps": 25.0, "size": (240, 240), "seconds": frames / RATE}
    return VideoPrediction(source=str(source), tracks=tracks, main=0, **{**about, **options})


def data(page):
    found = re.search(r'<script type="application/json" id="prediction">(.*?)</script>', page.read_text(), re.DOTALL)
    return json.loads(found[1])


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_extremes_are_the_highest_and_the_lowest_without_overlap(count, generator):
    scores = np.random.default_rng(count).random(count)
    high, low = extremes(track(scores), 4)
    assert scores[high[0]] == scores.max()
    assert not set(high) & set(low)
    assert len(high) <= 4
    assert [scores[row] for row in high] == sorted(scores[high], reverse=True)
    if count > 1:
        assert scores[low].max(initial=0) <= scores[high].min()
        assert scores[low[0]] == scores.min()
    else:
        assert low == []


def test_extremes_are_apart_in_time():
    scores = np.exp(-(((np.arange(250) - 120) / 30) ** 2))
    high, _ = extremes(track(scores), 4)
    gaps = np.diff(sorted(high)) / RATE
    assert len(high) == 4
    assert gaps.min() >= 1 - 1e-6


def test_a_cut_out_shows_the_square_and_is_grey_outside():
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[..., 0] = 200
    inside = decode_image(cut_out(picture, np.array([10.0, 10, 60, 60])))
    assert inside.shape == (50, 50, 3)
    assert inside[25, 25, 0] > 150
    half = decode_image(cut_out(picture, np.array([-50.0, 0, 50, 100])))
    assert half.shape == (100, 100, 3)
    assert abs(int(half[50, 10].mean()) - 128) < 10
    assert decode_image(cut_out(picture, np.array([200.0, 200, 300, 300]))) is not None


@pytest.mark.parametrize("name", ["a.mp4", "a talk #1?.mp4", "50%.mp4", "ä.mp4", 'quote".mp4', "bad\udcff.mp4"])
def test_links_lead_to_every_file_name(name, tmp_path):
    target = link(tmp_path / "videos" / name, tmp_path / "scores")
    assert not re.search(r'[\s#?"<>]', target)
    assert unquote(target, errors="surrogateescape") == f"../videos/{name}"


def test_the_page_shows_the_original_and_draws_over_it(tmp_path):
    video = encode(tmp_path / "talk.mp4", faces(30))
    files = prediction(video).save(tmp_path / "scores", video=False)
    page = tmp_path / "scores" / "report.html"
    assert files[-1] == page
    text = page.read_text()
    assert 'src="../talk.mp4"' in text
    made = data(page)
    assert made["overlay"]
    assert len(made["tracks"][0]["boxes"]) == 30
    assert text.count("data:image/jpeg") == 8
    # Nothing is loaded from a network; the script of Plotly has links, but loads nothing.
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', text.partition("<footer>")[0])


def test_an_original_that_browsers_do_not_play_is_replaced(tmp_path):
    video = encode(tmp_path / "talk.mkv", faces(30))
    prediction(video).save(tmp_path / "with")
    text = (tmp_path / "with" / "report.html").read_text()
    assert 'src="talk.mp4"' in text
    assert "cannot be switched off" in text
    assert not data(tmp_path / "with" / "report.html")["overlay"]
    prediction(video).save(tmp_path / "without", video=False)
    text = (tmp_path / "without" / "report.html").read_text()
    assert "<video" not in text
    assert "There is no video to show" in text


def test_a_picture_is_shown_without_a_curve(tmp_path):
    picture = tmp_path / "face.png"
    cv2.imwrite(str(picture), faces(1)[0])
    one = prediction(picture, frames=1, seconds=0.0)
    one.save(tmp_path / "scores", video=False)
    text = (tmp_path / "scores" / "report.html").read_text()
    assert 'src="../face.png"' in text
    assert 'id="curve"' not in text
    assert "Plotly" not in text.partition("<main")[0]


def test_text_of_a_video_cannot_leave_its_place(tmp_path):
    video = encode(tmp_path / "talk.mp4", faces(30))
    evil = "</script><script>alert(1)</script>"
    prediction(video, notes=[evil], caution=evil, model={"name": evil}).save(tmp_path, stem="x", video=False)
    assert evil not in (tmp_path / "report.html").read_text()


def test_the_words_say_what_the_score_means(tmp_path):
    video = encode(tmp_path / "talk.mp4", faces(30))
    known = Calibration(real=(0.1, 0.2, 0.4, 0.9), people=3)

    def said(found):
        found.save(tmp_path, stem="x", video=False)
        return (tmp_path / "report.html").read_text()

    text = said(prediction(video, calibration=known))
    assert "1 of 4 real videos of 3 people that the network has not seen score at least as high" in text
    assert "It is not a probability" in text
    assert "Do not base decisions on it" in text
    assert "no calibration: it is not known" in said(prediction(video))
    other = prediction(video)
    other.tracks.append(replace(other.tracks[0], id=7, overall=0.99))
    assert "Face 7 has a higher score, 0.990" in said(other)
