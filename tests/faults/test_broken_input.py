"""Broken files: one line, or a skipped video with a reason; nothing is unpickled or written elsewhere."""

import io
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from face_videos import encode, faces
from mgst_cli.common.tables import read_toml
from mgst_cli.data import data
from PIL import Image
from shards.synthetic_shards import CONFIG, chunk_of, record_of, write_shard

from mgst_data.core import ShardError, UsageError
from mgst_data.shards import (
    ShardFolder,
    ShardReader,
    ShardReport,
    decode_chunk,
    decode_image,
    decode_mask,
    encode_chunk,
    encode_image,
    open_folder,
    tar,
)
from mgst_data.shards.images import stated_size
from mgst_model.networks import checkpoint

ROOT = Path(__file__).parents[2]
FAULTS = ROOT / "benchmarks" / "faults"
sys.path[:0] = [str(FAULTS)]

import broken_media
from broken_data import Sound, make_config, make_shards
from broken_run import run_slice

PACKAGED = checkpoint.PACKAGED.with_suffix(".safetensors")
DEEP = b"[" * 100_000


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    out = tmp_path_factory.mktemp("sound") / "shards"
    records = [record_of("a"), record_of("b", label=1)]
    with open_folder(out, CONFIG, records, videos_per_shard=1) as folder:
        for task in folder.missing(records):
            write_shard(out, task)
        folder.finish()
    return Sound(out, PACKAGED, tuple(sorted((ROOT / "configs").rglob("*.toml"))))


# Threads of other tests could hold a lock while a process is forked, so the files are checked in a process of its own.
CHECK = """
import json, sys
from dataclasses import asdict
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
from broken_data import Sound
from broken_run import preload, run_slice
preload()
sound = Sound(*map(Path, sys.argv[4:6]), tuple(map(Path, sys.argv[6:])))
work = Path(sys.argv[2])
for kind, count in json.loads(sys.argv[3]).items():
    for outcome in run_slice(kind, range(count), 11, work, sound, work / f"{kind}.jsonl"):
        print(json.dumps(asdict(outcome)))
"""


def test_a_broken_file_is_refused_in_one_line_or_harmless(tmp_path, sound):
    counts = {"tables": 16, "configurations": 16, "shards": 16, "weights": 4}
    places = map(str, (FAULTS, tmp_path, json.dumps(counts), sound.shards, sound.weights, *sound.configs))
    done = subprocess.run([sys.executable, "-c", CHECK, *places], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert [outcome for outcome in outcomes if outcome["verdict"] == "fault"] == []
    for kind, count in counts.items():
        verdicts = [outcome["verdict"] for outcome in outcomes if outcome["kind"] == kind]
        assert len(verdicts) == count
        assert verdicts.count("refused") > count // 4


def test_the_harness_finds_faults(tmp_path, sound, monkeypatch):
    """A table that is unpickled, a reader that hangs, one that raises, and one that writes elsewhere are all found."""
    bad = {
        "hang": lambda _: __import__("re").match("(a+)+$", 64 * "a" + "b"),
        "raise": lambda _: 1 // 0,
        "unpickle": lambda _: __import__("pickle").loads(b"cos\ngetcwd\n."),
        "write": lambda arguments: (Path(arguments[0]) / "elsewhere").touch(),
        "silent": lambda _: 1,
    }
    monkeypatch.setattr("broken_run._COMMANDS", bad)
    monkeypatch.setattr("broken_run.SECONDS", 0.3)
    names = list(bad)
    maker = {"tables": lambda folder, draw, _: ("none", [[names[0], str(tmp_path)]])}
    monkeypatch.setattr("broken_run.MAKERS", maker)
    found = []
    while names:
        found += run_slice("tables", range(1), 0, tmp_path, sound, tmp_path / "log.jsonl")
        names.pop(0)
    assert [outcome.verdict for outcome in found] == ["fault"] * len(bad)
    for outcome, words in zip(
        found, ("hangs", "ZeroDivisionError", "unpickled", "wrote", "without a message"), strict=True
    ):
        assert words in outcome.detail


def test_the_same_seed_gives_the_same_broken_files(tmp_path, sound):
    content = {"png": encode_image(np.zeros((8, 8, 3), np.uint8), image_format="png")}
    made = []
    for attempt in ("x", "y"):
        folder = tmp_path / attempt
        for maker in (make_config, make_shards):
            (folder / maker.__name__).mkdir(parents=True)
            made.append(maker(folder / maker.__name__, random.Random(3), sound)[0])
        made.append({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()})
        made.append(broken_media.make("png", content, random.Random(5)))
    assert made[: len(made) // 2] == made[len(made) // 2 :]


def test_neighbours_of_broken_videos_and_pictures_are_complete(tmp_path):
    def samples(out):
        found = {}
        for shard in sorted(out.glob("*.tar")):
            report = ShardReport.from_json(shard.with_suffix(".json").read_bytes())
            content = shard.read_bytes()
            found |= {one.key: content[one.offset : one.offset + one.size] for one in report.samples}
        return found

    frames = faces(10)
    content = broken_media.seeds(frames)
    kinds = (*broken_media.FORMATS, "png", "jpg")
    for name, broken in (("sound", 0), ("mixed", 14)):
        folder = tmp_path / name / "set" / "real"  # the name of the data set is in every sample
        folder.mkdir(parents=True)
        for neighbour in ("a", "z"):
            encode(folder / f"{neighbour}.mp4", frames)
        for i in range(broken):
            draw = random.Random(i)
            suffix = kinds[i % len(kinds)]
            (folder / f"m{i}.{suffix}").write_bytes(broken_media.make(suffix, content, draw)[1])
        arguments = ("--src", tmp_path / name / "set", "--out", tmp_path / f"{name}-out", "--executor", "serial")
        result = CliRunner().invoke(data, ["extract", *map(str, arguments)])
        assert result.exit_code == 0
        assert "internal_error" not in result.output
    alone, mixed = samples(tmp_path / "sound-out"), samples(tmp_path / "mixed-out")
    assert alone
    assert alone.items() <= mixed.items()


@pytest.mark.parametrize("size", [b"-0000001000", b"-0000002000", b"-0000000001", b"77777777777"])
def test_a_tar_member_of_negative_or_extreme_size_ends_the_shard(size):
    packed = bytearray(tar.pack("a.json", b"{}") + tar.pack("b.json", b"{}"))
    packed[1024 + 124 : 1024 + 135] = size
    with pytest.raises(ShardError, match="tar"):
        list(tar.unpack(memoryview(bytes(packed))))


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'a': " + "-" * 5000 + "1}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000000,), }",
        '"' * 3,
        "",
    ],
)
def test_an_array_with_a_broken_header_is_a_broken_sample(header):
    array = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode() + bytes(64)
    sample = encode_chunk(chunk_of(record_of("a"))) | {"boxes.npy": array}
    with pytest.raises(ShardError):
        decode_chunk(sample)


