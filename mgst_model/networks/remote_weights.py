"""Weights behind a URL: the files of a network are copied once, and kept in the cache as long as they do not change."""

from __future__ import annotations

from pathlib import Path

from mgst_data.core import UsageError
from mgst_data.core.locations import is_url
from mgst_data.shards.remote_files import kept_copy, list_files
from mgst_model.networks.hub import is_hub_name


def is_weights_url(place: str | Path) -> bool:
    """Returns whether a place of weights is a URL of a store, and not a repository of the Hugging Face Hub."""
    return is_url(str(place)) and not is_hub_name(place)


def fetch_pair(url: str, names: tuple[str, ...], suffixes: tuple[str, str], more: str) -> Path:
    """Copies the two files of a network.

    Args:
        url: URL of one of the two files, with or without suffix, or of their folder.
        names: Names without suffix that the files may have in a folder, in the order of preference.
        suffixes: Suffixes of the weights and of their card.
        more: Suffix of a file beside the weights, which is copied too if it exists.

    Returns:
        The local copy of the weights; the card is beside it.

    Raises:
        UsageError: if the files are missing, or cannot be copied.
        OutputError: if the copy cannot be written.
    """
    url = url.rstrip("/")
    there, folder, stems = {}, url, names
    if not url.endswith(suffixes):
        there = list_files(url, deep=False)
    if not there:  # the URL is that of a file
        folder, _, name = url.rpartition("/")
        stems = (name.removesuffix(suffixes[0]).removesuffix(suffixes[1]),)
        there = list_files(folder, deep=False)
    for stem in stems:
        pair = [stem + suffix for suffix in suffixes]
        if all(name in there for name in pair):
            wanted = {name: there[name] for name in (*pair, stem + more) if name in there}
            return kept_copy(folder, wanted) / pair[0]
    hint = f"weights are a pair of files, NAME{suffixes[0]} and NAME{suffixes[1]}; check the URL"
    raise UsageError("no such file or folder of weights", where=url, hint=hint)


def fetch_file(url: str) -> Path:
    """Copies a single file, such as an exported network.

    Args:
        url: URL of the file.

    Raises:
        UsageError: if the file is missing, or cannot be copied.
        OutputError: if the copy cannot be written.
    """
    folder, _, name = url.rpartition("/")
    there = list_files(folder, deep=False)
    if name not in there:
        raise UsageError("no such file", where=url, hint="check the URL")
    return kept_copy(folder, {name: there[name]}) / name
