"""Records and segments refuse invalid values, errors have one line, random streams have names, registries suggest."""

from __future__ import annotations

import pickle
import subprocess
import sys
from importlib.metadata import EntryPoint

import jaxtyping
import numpy as np
import pytest
import torch

import mgst_data.core as core
from mgst_data.core import (
    Detections,
    FaceTrack,
    FrameBatch,
    MgstError,
    Registry,
    Segment,
    UsageError,
    VideoError,
    VideoRecord,
    generator_for,
    seed_for,
)
from mgst_data.core import registry as registry_module
from mgst_data.core.errors import printable


def record(**changes):
    fields = {"key": "a", "path": "/x/a.mp4", "video": "a.mp4", "dataset": "set", "split": "", "label": 0}
    return VideoRecord(**{**fields, "method": "real", **changes})


def points(*shape):
    """Landmarks on the diagonal of a small picture."""
    return torch.linspace(0, 6, shape[-1])[:, None].expand(*shape, 2).clone()


def test_the_public_names_exist():
    assert sorted(core.__all__) == sorted(set(core.__all__))
    assert all(hasattr(core, name) for name in core.__all__)


def test_core_imports_torch_and_little_else():
    heavy = ["av", "click", "cv2", "dlib", "facenet_pytorch", "fsspec", "rich", "skimage", "torchvision", "webdataset"]
    code = f"import sys, mgst_data.core; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("change", [{"label": 2}, {"split": "dev"}, {"key": "a.b"}, {"key": ""}, {"key": "x" * 121}])
def test_a_record_refuses_invalid_values(change):
    with pytest.raises(ValueError):
        record(**change)


def test_a_record_lists_its_identities():
    assert record().identities == frozenset()
    assert record(source_key="ffpp/003", target_key="ffpp/000").identities == {"ffpp/003", "ffpp/000"}


@pytest.fixture
def no_shape_checks():
    """Switches off the annotation checks that only the tests have, so that the checks of the library are tested."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_columns_of_different_length_are_refused(no_shape_checks):
    with pytest.raises(ValueError, match="must have the same length"):
        Detections(torch.zeros(2, dtype=torch.long), torch.zeros(1, 4), torch.zeros(2), torch.zeros(2, 5, 2))


def test_detections_are_indexed_like_a_table():
    found = Detections(torch.arange(3), torch.zeros(3, 4), torch.tensor([0.2, 0.9, 0.8]), torch.zeros(3, 5, 2))
    assert found[found.scores > 0.5].frame.tolist() == [1, 2]
    assert len(found[:0]) == len(Detections.empty()) == 0


def test_reprs_show_shapes_not_pixels():
    frames = torch.zeros(4, 3, 8, 6, dtype=torch.uint8)
    batch = FrameBatch(frames, torch.arange(4), torch.zeros(4), 25.0)
    track = FaceTrack(
        3, torch.arange(5, 9), torch.zeros(4, 4), torch.ones(4), torch.zeros(4, 5, 2), torch.zeros(4, 68, 2)
    )
    segment = Segment.of(frames[None], points(1, 4, 68))
    assert repr(batch) == "FrameBatch(4 frames of 8x6)"
    assert repr(track) == "FaceTrack(id 3, frames 5-8, 68 landmarks)"
    assert repr(segment) == "Segment(1x4 frames of 8x6, 68 landmarks, torch.float32, cpu)"


def test_a_segment_is_made_of_frames_and_landmarks(generator):
    frames = torch.randint(0, 256, (2, 4, 3, 16, 16), dtype=torch.uint8, generator=generator)
    segment = Segment.of(frames, points(2, 4, 81), label=torch.tensor([0, 1]))
    assert float(segment.frames.max()) <= 1.0
    assert segment.frame_label.tolist() == [[0.0] * 4, [1.0] * 4]
    assert segment.patch_label.shape == (2, 4, 14, 14)
    assert bool(segment.valid.all())


def test_single_pictures_are_segments_of_one_frame():
    segment = Segment.of(torch.full((4, 3, 8, 8), 255, dtype=torch.uint8), points(4, 68))
    assert segment.frames.shape == (4, 1, 3, 8, 8)
    assert segment.landmarks.shape == (4, 1, 68, 2)
    assert segment.frames.max() == 1
    assert len(segment[1:3]) == 2


def test_landmarks_may_be_left_out_and_say_which_frames_have_a_face():
    assert Segment.of(torch.zeros(2, 3, 3, 8, 8)).landmarks.shape == (2, 3, 0, 2)
    landmarks = points(1, 3, 68)
    landmarks[0, 1, 5] = float("nan")
    assert Segment.of(torch.zeros(1, 3, 3, 8, 8), landmarks).valid.tolist() == [[True, False, True]]


def test_an_error_is_one_line_and_can_be_pickled():
    error = VideoError("no video stream", where="a\nb\udcff.mp4", hint="convert it", reason="no_video_stream")
    line = str(error)
    assert line == r"a\nb\xff.mp4: no video stream (convert it)"
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.reason, type(copy)) == (line, "no_video_stream", VideoError)
    assert isinstance(copy, MgstError)
    assert (VideoError("x").exit_code, UsageError("x").exit_code) == (1, 2)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://key:secret@bucket/a", "s3://***@bucket/a"),
        ("abfs://box@account.dfs.net/a?sv=1&sig=ab%2Fc&se=2", "abfs://box@account.dfs.net/a?sv=1&sig=***&se=2"),
        ("https://x.org/v.mp4?id=5&X-Amz-Signature=12#t", "https://x.org/v.mp4?id=5&X-Amz-Signature=***#t"),
        ("hf://user/name@v1.0", "hf://user/name@v1.0"),
    ],
)
def test_printable_hides_what_gives_access(url, shown):
    assert printable(url) == shown
    assert UsageError("no such file", where=url).where == shown


def test_printable_gives_valid_text_for_any_bytes():
    for text in ("plain", "é", "\x1b[31m", "a\tb", "\udc80", "\ud800"):
        assert printable(text).encode("utf-8").isascii() or text == "é"
        assert printable(text).isprintable()


def test_streams_of_one_seed_are_independent():
    names = [("a", 1), ("a1",), ("a", "1"), ("a",), (1,), ("1",)]
    assert len({seed_for(0, *name) for name in names} | {seed_for(1, *name) for name in names}) == 2 * len(names)
    draws = [torch.rand(4, generator=generator_for(0, "x", 3)) for _ in range(2)]
    assert torch.equal(*draws)


def test_integers_of_any_type_give_the_same_seed(no_shape_checks):
    assert seed_for(3, "a") == seed_for(np.int64(3), "a")
    assert seed_for(1, "a") == seed_for(True, "a")


def test_a_registry_lists_known_names(monkeypatch):
    things: Registry[str] = Registry("mgst_data.layouts")
    things.register("faceforensics")("ours")
    plugged = EntryPoint("celebdf", "sys:platform", "mgst_data.layouts")
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [plugged])
    assert things.names() == ("faceforensics", "celebdf")
    assert things.get("faceforensics") == "ours"
    assert things.get("celebdf") == sys.platform
    with pytest.raises(ValueError, match="already"):
        things.register("faceforensics")("again")
    with pytest.raises(UsageError, match=r"unknown layout 'facefrensics'.*did you mean 'faceforensics'"):
        things.get("facefrensics")
