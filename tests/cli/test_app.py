"""``mgst-app`` without a browser: its options, and what the sliders set."""

import shlex
import socket

import pytest
import torch
from click.testing import CliRunner
from mgst_cli.app import app
from mgst_cli.app.blends import DIALS, Choice
from mgst_cli.app.serve import is_loopback
from mgst_cli.data.blend_options import blend_options
from mgst_cli.data.preview_blend import preview_blend

from mgst_data.augment import PRESETS
from mgst_data.augment.blend import REGIONS
from mgst_data.core import Segment


def test_without_gradio_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("mgst_cli.app.command.find_spec", lambda name: None)
    result = CliRunner().invoke(app, [])
    assert (result.exit_code, result.stderr) == (1, 'error: the app needs Gradio: pip install "mgst[app]"\n')


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_in_use_is_one_line(monkeypatch, host):
    monkeypatch.setattr("mgst_cli.app.command.find_spec", lambda name: True)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        taken = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"this machine has no address {host}")
    with taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["--host", host, "--port", port, "--no-browser"])
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f"error: --port {port}: this port is in use (choose another port, or leave out --port for a free one)"
    ]


def test_an_address_of_another_computer_is_one_line(monkeypatch):
    monkeypatch.setattr("mgst_cli.app.command.find_spec", lambda name: True)
    result = CliRunner().invoke(app, ["--host", "192.0.2.1", "--no-browser"])
    assert result.exit_code == 2
    assert "--host 192.0.2.1: this is not an address of this computer" in result.stderr


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)]
)
def test_only_loopback_addresses_are_local(host, local):
    assert is_loopback(host) == local


@pytest.mark.parametrize("dial", DIALS, ids=lambda dial: dial.name)
def test_a_slider_sets_what_it_shows(dial, generator):
    segment = Segment.of(torch.zeros(1, 4, 3, 64, 64), torch.full((1, 4, 68, 2), torch.nan))
    low, high, step = dial.scale
    for value in (low, low + step, high):
        blend = blend_options("strong_drift", dial.settings(value))
        assert dial.now(blend, blend.sample(segment, generator)) == pytest.approx(value)


def test_the_command_that_is_shown_makes_the_same_blend():
    dials = {dial.name: dial.scale[1] for dial in DIALS}
    for region in REGIONS:
        choice = Choice("varied", 7, region, "single", dials)
        words = shlex.split(choice.command("a talk.mp4"))
        assert words[:2] == ["mgst-data", "preview-blend"]
        given = preview_blend.make_context("preview-blend", words[2:]).params
        assert (given["video"], given["seed"], given["count"]) == ("a talk.mp4", 7, 1)
        made = blend_options(given["preset"], given["overrides"])
        assert made == blend_options("varied", choice.overrides)
        assert made != PRESETS["varied"]
