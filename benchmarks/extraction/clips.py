"""Finds the real clips of the benchmarks, and cuts them to their first frames."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import av

from mgst_data.core import VideoRecord

VARIABLE = "MGST_CLIPS"
BESIDE = Path(__file__).parents[3] / "shared" / "data"

# Clips for the speed section by frame size, with one or two faces each, and two videos of crowds.
GROUPS = {
    "1080p": ("fsgan_conan_obrien.mp4", "latentsync_demo1_video.mp4", "latentsync_demo3_video.mp4"),
    "720p": ("fsgan_shinzo_abe.mp4", "ghost_nggyup.mp4", "lp_s18.mp4", "lp_d13.mp4"),
    "512": ("lp_d0.mp4", "lp_d12.mp4", "lp_d3.mp4", "sadtalker_WDA_KatieHill_000.mp4", "hellomeme_xzy2.mp4"),
    "256": ("dpe_d.mp4", "edtalk_pose_source1.mp4", "styletalk_KristiNoem.mp4"),
    "crowd": ("facenet_video.mp4", "ghost_dirtydancing.mp4"),
}
# Clips from a camera on a tripod, with a textured background.
STEADY = (
    "dflpair_Bryan_Greynolds_1_orig.mp4", "dflpair_Emily_Winston_3_orig.mp4", "dflpair_Liu_Lice_0_orig.mp4",
    "dflpair_Silwan_Stillwone_1_orig.mp4", "lp_d9.mp4", "lp_d12.mp4", "sadtalker_WDA_AlexandriaOcasioCortez_000.mp4",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Clips:
    """A folder with ``real/`` and ``fake/``, and a folder for shortened copies.

    ``everything`` takes one clip in ``every``.
    """

    folder: Path
    scratch: Path
    every: int = 1

    def real(self, name: str) -> Path:
        """Returns the path of a real clip.

        Raises:
            FileNotFoundError: if the clip does not exist.
        """
        path = self.folder / "real" / name
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file. Give the folder of clips with --clips or {VARIABLE}.")
        return path

    def everything(self) -> list[Path]:
        """Returns the paths of the real and fake clips, sorted."""
        paths = (path for kind in ("real", "fake") for path in (self.folder / kind).iterdir() if path.is_file())
        return sorted(paths)[:: self.every]

    def trimmed(self, path: Path, frames: int) -> Path:
        """Cuts a clip to its first frames. Packets are copied, not encoded again."""
        short = self.scratch / str(frames) / path.parent.name / path.name
        if not short.exists():
            short.parent.mkdir(parents=True, exist_ok=True)
            with av.open(str(path)) as source, av.open(str(short), "w") as sink:
                stream = source.streams.video[0]
                copy = sink.add_stream_from_template(stream)
                for count, packet in enumerate(source.demux(stream)):
                    if count == frames or not packet.size:
                        break
                    packet.stream = copy
                    sink.mux(packet)
        return short


def parse_with_clips(parser: argparse.ArgumentParser, *, required: bool = True) -> argparse.Namespace:
    """Parses the command line with the additional option ``--clips``. Its value is the folder of clips as a Path.

    An invalid folder ends the program. Without a folder, the program ends if one is required; otherwise the value is
    None.
    """
    parser.add_argument("--clips", help=f"folder with real/ and fake/; default: the environment variable {VARIABLE}")
    options = parser.parse_args()
    try:
        options.clips = find_clips(options.clips)
    except FileNotFoundError as error:
        if required or options.clips:
            parser.error(str(error))
        options.clips = None
    return options


def find_clips(given: str | None) -> Path:
    """Returns the folder of clips: the given one, that of the environment variable, or ``../shared/data``.

    Raises:
        FileNotFoundError: if the folder does not contain ``real/`` and ``fake/``.
    """
    folder = Path(given or os.environ.get(VARIABLE) or BESIDE)
    if not all((folder / kind).is_dir() for kind in ("real", "fake")):
        hint = f"Give a folder with real/ and fake/ with --clips or {VARIABLE}."
        raise FileNotFoundError(f"{folder}: no folders real/ and fake/. {hint}")
    return folder


def pixels(path: Path) -> int:
    """Returns the number of pixels of a frame of a video."""
    with av.open(str(path)) as video:
        stream = video.streams.video[0]
        return stream.width * stream.height


def record(path: Path | str, key: str = "clip") -> VideoRecord:
    """Returns the record of a clip."""
    return VideoRecord(
        key=key, path=str(path), video=Path(path).name, dataset="clips", split="", label=0, method="real"
    )
