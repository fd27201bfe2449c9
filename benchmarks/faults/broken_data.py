"""Broken tables, configurations, shards and weights. Each maker writes the files that one command reads."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import random
import shutil
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from broken_bytes import NUMBERS, VALUES, mutate, mutate_json

OUTSIDE = "broken_input_outside"


class Payload:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (f"/tmp/{OUTSIDE}",)


@dataclass(frozen=True, slots=True)
class Sound:
    """Sound files that the makers start from.

    Attributes:
        shards: Folder of shards.
        weights: Weights of a network, with its card next to it.
        configs: TOML files.
    """

    shards: Path
    weights: Path
    configs: tuple[Path, ...]


# --- Tables ---
TABLES: Mapping[str, tuple[str, Any]] = {
    "list.jsonl": ("list.jsonl", [{"path": "a.mp4", "label": "real"}, {"path": "b.mp4", "label": 1, "split": "test"}]),
    "list.csv": ("list.csv", "path,label,split,source\na.mp4,real,train,x\n\"b.mp4\",fake,test,x\n"),
    "dfdc": ("dfdc_train_part_0/metadata.json", {
        "a.mp4": {"label": "REAL", "split": "train"},
        "b.mp4": {"label": "FAKE", "split": "train", "original": "a.mp4"},
    }),
    "faceforensics": ("splits/train.json", [["000", "003"], ["001", "002"]]),
    "fakeavceleb": ("meta_data.csv", "source,target1,target2,method,category,type,race,gender,path,\n"
                    "id1,-,-,real,A,RealVideo-RealAudio,x,men,a.mp4,FakeAVCeleb\n"),
    "deeperforensics": ("lists/splits/train.txt", "000_M.mp4\n001_W.mp4\n"),
    "celebdf": ("List_of_testing_videos.txt", "1 Celeb-real/id0_0000.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n"),
    "av_deepfake1m": ("train_metadata.json", [
        {"file": "a.mp4", "n_fakes": 1, "fake_periods": [[0.1, 0.3]], "timestamps": [], "duration": 1.0,
         "original": None, "modify_video": True, "modify_audio": False, "split": "train", "video_frames": 25},
    ]),
}  # fmt: skip
_VIDEOS = (
    "a.mp4", "b.mp4", "dfdc_train_part_0/a.mp4", "dfdc_train_part_0/b.mp4",
    "original_sequences/youtube/c23/videos/000.mp4", "manipulated_sequences/Deepfakes/c23/videos/000_003.mp4",
    "Celeb-real/id0_0000.mp4", "Celeb-synthesis/id0_id1_0000.mp4", "YouTube-real/00000.mp4", "train/a.mp4",
)  # fmt: skip


def make_table(folder: Path, draw: random.Random) -> tuple[str, list[list[str]]]:
    """Writes a data set of empty videos with a broken list.

    Args:
        folder: Empty folder.
        draw: Generator.

    Returns:
        Name of the mutation, and the commands that read it.
    """
    layout = draw.choice(tuple(TABLES))
    name, content = TABLES[layout]
    for video in _VIDEOS:
        (folder / video).parent.mkdir(parents=True, exist_ok=True)
        (folder / video).touch()
    if isinstance(content, str):
        way, data = _broken_text(content, draw)
    elif name.endswith(".jsonl"):
        way, data = mutate_json(content[0], draw)
        data += b"\n" + json.dumps(content[1]).encode()
    else:
        way, data = mutate_json(content, draw)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    source = folder / name if layout.startswith("list.") else folder
    chosen = [] if layout.startswith("list.") else ["--layout", layout]
    return way, [["data", "extract", "--src", str(source), *chosen, "--dry-run"]]


def _broken_text(text: str, draw: random.Random) -> tuple[str, bytes]:
    """Breaks a text with columns: its bytes, or one of its values."""
    if draw.random() < 0.5:
        return mutate(text.encode(), draw)
    lines = [line.split(",") for line in text.splitlines()]
    line = draw.choice(lines)
    line[draw.randrange(len(line))] = str(draw.choice(VALUES))
    changed = "\n".join(",".join(values) for values in lines)
    return "wrong value", changed.encode("utf-8", "surrogatepass")


# --- Configurations ---
def make_config(folder: Path, draw: random.Random, sound: Sound) -> tuple[str, list[list[str]]]:
    """Writes a broken TOML file, see :func:`make_table`."""
    text = draw.choice(sound.configs).read_text()
    lines = text.splitlines()
    at = draw.choice([i for i, line in enumerate(lines) if "=" in line])
    way = draw.randrange(6)
    name = "wrong value"
    if way == 0:
        name, data = mutate(text.encode(), draw)
    else:
        if way == 1:
            name, lines[at] = "deep nesting", "a = " + "[" * draw.choice((90, 3000))
        elif way == 2:
            name = "repeated part"
            lines.insert(at, lines[at])
        elif way == 3:
            name, lines[at] = "extreme integer", f"{lines[at].partition('=')[0]}= {draw.choice(NUMBERS)!r}"
        else:
            value = draw.choice(
                ('""', '"x"', "[]", "[1, 2]", "nan", "inf", "-inf", "1979-05-27", "true", "{}", "'''a\nb'''")
            )
            lines[at] = f"{lines[at].partition('=')[0]}= {value}"
        data = "\n".join(lines).encode()
    (folder / "config.toml").write_bytes(data)
    return name, [["config", str(folder / "config.toml")]]


# --- Shards ---
def make_shards(folder: Path, draw: random.Random, sound: Sound) -> tuple[str, list[list[str]]]:
    """Writes a folder of shards with a broken file, see :func:`make_table`."""
    out = folder / "shards"
    shutil.copytree(sound.shards, out)
    shard = draw.choice(sorted(out.glob("*.tar")))
    way = draw.randrange(8)
    if way == 0:
        name, data = mutate(shard.read_bytes(), draw)
        shard.write_bytes(data)
        _agree(shard)
    elif way <= 2:
        path = draw.choice([*sorted(out.glob("*.json"))])
        name, data = mutate_json(json.loads(path.read_bytes()), draw)
        path.write_bytes(data)
        name = f"report: {name}"
    elif way == 3:
        name = _hostile_member(shard, draw)
        _agree(shard)
    else:
        name = _broken_member(shard, draw)
        _agree(shard)
    return name, [["data", "inspect", str(out), "--verify"], ["read", str(out)]]


def _members(shard: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(shard) as archive:
        return [(member, archive.extractfile(member).read()) for member in archive]  # type: ignore[union-attr]


def _write(shard: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with tarfile.open(shard, "w", format=tarfile.GNU_FORMAT) as archive:
        for member, data in members:
            member.size = len(data) if member.isfile() else 0
            archive.addfile(member, io.BytesIO(data))


def _hostile_member(shard: Path, draw: random.Random) -> str:
    """Adds or changes a member that tools which unpack archives have fallen for."""
    members = _members(shard)
    at = draw.randrange(len(members))
    member, data = members[at]
    way = draw.choice(("absolute path", "..", "link", "symbolic link", "device", "repeated member", "size", "pipe"))
    if way == "absolute path":
        member.name = f"/tmp/{OUTSIDE}"
    elif way == "..":
        member.name = f"../../../../../../tmp/{OUTSIDE}"
    elif way == "repeated member":
        members.insert(at, (member, data))
    elif way != "size":
        member.type = {"link": tarfile.LNKTYPE, "symbolic link": tarfile.SYMTYPE, "device": tarfile.CHRTYPE,
                       "pipe": tarfile.FIFOTYPE}[way]  # fmt: skip
        member.linkname = f"/tmp/{OUTSIDE}"
    _write(shard, members)
    if way == "size":
        content = bytearray(shard.read_bytes())
        start = member.offset if draw.random() < 0.5 else 0
        sizes = (b"-0000002000\0", b"-0000001000\0", b"77777777777\0", b"0o000001000\0", b"           \0", b"\xff" * 12,
                 b"-0000000001\0", b"\x80" + bytes(10) + b"\1")  # fmt: skip
        size = draw.choice(sizes)
        content[start + 124 : start + 136] = size
        shard.write_bytes(content)
        way = "negative or extreme size"
    return f"member: {way}"


def _broken_member(shard: Path, draw: random.Random) -> str:
    """Breaks the content of one member."""
    members = _members(shard)
    kind = draw.choice((".json", ".npy", ".npy", ".jpg"))
    at = draw.choice([i for i, (member, _) in enumerate(members) if member.name.endswith(kind)])
    member, data = members[at]
    if kind == ".json":
        way, data = mutate_json(json.loads(data), draw)
    elif kind == ".npy" and draw.random() < 0.6:
        way, data = _hostile_array(data, draw)
    elif kind == ".jpg" and draw.random() < 0.3:
        way, at_size = "hostile size", data.find(b"\xff\xc0")
        data = data[: at_size + 5] + b"\xff\xff\xff\xff" + data[at_size + 9 :]
    else:
        way, data = mutate(data, draw)
    members[at] = (member, data)
    _write(shard, members)
    return f"{kind[1:]}: {way}"


def _hostile_array(data: bytes, draw: random.Random) -> tuple[str, bytes]:
    """An array of objects, or a header that lies."""
    if draw.random() < 0.3:
        out = io.BytesIO()
        np.save(out, np.array([Payload()], dtype=object), allow_pickle=True)
        return "array of objects", out.getvalue()
    if draw.random() < 0.2:
        return "pickle", pickle.dumps(Payload())
    shape = draw.choice(
        ("(-1,)", "(65535, 65535, 65535)", "(10**18,)", "()", "(0, 68, 2)", "(1,) * 99", "None", "(1.5,)")
    )
    kind = draw.choice(("<f4", "|O", "<U9", "|V8", "<c16", "<M8[s]", "[('a', '<f4')]", "<f2", "|b1"))
    order = draw.choice(("True", "False"))
    descr = kind if kind.startswith("[") else repr(kind)
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    header += b" " * ((-len(header) - 11) % 64) + b"\n"
    version = draw.choice((b"\1\0", b"\1\0", b"\2\0", b"\xff\xff"))
    return "wrong npy header", b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header + data[128:]


def _agree(shard: Path) -> None:
    """Corrects size, digest and positions in the report, so that readers do not stop at a wrong digest."""
    path = shard.with_suffix(".json")
    report = json.loads(path.read_bytes())
    data = shard.read_bytes()
    for file in report["files"]:
        if file["name"] == shard.name:
            file |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    begins: dict[str, list[int]] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                end = member.offset_data + -(-member.size // 512) * 512
                begins.setdefault(member.name.partition(".")[0], []).extend((member.offset, end))
    except (tarfile.TarError, ValueError, OSError):
        begins = {}
    for sample in report["samples"]:
        if ends := begins.get(sample["key"]):
            sample |= {"offset": min(ends), "size": max(ends) - min(ends)}
    path.write_text(json.dumps(report))


# --- Weights ---
def make_weights(folder: Path, draw: random.Random, sound: Sound) -> tuple[str, list[list[str]]]:
    """Writes broken weights or a broken card, see :func:`make_table`."""
    weights, card = folder / "w.safetensors", folder / "w.json"
    document = json.loads(sound.weights.with_suffix(".json").read_bytes())
    way = draw.randrange(5)
    if way <= 1:
        name, data = mutate_json(document, draw)
        name = f"card: {name}"
        weights.symlink_to(sound.weights)
        card.write_bytes(data)
    else:
        card.symlink_to(sound.weights.with_suffix(".json"))
        name, data = _broken_tensors(sound.weights.read_bytes(), draw, pickled=way == 2)
        weights.write_bytes(data)
    return name, [["load", str(weights)]]


def _broken_tensors(data: bytes, draw: random.Random, *, pickled: bool) -> tuple[str, bytes]:
    size = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + size], data[8 + size :]
    if pickled and draw.random() < 0.3:
        return "pickle", pickle.dumps(Payload())
    way = draw.randrange(4)
    if way == 0:
        return "extreme integer", draw.choice((0, 1, 2**63 - 1, 2**64 - 1, 10**8)).to_bytes(8, "little") + data[8:]
    if way == 1:
        name, changed = mutate(data[: 8 + size + 4096], draw)
        return name, changed + data[8 + size + 4096 :]
    name, changed = mutate_json(json.loads(header), draw)
    return f"header: {name}", len(changed).to_bytes(8, "little") + changed + body


MAKERS: Mapping[str, Callable[[Path, random.Random, Sound], tuple[str, list[list[str]]]]] = {
    "tables": lambda folder, draw, _: make_table(folder, draw),
    "configurations": make_config,
    "shards": make_shards,
    "weights": make_weights,
}
