import pickle

import cv2
import pytest
import torch
from fakes import FakeExtractor, task_of

from mgst_data.core import OutputError
from mgst_data.extract import ExtractConfig, ExtractJob, job
from mgst_data.extract.executors import Loss, Opening
from mgst_data.shards import ShardStore, VideoReport


@pytest.fixture(autouse=True)
def _fake_extractor(monkeypatch):
    job._load.cache_clear()
    monkeypatch.setattr(FakeExtractor, "made", 0)
    monkeypatch.setattr(job, "Extractor", FakeExtractor)
    yield
    job._load.cache_clear()


@pytest.fixture
def extracted(monkeypatch):
    """Keys of the extracted videos, in order."""
    keys = []
    call = FakeExtractor.__call__
    monkeypatch.setattr(FakeExtractor, "__call__", lambda self, record: keys.append(record.key) or call(self, record))
    return keys


def run(folder, task, *, lost=None, **options):
    *events, shard = ExtractJob(ExtractConfig(), ShardStore.at(folder), **options)(task, lost or {})
    return {video.key: video for video in events if isinstance(video, VideoReport)}, shard


def test_bad_videos_are_skipped_with_their_reason_and_the_others_kept(tmp_path):
    videos, shard = run(tmp_path, task_of("train-000000", "a", "empty", "noface", "bug", "cut", "b"))
    assert {key: video.reason for key, video in videos.items()} == {
        "a": "", "empty": "empty_file", "noface": "no_face", "bug": "internal_error", "cut": "", "b": "",
    }  # fmt: skip
    assert [sample.key for sample in shard.samples] == [
        f"{key}-00-{number:04d}" for key in ("a", "cut", "b") for number in (0, 1)
    ]
    kept = videos["a"]
    assert (kept.frames, kept.tracks, kept.chunks, kept.images) == (6, 1, 2, 6)
    assert videos["cut"].notes == (("truncated", "videos/cut.mp4: damaged"),)
    assert tuple(videos.values()) == shard.videos


def test_a_message_is_one_line_with_the_path_of_the_video_in_the_data_set(tmp_path):
    videos, _ = run(tmp_path, task_of("train-000000", "empty", "bug"))
    assert videos["empty"].message == "videos/empty.mp4: the file is empty (copy it again)"
    assert videos["bug"].message.startswith("videos/bug.mp4: ZeroDivisionError: division\\nby zero (")


def test_a_lost_video_is_not_opened(tmp_path):
    lost = {"a": Loss("timeout", "took longer than 5 seconds")}
    videos, shard = run(tmp_path, task_of("train-000000", "a", "b"), lost=lost)
    assert videos["a"].reason == "timeout"
    assert videos["a"].message.startswith("videos/a.mp4: took longer than 5 seconds (check the file, or give --video")
    assert {sample.key for sample in shard.samples} == {"b-00-0000", "b-00-0001"}


def test_debug_raises_unexpected_errors_and_still_skips_bad_videos(tmp_path):
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, task_of("train-000000", "bug"), debug=True)
    assert not list(tmp_path.iterdir())
    videos, _ = run(tmp_path, task_of("train-000000", "empty"), debug=True)
    assert videos["empty"].skipped


@pytest.mark.parametrize(
    ("key", "error", "options"),
    [("full", OutputError, {}), ("stop", KeyboardInterrupt, {}), ("bug", ZeroDivisionError, {"debug": True})],
)
def test_an_error_that_ends_a_job_keeps_the_finished_videos(tmp_path, key, error, options, extracted):
    task = task_of("train-000000", "a", "noface", key, "b")
    with pytest.raises(error):
        run(tmp_path, task, **options)
    assert {path.suffix for path in tmp_path.iterdir()} == {".part", ".progress"}
    videos, shard = run(tmp_path, task, lost={key: Loss("worker_died", "its worker was killed")})
    assert extracted == ["a", "noface", key, "b"]
    assert [video.reason for video in shard.videos] == ["", "no_face", "worker_died", ""]
    assert tuple(videos.values()) == shard.videos  # videos that were finished before are reported too


def test_a_closed_job_keeps_the_finished_videos(tmp_path, extracted):
    task = task_of("train-000000", "a", "b")
    events = ExtractJob(ExtractConfig(), ShardStore.at(tmp_path))(task, {})
    assert isinstance(next(events), Opening)
    assert isinstance(next(events), VideoReport)
    events.close()
    _, shard = run(tmp_path, task)
    assert extracted == ["a", "b"]
    other = tmp_path / "other"
    other.mkdir()
    assert run(other, task)[1].files == shard.files


def test_models_are_loaded_once_per_process_and_a_job_can_be_pickled(tmp_path):
    for name in ("train-000000", "train-000001"):
        copy = pickle.loads(pickle.dumps(ExtractJob(ExtractConfig(), ShardStore.at(tmp_path))))
        list(copy(task_of(name, "a"), {}))
    assert FakeExtractor.made == 1


def test_a_job_uses_one_thread_and_restores_the_settings(tmp_path):
    before = torch.get_num_threads(), cv2.getNumThreads(), torch.backends.cudnn.deterministic
    torch.set_num_threads(2)
    events = ExtractJob(ExtractConfig(), ShardStore.at(tmp_path))(task_of("train-000000", "a"), {})
    next(events)
    assert (torch.get_num_threads(), cv2.getNumThreads(), torch.backends.cudnn.deterministic) == (1, 1, True)
    events.close()
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before[0])
    assert (torch.get_num_threads(), cv2.getNumThreads(), torch.backends.cudnn.deterministic) == before
