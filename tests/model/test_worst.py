"""The worst errors of a detector, and their crops in shards."""

import numpy as np
import pytest
from face_shards import write_face_shards

from mgst_data.shards import ShardReader
from mgst_data.shards.images import decode_image
from mgst_model.evaluate.predictions import Predictions, VideoScore
from mgst_model.evaluate.worst import CropFinder, worst_videos


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_face_shards(tmp_path_factory.mktemp("worst") / "shards", train=0, val=3, fakes=True)


def score_of(record, score, frames=()):
    about = {"key": record.key, "dataset": record.dataset, "method": record.method, "label": record.label}
    return VideoScore(**about, score=score, frames=frames, frame_indices=tuple(range(len(frames))))


def test_the_worst_are_high_reals_and_low_fakes(shards):
    records = [chunk.record for chunk in ShardReader.open(shards)]
    scores = np.linspace(0.1, 0.9, len(records))
    videos = [score_of(record, float(score)) for record, score in zip(records, scores, strict=True)]
    videos.append(VideoScore(key="none", dataset="ffpp", method="real", label=0, score=None))
    real, fake = worst_videos(Predictions("net", tuple(videos)), count=2)
    assert [video.label for video in (*real, *fake)] == [0, 0, 1, 1]
    assert [video.score for video in real] == sorted(
        (v.score for v in videos if v.label == 0 and v.score), reverse=True
    )[:2]
    assert [video.score for video in fake] == sorted(v.score for v in videos if v.label == 1)[:2]


@pytest.mark.parametrize("label", [0, 1])
def test_the_crop_is_the_frame_that_is_most_wrong(shards, label):
    chunk = next(chunk for chunk in ShardReader.open(shards) if chunk.record.label == label)
    frames = tuple(0.5 + 0.1 * np.sin(np.arange(len(chunk))))
    found = CropFinder([str(shards)])(score_of(chunk.record, 0.5, frames))
    wanted = int(np.argmin(frames) if label else np.argmax(frames))
    assert (found.frame, found.video) == (wanted, chunk.record.video)
    assert found.seconds == pytest.approx(float(chunk.pts[wanted]))
    crop = next(iter(chunk.frames([wanted])))
    assert decode_image(found.jpeg).mean() == pytest.approx(crop.mean(), abs=4)


def test_videos_and_shards_that_are_gone_give_no_crop(shards, tmp_path):
    chunk = ShardReader.open(shards)[0]
    assert CropFinder([str(shards)])(VideoScore(key="other", dataset="ffpp", method="real", label=0, score=0.5)) is None
    gone = CropFinder.of(Predictions("net", (), {"shards": [str(tmp_path)]}))
    assert "no shards here" in gone.problem
    assert gone(score_of(chunk.record, 0.5)) is None
    assert "do not name their shards" in CropFinder.of(Predictions("net", ())).problem
    assert CropFinder.of(Predictions("net", (), {"shards": str(shards)})).problem == ""
