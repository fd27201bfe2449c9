"""``mgst-data preview-blend``: result files, reproducibility, and messages for bad input."""

import dataclasses
import json
import os
import subprocess
import sys

import av
import cv2
import pytest
import torch
from face_videos import empty_rooms, encode, faces, head
from mgst_cli.data.blend_options import blend_options
from mgst_cli.data.blends import rounded, to_json
from mgst_cli.data.preview_blend import preview_blend

from mgst_data import augment
from mgst_data.augment import PRESETS, BlendMask, Recolour
from mgst_data.core import Segment, UsageError, VideoError, generator_for
from mgst_data.preview.clips import clip_from_video
from mgst_data.shards import ShardReader, decode_chunk, encode_chunk
from mgst_data.shards.tar import END, pack

SMALL = ("--size", 64, "--frames", 4, "--count", 2)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Thirteen frames of a face."""
    return encode(tmp_path_factory.mktemp("video") / "talk.mp4", faces(13))


@pytest.fixture(scope="module")
def written(mgst_data, video, tmp_path_factory):
    """The output folder of a run, and the result of the command."""
    out = tmp_path_factory.mktemp("out") / "new" / "preview"
    return out, mgst_data("preview-blend", video, *SMALL, "--out", out)


@pytest.fixture(scope="module")
def shards(mgst_data, face_set, tmp_path_factory):
    out = tmp_path_factory.mktemp("shards")
    mgst_data("extract", "--src", face_set, "--out", out, "--executor", "serial", "--frames", 5)
    return out


def record_of(out, stem="talk-frame_random"):
    return json.loads((out / f"{stem}.json").read_text())


def test_it_writes_three_files_and_says_where(written):
    out, result = written
    assert result.exit_code == 0
    assert result.stderr == ""
    files = [out / f"talk-frame_random.{suffix}" for suffix in ("mp4", "png", "json")]
    lines = result.stdout.splitlines()
    assert lines[-3:] == [str(path) for path in files]
    assert sorted(out.iterdir()) == sorted(files)
    assert lines[0].endswith("talk.mp4: frames 4 to 7")
    assert lines[1].split() == ["blend", "region", "ratio", "frame", "mask", "drift", "recoloured", "severity"]
    assert [line.split()[0] for line in lines[2:-3]] == ["0", "1"]
    picture = cv2.imread(str(files[1]))
    assert picture.shape[1] >= 4 * 192
    with av.open(str(files[0])) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 8)
        assert sum(1 for _ in film.decode(stream)) == 2 * 32


def test_json_reproduces_the_parameters(written):
    record = record_of(written[0])
    assert (record["preset"], record["seed"]) == ("frame_random", 0)
    assert record["options"] == json.loads(json.dumps(dataclasses.asdict(PRESETS["frame_random"])))
    names = vars(augment) | {"generator_for": generator_for}
    segment = Segment.of(torch.zeros(1, 4, 3, 64, 64), torch.full((1, 4, 68, 2), torch.nan))
    for i, draw in enumerate(record["draws"]):
        assert (draw["draw"], draw["frames"], len(draw["blended"])) == (i, [4, 5, 6, 7], 4)
        params = eval(record["redraw"], names, {"segment": segment, "draw": i}).as_dict()
        assert draw["params"] == json.loads(to_json(rounded(params)))
        assert draw["params"]["mask"]["ratio"] == [pytest.approx(draw["facts"]["ratio"], rel=1e-3)]
        assert draw["facts"]["region"] in record["options"]["mask"]["regions"]


def test_json_keeps_four_digits_on_one_line_for_an_array():
    text = to_json(rounded({"a": {"b": [[0.00012345678, -0.0], [12345.678, 2]], "c": True}, "d": [], "e": {}}))
    assert text == '{\n "a": {\n  "b": [[0.0001235,0.0],[12350.0,2]],\n  "c": true\n },\n "d": [],\n "e": {}\n}\n'


def test_the_same_seed_gives_the_same_bytes_and_another_one_other_draws(mgst_data, video, written, tmp_path):
    mgst_data("preview-blend", video, *SMALL, "--out", tmp_path)
    for path in written[0].iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name
    mgst_data("preview-blend", video, *SMALL, "--count", 1, "--seed", 1, "--out", tmp_path)
    assert record_of(tmp_path)["draws"][0]["params"] != record_of(written[0])["draws"][0]["params"]


def test_options_are_set_by_name(mgst_data, video, tmp_path):
    changes = ("--set", "mask.ratios=[1.0]", "--set", "frame_mask.single=1", "--set", "mask.regions={inner = 1}")
    result = mgst_data("preview-blend", video, *SMALL, "--preset", "strong_drift", *changes, "--out", tmp_path)
    assert result.exit_code == 0
    for draw in record_of(tmp_path, "talk-strong_drift")["draws"]:
        facts = draw["facts"]
        assert (facts["ratio"], facts["frame_mask"], facts["blended"], facts["region"]) == (1.0, "single", 1, "inner")
        assert facts["jumps"]
        assert sum(draw["blended"]) == 1


def test_set_changes_only_the_named_options():
    assert blend_options("strong_drift", []) == PRESETS["strong_drift"]
    sbi = PRESETS["sbi"]
    changes = ["mask.ratios=[1, 0.5]", "warp.scale_range=[1, 1]", "drift=1", "recolour={rgb_p = 0}"]
    blend = blend_options("sbi", changes)
    assert blend.mask == BlendMask(regions=sbi.mask.regions, ratios=(1.0, 0.5))
    assert blend.warp == dataclasses.replace(sbi.warp, scale_range=(1.0, 1.0))
    assert (blend.recolour, blend.frame_mask) == (Recolour(rgb_p=0.0), sbi.frame_mask)
    assert type(blend.drift) is float
    assert blend_options("sbi", ["recolour.factors=[4]"]).recolour == Recolour(factors=(4,))


def test_named_probabilities_replace_those_of_the_preset():
    blend = blend_options("frame_random", ["frame_mask.single=1", "frame_mask.run=2", "mask.regions.lower=1"])
    assert blend.frame_mask == {"single": 1.0, "run": 2.0}
    assert blend.mask.regions == {"lower": 1.0}
    assert blend_options("sbi", ["frame_mask.all=0", "frame_mask.single=1"]).frame_mask == {"all": 0.0, "single": 1.0}
    assert PRESETS["frame_random"].frame_mask["all"] == 0.5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("mask.ratio=[1.0]", r"--set mask.ratio=\[1.0\]: unknown option 'mask.ratio' \(did you mean 'ratios'\?\)"),
        ("drfit=0", r"unknown option 'drfit' \(did you mean 'drift'\?\)"),
        ("frame_mask.singel=1", "unknown frame mask 'singel'; known: all, run, scatter, single"),
        ("mask.regions={iner = 1}", "unknown region 'iner'; known: hull, extended, inner, parts, lower"),
        ("donor.p=1", "unknown option 'donor'"),
        ("makes_fakes=false", "unknown option 'makes_fakes'"),
        ("drift", "not of the form NAME=VALUE"),
        ("drift=fast", "drift must be a number, got 'fast'"),
        ("drift=true", "drift must be a number, got True"),
        ("drift=nan", "drift must be a number, got nan"),
        ("drift.x=1", "drift must be a number, got {'x': 1}"),
        ("mask=3", "mask must be a table, got 3"),
        ("mask.ratios=1", "mask.ratios must be a list of numbers, got 1"),
        ("mask.elastic=[1]", r"mask.elastic must be a list of 2 numbers, got \[1\]"),
        ("mask.size_range=[1.5, 2]", "mask.size_range must be an integer, got 1.5"),
        ("mask.ratios=[2.0]", r"ratios must have at least one value, all in \(0, 1\]"),
        ("frame_mask.single=0", "probabilities of frame masks must be at least 0 and not all 0"),
        ("frame_mask.single=-1", "probabilities of frame masks must be at least 0 and not all 0"),
        ("frame_mask=1", "frame_mask must be a table, got 1"),
        ("mask.regions.hull=big", "mask.regions.hull must be a number, got 'big'"),
        ("mask.regions={}", "probabilities of regions must be at least 0"),
        ("steady_p=2", r"steady_p must be in \[0, 1\]"),
        ("=3", "unknown option ''"),
    ],
)
def test_invalid_option_of_set_is_rejected(override, message):
    with pytest.raises(UsageError, match=message):
        blend_options("frame_random", [override])


def test_a_picture_is_a_segment_of_one_frame(mgst_data, tmp_path):
    cv2.imwrite(str(tmp_path / "face.png"), cv2.cvtColor(head(240), cv2.COLOR_RGB2BGR))
    result = mgst_data("preview-blend", tmp_path / "face.png", *SMALL, "--preset", "sbi", "--out", tmp_path)
    assert result.exit_code == 0
    assert "face.png: frame 0\n" in result.stdout
    assert "instead of" not in result.stderr
    for draw in record_of(tmp_path, "face-sbi")["draws"]:
        assert (draw["frames"], draw["blended"], draw["facts"]["frame_mask"]) == ([0], [True], "all")


def test_short_video_gives_fewer_frames(mgst_data, video, tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.v2.mp4")
    path.write_bytes(video.read_bytes())
    result = mgst_data("preview-blend", path, *SMALL, "--frames", 20, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert r"caf\xe9.v2.mp4: 13 frames instead of 20: the source has no more" in result.stderr
    assert r"caf\xe9.v2-frame_random.mp4" in result.stdout
    draws = record_of(tmp_path / "out", os.fsdecode(b"caf\xe9.v2-frame_random"))["draws"]
    assert [len(draw["frames"]) for draw in draws] == [13, 13]


def test_main_face_is_the_largest_and_the_search_is_limited(tmp_path):
    small, large = faces(8, (20, 0), size=(440, 240), side=150), faces(8, (200, 20), size=(440, 240))
    for frame, other in zip(small, large, strict=True):
        frame[:, 200:] = other[:, 200:]
    path = encode(tmp_path / "two.mp4", small + empty_rooms(60, size=(440, 240)))
    clip = clip_from_video(str(path), frames=4, size=64, searched=20)
    assert clip.frame_indices.tolist() == [0, 1, 2, 3]
    assert clip.segment.frames.shape == (1, 4, 3, 64, 64)
    assert bool(clip.segment.valid.all())
    assert ((clip.segment.landmarks > 0) & (clip.segment.landmarks < 63)).all()
    whole = clip_from_video(str(encode(tmp_path / "one.mp4", large)), frames=4, size=64).segment
    assert (clip.segment.frames - whole.frames).abs().mean() < 0.03


def test_shards_give_one_chunk_of_each_real_video(mgst_data, shards, tmp_path):
    result = mgst_data("preview-blend", shards, "--shard", *SMALL, "--count", 3, "--out", tmp_path)
    assert result.exit_code == 0
    draws = record_of(tmp_path, f"{shards.name}-frame_random")["draws"]
    keys = [chunk.key for chunk in ShardReader.open(shards, label=0) if chunk.chunk == 0]
    assert len(keys) == 2
    assert [draw["source"] for draw in draws] == [keys[0], keys[1], keys[0]]
    assert [draw["frames"] for draw in draws] == [[0, 1, 2, 3]] * 3

    tar = next(shards.glob("train*.tar"))
    result = mgst_data("preview-blend", tar, "--shard", *SMALL, "--frames", 9, "--out", tmp_path)
    assert result.exit_code == 0
    assert f"{keys[0] if 'train' in keys[0] else keys[1]}: 5 frames instead of 9" in result.stderr
    own = record_of(tmp_path, f"{tar.stem}-frame_random")["draws"]
    assert {draw["source"] for draw in own} == {key for key in keys if "train" in key}


def tar_of(path, chunks):
    members = [(f"{c.key}.{name}", data) for c in chunks for name, data in encode_chunk(c).items()]
    path.write_bytes(b"".join(pack(name, data) for name, data in members) + END)
    return path


def test_shards_that_cannot_be_used_are_refused(mgst_data, shards, tmp_path):
    def refused(path, code=2):
        result = mgst_data("preview-blend", path, "--shard", "--out", tmp_path / "out")
        assert result.exit_code == code
        return result.stderr

    chunks = list(ShardReader.open(shards))
    fakes = tar_of(tmp_path / "fakes.tar", [chunk for chunk in chunks if chunk.record.label])
    assert "fakes.tar: no chunk of a real video (self-blends are made from real faces; give shards" in refused(fakes)
    real = next(chunk for chunk in chunks if not chunk.record.label)
    few = {name: getattr(real, name)[:, :5] for name in ("landmarks", "landmarks_raw", "valid")}
    five = tar_of(tmp_path / "five.tar", [dataclasses.replace(real, **few)])
    assert f"{real.key}: has 5 landmarks, not 68 or 81" in refused(five)
    torn = {**encode_chunk(real)}
    del torn["landmarks.npy"]
    with pytest.raises(Exception, match="landmarks"):
        decode_chunk(torn)
    (tmp_path / "torn.tar").write_bytes(b"".join(pack(f"{real.key}.{k}", v) for k, v in torn.items()) + END)
    assert f"torn.tar: {real.key}: 'landmarks.npy' is missing" in refused(tmp_path / "torn.tar", code=1)
    (tmp_path / "text.tar").write_text("no tar" * 200)
    assert "text.tar: not a tar file, or damaged" in refused(tmp_path / "text.tar", code=1)
    assert "gone.tar: no such file or directory (check the path)" in refused(tmp_path / "gone.tar")
    assert "no shards here (give a folder that mgst-data extract has written" in refused(tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_video_that_cannot_be_used_is_refused(mgst_data, shards, tmp_path):
    encode(tmp_path / "room.mp4", empty_rooms(6))
    encode(tmp_path / "small.mp4", faces(6, (100, 100), side=60))
    (tmp_path / "text.mp4").write_text("not a video at all\n" * 50)
    cases = {
        tmp_path / "nowhere.mp4": (1, "nowhere.mp4: no such file (check the path)"),
        tmp_path / "text.mp4": (1, "text.mp4: not a video"),
        tmp_path / "room.mp4": (
            1,
            "room.mp4: no face in 6 frames (use a video or picture with a clearly visible face)",
        ),
        tmp_path / "small.mp4": (1, "small.mp4: all faces are smaller than 40 pixels (use a video"),
        tmp_path: (2, "not a video but a folder (give one video or picture, or add --shard if"),
        shards: (2, "not a video but shards (add --shard"),
        next(shards.glob("*.tar")): (2, "not a video but shards (add --shard"),
    }
    for path, (code, message) in cases.items():
        result = mgst_data("preview-blend", path, "--out", tmp_path / "out")
        assert result.exit_code == code
        assert message in result.stderr
        assert result.stderr.startswith(f"error: {path}: ")
        assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--preset", "sbii"), "error: --preset: unknown preset 'sbii' (did you mean 'sbi'?)"),
        (("--set", "mask.rations=[1]"), "did you mean 'ratios'"),
        (("--count", 0), "Invalid value for '--count': 0 is not in the range"),
        (("--frames", 0), "Invalid value for '--frames': 0 is not in the range"),
        (("--size", 5), "Invalid value for '--size': 5 is not in the range"),
    ],
)
def test_invalid_option_is_rejected_before_the_video_is_read(mgst_data, tmp_path, arguments, message):
    result = mgst_data("preview-blend", tmp_path / "nowhere.mp4", *arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]


def test_invalid_output_folder_is_rejected(mgst_data, video, tmp_path):
    (tmp_path / "file").write_text("")
    result = mgst_data("preview-blend", video, *SMALL, "--out", tmp_path / "file")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {tmp_path / 'file'}: this is a file, not a folder")


def test_debug_shows_where_an_error_comes_from(mgst_data, tmp_path):
    with pytest.raises(VideoError, match="no such file"):
        mgst_data("preview-blend", tmp_path / "nowhere.mp4", "--debug")


def test_help_is_fast_and_names_the_presets():
    heavy = "{'torch', 'numpy', 'cv2', 'av', 'rich'} & set(sys.modules)"
    run = "data(['preview-blend', '-h'], standalone_mode=False)"
    code = f"import sys; from mgst_cli.data import data; {run}; print({heavy})"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.endswith("set()\n")
    named = next(parameter for parameter in preview_blend.params if parameter.name == "preset")
    assert not [preset for preset in PRESETS if preset not in named.help]
    assert f"[default: {named.default}]" in named.help
    assert named.default in PRESETS
