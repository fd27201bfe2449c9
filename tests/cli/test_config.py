from dataclasses import MISSING, fields
from pathlib import Path

import pytest
from mgst_cli.data.extract import extract
from mgst_cli.data.source import SourceConfig, build_config

from mgst_data.core import UsageError
from mgst_data.extract import ExtractConfig

ROOT = Path(__file__).parents[2] / "configs"
CONFIGS = sorted([*ROOT.glob("extract/*.toml"), *ROOT.glob("papers/*.toml")])


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_file_builds(path):
    build_config(path, {}, ())


def test_the_default_file_names_every_option_with_its_default():
    path = next(path for path in CONFIGS if path.name == "default.toml")
    config = build_config(path, {}, ())
    assert (config.source, config.extract) == (SourceConfig(), ExtractConfig())
    text = path.read_text()
    for kind in (SourceConfig, ExtractConfig):
        assert not [field.name for field in fields(kind) if f"{field.name} = " not in text]


def test_every_option_has_a_flag_whose_help_names_the_default():
    flags = {parameter.name: parameter for parameter in extract.params}
    for field in (*fields(ExtractConfig), *fields(SourceConfig)):
        flag = flags[field.name]
        assert flag.default in (None, ()), "defaults belong to the library"
        shown = field.default
        if (shown is not MISSING and type(shown) in (int, float)) or field.name in ("tracks", "layout", "reader"):
            assert f"[default: {shown}]" in flag.help, field.name


def test_flags_override_the_file_and_set_overrides_flags(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[source]\nsplit = ["train"]\nlimit = 5\n[extract]\nsize = 100\nframes = 8\nmargin = 1\n')
    flags = {"size": 200, "frames": None, "split": (), "method": ("real",), "masks": None, "workers": 3}
    config = build_config(path, flags, ["extract.size=300", "extract.image_format=png", "source.compression=c23,c40"])
    assert config.source == SourceConfig(split=("train",), limit=5, method=("real",), compression=("c23", "c40"))
    assert config.extract == ExtractConfig(size=300, frames=8, margin=1.0, image_format="png")
    assert type(config.extract.margin) is float


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("extract.sise=2", r"--set extract.sise=2: unknown option 'extract.sise' \(did you mean 'size'\?\)"),
        ("extrct.size=2", r"unknown table 'extrct' \(did you mean 'extract'\?\)"),
        ("train.lr=2", r"unknown table 'train'; known: source, extract"),
        ("size=2", r"not of the form TABLE.NAME=VALUE \(example: --set extract.size=2\)"),
        ("limit", r"not of the form TABLE.NAME=VALUE \(example: --set source.limit=VALUE\)"),
        ("extract.size", r"not of the form TABLE.NAME=VALUE \(example: --set source.layout=VALUE\)"),
        ("extract.size=big", "extract.size must be an integer, got 'big'"),
        ("extract.size=true", "extract.size must be an integer, got True"),
        ("extract.margin=wide", "extract.margin must be a number, got 'wide'"),
        ("extract.masks=1", "extract.masks must be true or false, got 1"),
        ("extract.reader=1", "extract.reader must be text, got 1"),
        ("source.split=[1]", r"source.split must be a list of names, got \[1\]"),
        ("extract.size=1", r"size must be in \[16, 4096\], got 1"),
        ("extract.tracks=some", "extract.tracks must be one of all, main, got 'some'"),
    ],
)
def test_invalid_override_is_rejected_with_a_suggestion(override, message):
    with pytest.raises(UsageError, match=message):
        build_config(None, {}, [override])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[extract\n", "not valid TOML"),
        (b"\xff\xfe", "not valid TOML"),
        (b"extract = 3\n", r"extract must be a table, got 3 .write \[extract\]"),
        (b"[extract]\nsze = 3\n", "did you mean 'size'"),
    ],
)
def test_invalid_file_is_rejected_with_its_path(tmp_path, content, message):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        build_config(path, {}, ())
    assert caught.value.where == str(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        build_config(tmp_path / "none.toml", {}, ())