@pytest.mark.parametrize("image_format", ["jpg", "png"])
def test_a_crop_that_states_a_hostile_size_takes_no_memory(image_format):
    data = encode_image(np.zeros((16, 24, 3), np.uint8), image_format=image_format)
    assert stated_size(data) == (24, 16)
    at, width = (data.find(b"\xff\xc0") + 5, 2) if image_format == "jpg" else (16, 4)
    hostile = data[:at] + 2 * (30_000).to_bytes(width, "big") + data[at + 2 * width :]
    began = time.perf_counter()
    assert decode_image(hostile) is None
    assert decode_mask(hostile) is None
    assert time.perf_counter() - began < 0.5


def test_the_stated_size_is_that_of_other_encoders():
    picture = Image.new("RGB", (33, 21))
    for options in ({"format": "JPEG"}, {"format": "JPEG", "progressive": True}, {"format": "PNG"}):
        out = io.BytesIO()
        picture.save(out, **options)
        assert stated_size(out.getvalue()) == (33, 21)
    for broken in (b"", b"\xff\xd8", b"\xff\xd8\xff", b"RIFF", b"\xff\xd8\xff\xe0\0\0" * 9):
        assert stated_size(broken) == ()
        assert decode_image(broken) is None


def test_json_that_is_nested_too_deeply_is_one_line(tmp_path, sound):
    for name in ("dataset.json", "people.json", "train-000000.json"):
        folder = tmp_path / name
        folder.mkdir()
        for path in sound.shards.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        (folder / name).write_bytes(DEEP)
        with pytest.raises(ShardError, match="nested too deeply"):
            ShardReader.open(str(folder))
    (tmp_path / "w.safetensors").symlink_to(PACKAGED)
    (tmp_path / "w.json").write_bytes(DEEP)
    with pytest.raises(UsageError, match="nested too deeply"):
        checkpoint.load_network(tmp_path / "w.safetensors")
    (tmp_path / "a.toml").write_text("a = " + "[" * 5000)
    with pytest.raises(UsageError, match="nested too deeply"):
        read_toml(tmp_path / "a.toml")


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/b", ".", ".hidden", "", "a\0b", 5])
def test_the_plan_of_a_folder_names_no_file_elsewhere(tmp_path, name):
    state = {"schema": 1, "config": {}, "shards": [{"name": name, "videos": ["a"]}]}
    (tmp_path / "dataset.json").write_text(json.dumps(state))
    with pytest.raises(ShardError, match="malformed"):
        ShardFolder.read(tmp_path)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("name",), "../outside"),
        (("videos", 0, "label"), 5),
        (("videos", 0, "split"), "NaN"),
        (("videos", 0), []),
        (("samples", 0, "offset"), -512),
        (("samples", 0, "size"), 2**63),
        (("samples", 0, "frames"), -1),
        (("samples", 0, "key"), "nokey"),
        (("files", 0, "name"), "/etc/passwd"),
        (("files", 0, "bytes"), -1),
    ],
)
def test_a_report_with_impossible_values_is_malformed(sound, place, value):
    raw = json.loads((sound.shards / "train-000000.json").read_bytes())
    *path, last = place
    holder = raw
    for key in path:
        holder = holder[key]
    holder[last] = value
    with pytest.raises(ShardError, match="malformed report"):
        ShardReport.from_json(json.dumps(raw).encode(), where="x")


@pytest.mark.parametrize(
    "change", [{"dim": 4_000_000}, {"blocks": 10**9}, {"mlp_ratio": 1e9}, {"embedding_dim": 10**9}]
)
def test_a_card_cannot_ask_for_more_memory_than_its_weights_have(tmp_path, change):
    card = json.loads(PACKAGED.with_suffix(".json").read_bytes())
    card["network"] |= {"kind": "parallel"} | change
    (tmp_path / "w.json").write_text(json.dumps(card))
    (tmp_path / "w.safetensors").symlink_to(PACKAGED)
    with pytest.raises(UsageError, match=f"do not fit w.json: .*{next(iter(change))}"):
        checkpoint.load_network(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "change", [{"frames": 10**18}, {"size": 10**9}, {"info": None}, {"info": [1]}, {"network": {"backbone": 1.5}}]
)
def test_a_card_with_impossible_values_is_refused(tmp_path, change):
    card = json.loads(PACKAGED.with_suffix(".json").read_bytes()) | change
    with pytest.raises(UsageError, match="not a network card"):
        checkpoint.parse_card(card, where="w.json")
