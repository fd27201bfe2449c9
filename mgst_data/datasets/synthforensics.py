"""Layout of SynthForensics: generated videos of people, paired with videos of FaceForensics++."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mgst_data.core import FAKE, LayoutError
from mgst_data.core.errors import printable
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.tree import Tree, stem

# Text-to-video and image-to-video.
MODES = ("T2V", "I2V")
VERSIONS = ("raw", "canonical", "crf23", "crf40")
# Names begin with the name of the paired real video: 000 of FaceForensics++, or 01__scene of DeepFakeDetection.
PAIRED = ((re.compile(r"(\d{3})_[^_].*"), "ffpp"), (re.compile(r"(\d{2})__.+"), "dfd"))


@LAYOUTS.register("synthforensics")
@dataclass(frozen=True, slots=True)
class SynthForensics:
    """Reads ``{T2V,I2V}/videos/{raw,canonical,crf23,crf40}/<generator>/<id>_<generator>_{t2v,i2v}.mp4``.

    All videos are fake. The method is the generator with the mode ("cogvideox_t2v"); the version is the compression.
    Each video was generated from a text or an image of a real video of FaceForensics++ or DeepFakeDetection. It has the
    target identity of that video ("ffpp/000", "dfd/01"), so that leakage between the data sets is found. The real
    videos are not included. The splits that the authors use are not in files of the data set, so that no video has a
    split.

    Source: Leotta et al., "SynthForensics: Benchmarking and Evaluating People-Centric Synthetic Video Deepfakes"
    (2026), https://huggingface.co/datasets/SynthForensics/SynthForensics.
    """

    looks_for: ClassVar[str] = "T2V/videos/ or I2V/videos/ with raw/, canonical/, crf23/ or crf40/"

    def recognises(self, root: Path) -> bool:
        """Returns whether the root has a version of one of the modes."""
        tree = Tree.of(root)
        return any(tree.has_folder(f"{mode}/videos/{version}") for mode in MODES for version in VERSIONS)

    def scan(self, root: Path) -> Scan:
        """Finds the videos of every mode, version and generator.

        Raises:
            LayoutError: if no version of a mode is found.
        """
        tree = Tree.of(root)
        notes: list[Note] = []
        records = []
        present = []
        for mode in MODES:
            for version in VERSIONS:
                folder = f"{mode}/videos/{version}"
                if not tree.has_folder(folder):
                    notes.append(Note(folder, "not found", "missing_folder"))
                    continue
                present.append(folder)
                for generator in tree.listing(folder).folders:
                    for video in tree.videos_in(f"{folder}/{generator}", notes):
                        identity = _identity(stem(video))
                        if not identity:
                            what = "file name does not begin with the name of a real video"
                            notes.append(Note(printable(video), what, "no_identity"))
                        record = tree.record(
                            video,
                            dataset="synthforensics",
                            split="",
                            label=FAKE,
                            method=printable(f"{generator}_{mode.lower()}"),
                            compression=version,
                            target=identity,
                        )
                        records.append(record)
        if not present:
            hint = "give the folder that contains T2V/ and I2V/, or choose another layout"
            raise LayoutError(f"contains none of the folders {'/, '.join(MODES)}/", where=root, hint=hint)
        what = "only fakes found; the real videos are those of FaceForensics++ and DeepFakeDetection"
        notes.append(Note(".", what, "no_reals"))
        return Scan.of(records, notes)


def _identity(name: str) -> str:
    """Returns the identity of the paired real video; "" if the name does not begin with it."""
    for pattern, collection in PAIRED:
        match = pattern.fullmatch(name)
        if match:
            return f"{collection}/{match[1]}"
    return ""
