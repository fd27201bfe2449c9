"""Blends segments of a source and writes a video, a contact sheet and a JSON file of the sampled parameters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from mgst_data.augment import SelfBlend
from mgst_data.core import generator_for
from mgst_data.core.errors import printable
from mgst_data.core.locations import is_url
from mgst_data.preview.blend import BlendDraw, blend_sheet, caption, describe, drifting, film, recoloured, repeats
from mgst_data.preview.clips import Clip, clip_from_video, clips_from_shards
from mgst_data.preview.stream import encode_video
from mgst_data.shards import encode_image
from mgst_data.shards.outputs import output_folder
from mgst_data.shards.storage import output_errors, write_atomic

from ..common.progress import Work, display
from ..common.show import count as counted
from ..common.show import line, show_table, table

T = TypeVar("T")
FPS = 8
# Each blend is repeated in the video until it has been shown for this long.
SECONDS = 4.0
# Significant digits of the sampled parameters in the JSON file.
DIGITS = 4
REDRAW = "{blend!r}.sample(segment, generator_for({seed}, 'preview', draw))"


@dataclass(frozen=True, slots=True)
class Source:
    """The video, picture or shards whose faces are blended.

    Attributes:
        path: A video or picture; if ``shard`` is True, a folder of shards or one shard.
        shard: Whether ``path`` holds shards.
        frames: Largest number of frames of a segment.
        size: Side of a frame, pixels.
    """

    path: str
    shard: bool
    frames: int
    size: int

    @property
    def name(self) -> str:
        """First part of the names of the result files."""
        if is_url(self.path):
            return PurePosixPath(self.path.partition("?")[0]).stem
        path = Path(self.path)
        return path.resolve().name if path.is_dir() else path.stem

    def clips(self, count: int) -> list[Clip]:
        """Reads at most ``count`` segments, at least one."""
        if self.shard:
            return clips_from_shards(self.path, count=count, frames=self.frames, size=self.size)
        return [clip_from_video(self.path, frames=self.frames, size=self.size)]


def preview(source: Source, out: str | Path, *, preset: str, blend: SelfBlend, seed: int, count: int) -> None:
    """Blends a source, writes the result files and prints a table of the blends.

    Args:
        source: Video, picture or shards to blend.
        out: Path or URL of the output folder; created if it does not exist.
        preset: Name of the preset on which ``blend`` is based; part of the file names.
        blend: Augmentation that samples and applies the blends.
        seed: Seed of all blends.
        count: Number of blends.
    """
    stem = f"{source.name}-{preset}"
    work = Work("searching for a face", unit="pictures")
    with display(work, interval=None):
        clips = source.clips(count)
        mine = [clips[i % len(clips)] for i in range(count)]
        draws = draw_blends(blend, mine, seed)
        titles = [f"{i}   {caption(draw.facts)}" for i, draw in enumerate(draws)]
        if len(clips) > 1:
            titles = [f"{title}   {printable(clip.source)}" for title, clip in zip(titles, mine, strict=True)]
        total = sum(len(draw) * repeats(len(draw), fps=FPS, seconds=SECONDS) for draw in draws)
        pictures = _told(work, film(draws, titles=titles, fps=FPS, seconds=SECONDS), total)
        record = {"source": printable(source.path), "preset": preset, "seed": seed, "options": asdict(blend)}
        record |= {"redraw": REDRAW.format(blend=blend, seed=seed), "digits": DIGITS, "draws": drawn(draws, mine)}
        files = {
            f"{stem}.mp4": encode_video(pictures, fps=FPS),
            f"{stem}.png": encode_image(blend_sheet(draws, titles=titles), image_format="png"),
            f"{stem}.json": to_json(record).encode(),
        }
    with output_folder(out, wanted=lambda _: False) as folder:
        with output_errors(folder.path):
            folder.path.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            write_atomic(folder.path / name, data)
    for clip in clips:
        show_clip(clip, source.frames)
    show_draws(draws)
    for name in files:
        line(printable(folder.name(folder.path / name)))


def draw_blends(blend: SelfBlend, clips: Sequence[Clip], seed: int) -> list[BlendDraw]:
    """Blends each clip. Blend i depends only on the seed and on i.

    Args:
        blend: Augmentation that samples and applies the blends.
        clips: One clip per blend.
        seed: Seed of all blends.
    """
    draws = []
    for i, clip in enumerate(clips):
        params = blend.sample(clip.segment, generator_for(seed, "preview", i))
        pair = blend.apply(clip.segment, params)
        draws.append(BlendDraw(pair, params, describe(blend, params, pair)))
    return draws


def drawn(draws: Sequence[BlendDraw], clips: Sequence[Clip]) -> list[dict[str, Any]]:
    """Returns all sampled parameters for the JSON file, rounded to four significant digits.

    Args:
        draws: The blends.
        clips: The clip of each blend.
    """
    record = [
        {
            "draw": i,
            "source": printable(clip.source),
            "frames": clip.frame_indices.tolist(),
            "facts": dict(draw.facts),
            "blended": draw.frame_mask.tolist(),
            "params": draw.params.as_dict(),
        }
        for i, (draw, clip) in enumerate(zip(draws, clips, strict=True))
    ]
    return [rounded(entry) for entry in record]


def to_json(record: Any) -> str:
    """Formats JSON with one line per value of an object, and arrays of numbers on one line."""
    return _lines(record, "\n") + "\n"


def _lines(value: Any, newline: str) -> str:
    inner = newline + " "
    if isinstance(value, Mapping) and value:
        items = (f"{json.dumps(key)}: {_lines(item, inner)}" for key, item in value.items())
        return "{" + inner + f",{inner}".join(items) + newline + "}"
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return "[" + inner + f",{inner}".join(_lines(item, inner) for item in value) + newline + "]"
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def rounded(value: Any) -> Any:
    """Rounds all numbers in a nested value to four significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") + 0.0  # no -0.0
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


