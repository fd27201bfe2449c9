"""The folder of a training, which may be behind a URL."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.fabric import Fabric

from mgst_data.core import OutputError
from mgst_data.shards.outputs import OutputFolder, output_folder, workspace_of
from mgst_data.shards.remote_files import copy_files, list_files
from mgst_data.shards.store import ShardStore
from mgst_model.train.state import STATE
from mgst_model.train.trainer import CURVES


@contextmanager
def training_folder(out: str | Path, fabric: Fabric) -> Iterator[OutputFolder]:
    """Opens the folder of a training in every process. Only the first process writes into it.

    Args:
        out: Path or URL of the folder.
        fabric: Launched fabric.

    Yields:
        The folder. Behind a URL: its local copy, which processes of the same machine share.

    Raises:
        OutputError: if it cannot be read or written, or if another training writes into it.
    """
    store = ShardStore.at(out)
    if fabric.is_global_zero:
        # An older state with newer weights and tables is no fault: the training writes them again. So the state stays.
        with output_folder(out, wanted=_is_read, mark=STATE, withdrawn=False) as folder:
            yield folder
    elif not store.remote or fabric.node_rank == 0:  # the first process makes the copy before others read it
        yield OutputFolder(store.location, workspace_of(store) if store.remote else store.workspace)
    else:
        with tempfile.TemporaryDirectory(prefix="mgst-") as copy:
            there = [name for name in list_files(store.location, deep=False, fault=OutputError) if name == STATE]
            copy_files(store.location, there, Path(copy), fault=OutputError)
            yield OutputFolder(store.location, Path(copy))


def _is_read(name: str) -> bool:
    """Whether the training reads a file of its folder, given by its path. Logs of TensorBoard are only written."""
    return not name.startswith(f"{CURVES}/")
