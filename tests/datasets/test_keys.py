"""Keys are valid file names, unique, and depend only on the path."""

import os
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from mgst_data.core import VideoRecord
from mgst_data.datasets.keys import MAX_KEY, video_key

SAFE = re.compile(r"[A-Za-z0-9_-]{1,120}")
PATHS = st.one_of(
    st.text(st.sampled_from("ab_-./é\udce9"), min_size=1, max_size=12),
    st.text(min_size=1, max_size=300),
    st.binary(min_size=1, max_size=40).map(os.fsdecode),
)


@settings(deadline=None)
@given(PATHS, st.sampled_from(["", ".mp4", ".tar.gz"]))
def test_a_key_is_a_valid_file_name(path, suffix):
    key = video_key(path, suffix)
    assert SAFE.fullmatch(key)
    assert VideoRecord(key=key, path="", video="", dataset="", split="", label=0, method="real").key == key


@settings(deadline=None)
@given(st.sets(PATHS, max_size=30), st.sampled_from(["", ".mp4"]))
def test_no_two_paths_share_a_key(paths, suffix):
    assert len({video_key(path, suffix) for path in paths}) == len(paths)


@settings(deadline=None)
@given(PATHS)
def test_a_path_that_looks_like_a_key_gets_another_key(path):
    key = video_key(path)
    assert key == path or video_key(key) != key


def test_plain_paths_stay_readable():
    assert video_key("Celeb-real/id0_0000.mp4", ".mp4") == "Celeb-real__id0_0000"
    assert video_key("real_train/12.tar.gz", ".tar.gz") == "real_train__12"


def test_keys_from_which_the_path_cannot_be_recovered_have_a_hash():
    names = ("a.b.mp4", "a_b.avi", "a__b.mp4", "é.mp4", "x" * 130 + ".mp4", ".mp4", os.fsdecode(b"caf\xe9.mp4"))
    for name in names:
        assert re.search(r"-[0-9a-f]{12}$", video_key(name, ".mp4")), name


def test_long_names_that_differ_at_the_end_only_have_different_keys():
    keys = {video_key(f"{'x' * 250}{end}.mp4", ".mp4") for end in "abc"}
    assert len(keys) == 3
    assert {len(key) for key in keys} == {MAX_KEY}


def test_keys_never_change_between_versions():
    # The samples of existing shards are found by their keys.
    assert video_key("fake/my video.mp4", ".mp4") == "fake__my_video-340f353d6580"
