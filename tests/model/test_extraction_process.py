"""Extraction in another process: the same runs, the same errors, and no process is left running."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import numpy as np
import pytest
from face_videos import empty_rooms, encode, faces

from mgst_data.core import NoFaceError, VideoError
from mgst_model.evaluate.crops import InputSpec
from mgst_model.predict.faces import FaceRun, RunReader, VideoSummary, face_extractor
from mgst_model.predict.process import RunProcess

SPEC = InputSpec(frames=8, min_frames=2, size=64)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Four files: a face, an empty room, a text file, and another face."""
    folder = tmp_path_factory.mktemp("videos")
    text = folder / "text.mp4"
    text.write_text("not a video\n" * 50)
    paths = encode(folder / "one.mp4", faces(40)), encode(folder / "room.mp4", empty_rooms(10)), text
    return [str(path) for path in (*paths, encode(folder / "two.mp4", faces(12)))]


def assert_same(found, wanted):
    assert len(found) == len(wanted)
    for mine, theirs in zip(found, wanted, strict=True):
        assert type(mine) is type(theirs)
        for field in fields(mine):
            ours, others = getattr(mine, field.name), getattr(theirs, field.name)
            # With several threads, sums differ in the last bits.
            assert ours == others if isinstance(ours, list) else np.allclose(ours, others, atol=1e-3), field.name


def test_runs_and_errors_equal_those_without_a_second_process(videos):
    here = RunReader(SPEC, face_extractor())
    one, room, text, two = videos
    with RunProcess() as beside:
        beside.begin(SPEC, videos, threads=1)
        runs = list(beside(one))
        assert [type(item) for item in runs] == [FaceRun, FaceRun, VideoSummary]
        assert_same(runs, list(here(one)))
        with pytest.raises(NoFaceError, match="no face in 10 frames") as raised:
            list(beside(room))
        assert raised.value.reason == "no_face"
        assert any("faces.py" in note for note in raised.value.__notes__)
        with pytest.raises(VideoError, match="not a video"):
            list(beside(text))
        assert_same(list(beside(two)), list(here(two)))
        process = beside._process
    assert process.exitcode is not None


def test_a_waiting_caller_gets_an_error_when_a_signal_handler_kills_the_process(videos):
    with RunProcess() as beside, ThreadPoolExecutor(1) as thread:
        beside.begin(SPEC, videos, threads=1)  # its imports take longer than the next two lines
        waiting = thread.submit(lambda: list(beside(videos[0])))
        beside.kill()
        with pytest.raises(VideoError) as caught:
            waiting.result(timeout=30)
    assert caught.value.reason == "worker_died"


def test_a_killed_process_raises_an_error_for_every_video_without_waiting(videos):
    with RunProcess() as beside:
        os.kill(beside._process.pid, signal.SIGKILL)
        beside.begin(SPEC, videos, threads=1)
        for video in videos[:2]:  # every video has the error
            with pytest.raises(VideoError, match="the process that extracts faces ended with code -9") as raised:
                list(beside(video))
            assert raised.value.reason == "worker_died"


def test_leaving_the_context_early_stops_the_process(videos):
    with RunProcess() as beside:
        beside.begin(SPEC, videos * 20, threads=1)
        assert isinstance(next(beside(videos[0])), FaceRun)
        process = beside._process
        assert process.is_alive()
    assert process.exitcode == -signal.SIGTERM


def test_remaining_runs_of_a_video_are_not_mixed_with_the_next_video(videos):
    one, two = videos[0], videos[-1]
    with RunProcess() as beside:
        beside.begin(SPEC, [one, two], threads=1)
        assert next(beside(one)).read <= 40
        *runs, rest = beside(two)
    assert rest.frames == 12
    assert [len(run.frame) for run in runs] == [12]


def test_a_video_that_is_never_requested_does_not_lend_its_faces_to_the_next_one(videos):
    one, two = videos[0], videos[-1]
    with RunProcess() as beside:
        beside.begin(SPEC, [one, two, one], threads=1)
        *runs, rest = beside(two)
        assert (rest.frames, [len(run.frame) for run in runs]) == (12, [12])
        with pytest.raises(ValueError, match="not in tuple"):
            next(beside(two))
        assert list(beside(one))[-1].frames == 40


def test_a_run_without_pixels_holds_no_memory_of_them(videos):
    run = next(RunReader(SPEC, face_extractor())(videos[0]))
    bare = run.without_pixels()
    assert bare.pixels.base is None
    assert bare.pixels.size == 0
    assert np.array_equal(bare.boxes, run.boxes)
