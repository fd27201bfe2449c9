"""Groups of options with a heading, and options that several commands share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import click
import cloup
from cloup import Command
from cloup import option_group as options

__all__ = [
    "LOCAL",
    "LOCATION",
    "PAPERS",
    "SIZE",
    "Command",
    "InputType",
    "device_option",
    "json_option",
    "option",
    "options",
    "weights_option",
    "worker_options",
]

# Files in configs/papers. Each has the options of extraction, training and evaluation of a paper.
PAPERS = ("papers/sbi", "papers/fakestormer", "papers/multi_grained")


class LocationType(click.Path):
    """A local file or folder as a Path; a URL stays text, because a Path has no double slashes.

    Args:
        urls: Whether the option takes URLs.
    """

    def __init__(self, *, urls: bool = True) -> None:
        super().__init__()
        self._urls = urls

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | Path:
        """Converts the text of an argument.

        Args:
            value: Text of the argument.
            param: The option.
            ctx: Context of the command.
        """
        text = os.fsdecode(super().convert(value, param, ctx))
        if text.startswith("file://"):
            return Path(text.removeprefix("file://"))
        if "://" not in text:
            return Path(text)
        if not self._urls:
            self.fail(f"{text}: this must be on this machine; copy it from the URL first", param, ctx)
        if not text.partition("://")[2].strip("/"):
            self.fail(f"{text}: this URL has no bucket and no name", param, ctx)
        return text


LOCATION, LOCAL = LocationType(), LocationType(urls=False)


class MissingInput(click.ClickException):
    """An input that is not there. It is reported before large libraries are imported."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Prints the error as one line.

        Args:
            file: Where to print it; None for stderr.
        """
        click.echo(f"error: {self.format_message()}: no such file or directory (check the path)", file, err=True)


class InputType(click.ParamType):  # type: ignore[type-arg] # generic only in new versions of click
    """A file or folder that exists, or a URL."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002
        """Converts the text of an option.

        Args:
            value: Text of the option.
            param: The option.
            ctx: Context of the command.

        Raises:
            MissingInput: if it is a local path, and nothing is there.
        """
        place = os.fsdecode(value)
        if "://" not in place and not Path(place).exists():
            raise MissingInput(place if place.isprintable() else repr(place))
        return place


class SizeType(click.ParamType):  # type: ignore[type-arg] # generic only in new versions of click
    """A number of bytes, such as "500MB", "4GB" or "4GiB"."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Converts the text of an option.

        Args:
            value: Text of the option.
            param: The option.
            ctx: Context of the command.
        """
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)B?", str(value).strip().upper())
        size = int(float(found[1]) * (1024 if found[3] else 1000) ** " KMGT".index(found[2] or " ")) if found else 0
        if not size:
            what = f"{value!r} is not a size; give a number above 0 with a unit, such as 500MB, 4GB or 4GiB"
            self.fail(what, param, ctx)
        return size


SIZE = SizeType()


def device_option(use: str = "") -> Callable[..., Any]:
    """Declares the option ``--device``.

    Args:
        use: What the device is for, as in " to train on".
    """
    text = f"Device{use}; auto uses a GPU if there is one. [default: auto]"
    return option("--device", default="auto", type=click.Choice(["auto", "cpu", "cuda"]), help=text)


def weights_option() -> Callable[..., Any]:
    """Declares the option ``--weights`` of commands that score with any network, also one that comes with mgst."""
    text = (
        "Weights of a trained network: file, checkpoint folder, exported .onnx file, any of these by URL, or a "
        "repository of the Hugging Face Hub (hf://user/name, hf://user/name@revision). [default: the weights that "
        "come with mgst]"
    )
    return option("--weights", type=LOCATION, metavar="PATH|URL|hf://USER/NAME", help=text)


def worker_options(what: str) -> tuple[Callable[..., Any], ...]:
    """Declares the options of a command that distributes its work to workers.

    Args:
        what: What is distributed, in the plural, such as "videos".
    """
    return (
        option(
            "--executor",
            default="serial",
            metavar="NAME",
            help=f"How {what} are distributed: serial, process or ray. [default: serial]",
        ),
        option(
            "--workers",
            type=int,
            metavar="N",
            help=f"Number of {what} at the same time. [default: with process, one per core; with ray, "
            "as many as the cluster has room for]",
        ),
        option(
            "--gpus-per-worker",
            type=float,
            metavar="SHARE",
            help="Share of a GPU that Ray reserves for a worker, such as 0.25. [default: 1 with --device cuda]",
        ),
        option(
            "--worker-memory",
            type=SIZE,
            metavar="SIZE",
            help=f"Memory of each worker, such as 4GB. {what.capitalize()} that need more fail, with the reason "
            "out_of_memory. Ray instead starts a worker only where so much is free. [default: no limit]",
        ),
    )


def option(*names: str, **settings: Any) -> Callable[..., Any]:
    """Declares one option of a group. Without a default its value is None or empty: the library has the defaults.

    Args:
        names: Names of the option, such as "--out".
        settings: Keyword arguments of ``click.option``.
    """
    # click treats a default of None as a value, and would then accept a missing required option.
    return cloup.option(*names, **(settings if settings.get("required") else {"default": None, **settings}))


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object to stdout instead of tables.")