def show_clip(clip: Clip, wanted: int) -> None:
    """Prints which frames are used, and on stderr a note if there are too few or some have no landmarks.

    Args:
        clip: The clip.
        wanted: Number of frames that was asked for.
    """
    source = printable(clip.source)
    line(f"{source}: {frames_of(clip)}")
    for note in notes_on(clip, wanted):
        line(f"note: {source}: {note}", err=True)


def frames_of(clip: Clip) -> str:
    """Says which frames of its video a clip has: ``"frames 4 to 19"``."""
    first, last = int(clip.frame_indices[0]), int(clip.frame_indices[-1])
    return f"frames {first} to {last}" if last > first else f"frame {first}"


def notes_on(clip: Clip, wanted: int) -> list[str]:
    """Returns notes on a clip that has too few frames, or frames without landmarks.

    Args:
        clip: The clip.
        wanted: Number of frames that was asked for.
    """
    notes = []
    if 1 < len(clip) < wanted:  # a picture has no more frames
        notes.append(f"{counted(len(clip), 'frame')} instead of {wanted}: the source has no more")
    unusable = int((~clip.segment.valid).sum())
    if unusable:
        notes.append(f"{counted(unusable, 'frame')} without valid landmarks, not blended")
    return notes


def show_draws(draws: Iterable[BlendDraw]) -> None:
    """Prints a table of the sampled parameters, one row per blend."""
    made = table("blend", "region", "ratio", "frame mask", "drift", "recoloured", "severity")
    for i, draw in enumerate(draws):
        facts = draw.facts
        made.add_row(
            str(i),
            facts["region"],
            f"{facts['ratio']:.2f}",
            f"{facts['frame_mask']} {facts['blended']}/{facts['frames']}",
            drifting(facts, rho=False),
            recoloured(facts),
            f"{facts['severity']:.2f}",
        )
    show_table(made)


def _told(work: Work, pictures: Iterable[T], total: int) -> Iterator[T]:
    """Yields the pictures and reports their number to the display."""
    for number, picture in enumerate(pictures):
        work.tell("drawing", done=number, total=total)
        yield picture
