"""Pictures in plain folders, one below the other: split, label, track."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from mgst_data.export.format import Format, save
from mgst_data.export.tracks import LABELS, Track, TrackFrame

MASKS = "masks"


class FolderWriter:
    """Writes ``SPLIT/LABEL/TRACK/FRAME.jpg``, and masks as ``masks/SPLIT/LABEL/TRACK/FRAME.png``.

    Args:
        out: Folder to write into.
    """

    def __init__(self, out: Path) -> None:
        self._out = out

    def add(self, track: Track, frames: Iterator[TrackFrame]) -> None:
        """Writes the pictures of a track. The label is that of each frame.

        Args:
            track: The track.
            frames: Its chosen frames.

        Raises:
            OutputError: if a file cannot be written.
        """
        for frame in frames:
            folder = Path(track.split, LABELS[frame.label], track.name)
            save(self._out / folder / frame.file, frame.image)
            if frame.mask is not None:
                save(self._out / MASKS / folder / frame.mask_file, frame.mask)

    def finish(self) -> str:
        """Has nothing more to write."""
        return ""

    def close(self) -> None:
        """Has no open file."""


def _command(out: Path, splits: Sequence[str]) -> str:
    code = f"from torchvision.datasets import ImageFolder; print(ImageFolder({json.dumps(str(out / splits[0]))}))"
    return f"python -c {shlex.quote(code)}"


FORMAT = Format(
    title="plain folders of pictures",
    writer=FolderWriter,
    files="""\
- `SPLIT/real/TRACK/FRAME.jpg` and `SPLIT/fake/TRACK/FRAME.jpg`: the crops. A track of a video that is fake in parts is
  in both folders, each with its frames.
- `masks/SPLIT/fake/TRACK/FRAME.png`: manipulation masks, where the data set has them: 0 untouched, 255 manipulated.
""",
    use="""\
from torchvision.datasets import ImageFolder

# The classes are sorted by name: fake is 0 here, real is 1. In mgst, fake is 1.
data = ImageFolder("{split}")
""",
    command=_command,
)
