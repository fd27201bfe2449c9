"""Rules for the options of all commands."""

import os
import signal
import time

import click
import pytest
from click.testing import CliRunner
from mgst_cli.app import app
from mgst_cli.calibrate import calibrate
from mgst_cli.common.errors import interrupted_at_once, show_warning
from mgst_cli.common.options import SIZE
from mgst_cli.data import data
from mgst_cli.evaluate import evaluate
from mgst_cli.export import export
from mgst_cli.predict import predict
from mgst_cli.train import train

from mgst_data.core.errors import MgstWarning

COMMANDS = {
    **data.commands,
    "mgst-train": train,
    "mgst-eval": evaluate,
    "mgst-predict": predict,
    "mgst-calibrate": calibrate,
    "mgst-export": export,
    "mgst-app": app,
}
# Values that are valid until a file is opened.
GIVEN = {
    "--src": "videos",
    "--weights": "weights",
    "--out": "out",
    "shards": "shards",
    "video": "a.mp4",
    "videos": "a.mp4",
}
REQUIRED = [(name, it) for name, command in COMMANDS.items() for it in command.params if it.required]


def words(parameter):
    option = [parameter.opts[0]] if isinstance(parameter, click.Option) else []
    value = parameter.type.choices[0] if isinstance(parameter.type, click.Choice) else GIVEN[parameter.opts[0]]
    return [*option, value]


@pytest.mark.parametrize(
    ("name", "missing"), REQUIRED, ids=lambda value: value if isinstance(value, str) else value.name
)
def test_missing_required_parameter_is_named(name, missing):
    rest = [word for owner, other in REQUIRED if owner == name and other is not missing for word in words(other)]
    result = CliRunner().invoke(COMMANDS[name], rest)
    assert result.exit_code == 2
    assert missing.make_metavar(click.Context(COMMANDS[name])) in result.stderr or missing.opts[0] in result.stderr
    assert "Missing" in result.stderr


def test_required_parameters_of_each_command():
    required = {name: {it.opts[0] for owner, it in REQUIRED if owner == name} for name in COMMANDS}
    assert required == {
        "extract": {"--src"},
        "inspect": {"shards"},
        "sheet": {"shards"},
        "people": {"shards"},
        "report": {"shards"},
        "export": {"shards", "--to"},
        "preview-blend": {"video"},
        "demo": set(),
        "mgst-train": set(),  # shards, or a configuration with sources
        "mgst-eval": set(),
        "mgst-predict": {"videos"},
        "mgst-export": {"--to"},
        "mgst-app": set(),
        "mgst-calibrate": {"shards", "--weights"},
    }


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["extract", "--src", "."], "--out"), (["shards"], "--weights"), (["--weights", "w"], "SHARDS")],
)
def test_missing_parameter_of_a_combination_is_named(arguments, named):
    command = data if arguments[0] == "extract" else evaluate
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert named in result.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help_text(name):
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


@pytest.mark.parametrize(
    ("text", "size"),
    [("500MB", 500_000_000), ("4GB", 4_000_000_000), ("4 GiB", 4 * 2**30), ("1.5k", 1500), ("7", 7), ("2tib", 2**41)],
)
def test_a_size_is_a_number_of_bytes(text, size):
    assert SIZE.convert(text, None, None) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "4 XB", "1e3", "4GBB", "nan"])
def test_another_text_is_no_size(text):
    with pytest.raises(click.BadParameter, match="is not a size"):
        SIZE.convert(text, None, None)


def test_first_ctrl_c_raises_and_second_ends_the_process(capfd):
    before, released = signal.getsignal(signal.SIGINT), []

    def work():
        with interrupted_at_once(lambda: released.append(signal.getsignal(signal.SIGINT))):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(30)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert released == [signal.SIG_DFL]
    assert capfd.readouterr().err == "stopping; press Ctrl-C again to quit immediately\n"
    assert signal.getsignal(signal.SIGINT) is before


def test_only_warnings_of_this_toolkit_are_shown_as_one_line(capsys):
    show_warning(UserWarning("8 workers are too many"), UserWarning, "torch.py", 1)
    show_warning(MgstWarning("a chunk is damaged"), MgstWarning, "loader.py", 1)
    assert capsys.readouterr().err == "warning: a chunk is damaged\n"
