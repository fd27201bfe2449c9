"""Real clips to measure on: where they are, and how to cut them short."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import av

from mgst_data.core import VideoRecord

VARIABLE = "MGST_CLIPS"
BESIDE = Path(__file__).parents[3] / "shared" / "data"

# For speed: by size of the frame, one or two faces each; and two films of crowds.
GROUPS = {
    "1080p": ("fsgan_conan_obrien.mp4", "latentsync_demo1_video.mp4", "latentsync_demo3_video.mp4"),
    "720p": ("fsgan_shinzo_abe.mp4", "ghost_nggyup.mp4", "lp_s18.mp4", "lp_d13.mp4"),
    "512": ("lp_d0.mp4", "lp_d12.mp4", "lp_d3.mp4", "sadtalker_WDA_KatieHill_000.mp4", "hellomeme_xzy2.mp4"),
    "256": ("dpe_d.mp4", "edtalk_pose_source1.mp4", "styletalk_KristiNoem.mp4"),
    "crowd": ("facenet_video.mp4", "ghost_dirtydancing.mp4"),
}
# Filmed from a tripod, with something to see behind the person.
STEADY = (
    "dflpair_Bryan_Greynolds_1_orig.mp4", "dflpair_Emily_Winston_3_orig.mp4", "dflpair_Liu_Lice_0_orig.mp4",
    "dflpair_Silwan_Stillwone_1_orig.mp4", "lp_d9.mp4", "lp_d12.mp4", "sadtalker_WDA_AlexandriaOcasioCortez_000.mp4",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Clips:
    """A folder with ``real/`` and ``fake/``, and one for copies that are cut short."""

    folder: Path
    scratch: Path

    def real(self, name: str) -> Path:
        """A real clip. Raises FileNotFoundError if it is not there."""
        path = self.folder / "real" / name
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not there: give the folder of clips with --clips or {VARIABLE}")
        return path

    def everything(self) -> list[Path]:
        """All real and fake clips, by name."""
        return sorted(path for kind in ("real", "fake") for path in (self.folder / kind).iterdir() if path.is_file())

    def trimmed(self, path: Path, frames: int) -> Path:
        """The first frames of a clip; packets are copied, not encoded anew."""
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
    """Parses the command line with one more option, ``--clips``; its value becomes the folder, as a Path.

    A folder that is none ends the program. So does having none, if one is required; otherwise the value is None then.
    """
    parser.add_argument("--clips", help=f"folder with real/ and fake/; by default that in {VARIABLE}")
    options = parser.parse_args()
    try:
        options.clips = find_clips(options.clips)
    except FileNotFoundError as error:
        if required or options.clips:
            parser.error(str(error))
        options.clips = None
    return options


def find_clips(given: str | None) -> Path:
    """The folder of clips: as given, as the environment says, or beside the repository.

    Raises:
        FileNotFoundError: if it does not hold ``real/`` and ``fake/``.
    """
    folder = Path(given or os.environ.get(VARIABLE) or BESIDE)
    if not all((folder / kind).is_dir() for kind in ("real", "fake")):
        raise FileNotFoundError(f"no clips in {folder}: give a folder with real/ and fake/ with --clips or {VARIABLE}")
    return folder


def pixels(path: Path) -> int:
    """Of a frame."""
    with av.open(str(path)) as video:
        stream = video.streams.video[0]
        return stream.width * stream.height


def record(path: Path | str, key: str = "clip") -> VideoRecord:
    """What a layout would have made of the file."""
    return VideoRecord(
        key=key, path=str(path), video=Path(path).name, dataset="clips", split="", label=0, method="real"
    )
