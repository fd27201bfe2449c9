"""The tab that shows self-blending on a face, with the functions of ``mgst-data preview-blend``."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgst_data.augment import FRAME_MASKS, PRESETS, SelfBlend, SelfBlendParams
from mgst_data.augment.blend import REGIONS
from mgst_data.core import MgstError
from mgst_data.core.errors import printable
from mgst_data.preview.blend import PANELS, BlendDraw, caption, panels
from mgst_data.preview.clips import Clip, clip_from_video
from mgst_data.shards import encode_image

from ..data.blend_options import blend_options
from ..data.blends import draw_blends, frames_of, notes_on
from .messages import message, plain

# As in mgst-data preview-blend, so that its command makes the same blend.
FRAMES, SIZE = 16, 256
_DRAWN = "as drawn"
_COLOURS = ("rgb_shift", "brightness", "contrast")
_EMPTY = "Drop a video or a picture of a face above. The blend appears here."
_HINT = "Move a slider to set a value yourself; the others stay as the preset draws them."


@dataclass(frozen=True, slots=True)
class Dial:
    """A slider that sets some options of a blend.

    Attributes:
        name: Its label.
        info: What it means.
        scale: Lowest and highest value, and step.
        settings: Options that it sets, as ``--set`` takes them: names, and the value for each.
        now: The value that is in effect.
        of_video: Whether it has an effect on videos only.
    """

    name: str
    info: str
    scale: tuple[float, float, float]
    settings: Callable[[float], tuple[str, ...]]
    now: Callable[[SelfBlend, SelfBlendParams], float]
    of_video: bool = False


DIALS = (
    Dial(
        "Strength",
        "Largest weight of the source: 1 replaces the pixels.",
        (0.05, 1, 0.05),
        lambda value: (f"mask.ratios=[{value:g}]",),
        lambda _, params: float(params.mask.ratio[0]),
    ),
    Dial(
        "Edge",
        "Size of the blur that softens the edge of the mask, pixels.",
        (1, 61, 2),
        lambda value: (f"mask.soften_range=[{value:.0f}, {value:.0f}]",),
        lambda _, params: float(params.mask.soften[0]),
    ),
    Dial(
        "Shift",
        "How far the source may be moved, relative to the face.",
        (0, 0.2, 0.005),
        lambda value: (f"warp.translation=[{value:g}, {value / 2:g}]",),
        lambda blend, _: blend.warp.translation[0],
    ),
    Dial(
        "Colour",
        "How much brightness, contrast and colour may differ between both sides.",
        (0, 0.5, 0.01),
        lambda value: ("recolour.rgb_p=1", *(f"recolour.{name}={value:g}" for name in _COLOURS)),
        lambda blend, _: blend.recolour.brightness,
    ),
    Dial(
        "Drift",
        "Factor on all changes from frame to frame; 0 is a steady blend.",
        (0, 4, 0.1),
        lambda value: ("steady_p=0", f"drift={value:g}"),
        lambda blend, _: blend.drift,
        of_video=True,
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Choice:
    """What the user chose.

    Attributes:
        preset: Name of the preset.
        seed: Seed of the random parameters.
        region: Region of the face, or "as drawn".
        frame_mask: Kind of frame mask, or "as drawn".
        dials: Values of the sliders that the user moved, by name.
    """

    preset: str
    seed: int
    region: str
    frame_mask: str
    dials: dict[str, float]

    @property
    def overrides(self) -> list[str]:
        """Options that differ from the preset, as ``--set`` takes them."""
        chosen = [f"mask.regions.{self.region}=1"] if self.region != _DRAWN else []
        chosen += [f"frame_mask.{self.frame_mask}=1"] if self.frame_mask != _DRAWN else []
        return chosen + [
            text for dial in DIALS if dial.name in self.dials for text in dial.settings(self.dials[dial.name])
        ]

    def draw(self, clip: Clip) -> tuple[SelfBlend, BlendDraw]:
        """Blends a clip.

        Raises:
            UsageError: if an option has a wrong value.
        """
        blend = blend_options(self.preset, self.overrides)
        return blend, draw_blends(blend, [clip], self.seed)[0]

    def command(self, name: str) -> str:
        """Returns the command that makes the same blend.

        Args:
            name: Name of the video or picture.
        """
        words = ["mgst-data", "preview-blend", name, "--preset", self.preset, "--seed", str(self.seed), "--count", "1"]
        return shlex.join([*words, *(word for text in self.overrides for word in ("--set", text))])


@dataclass(frozen=True, slots=True)
class Drawn:
    """A blend that is shown.

    Attributes:
        draw: The blend.
        command: The command that makes the same.
        notes: Notes on the clip.
    """

    draw: BlendDraw
    command: str
    notes: Sequence[str]

    def pictures(self, frame: int) -> str:
        """Returns the pictures of a frame, and below them the frame mask over time.

        Args:
            frame: Number of the frame, from 1.
        """
        t = min(frame, len(self.draw)) - 1
        figures = "".join(
            f"<figure><figcaption>{name}</figcaption><img src='{_source(picture)}' alt='{name}'></figure>"
            for name, picture in zip(PANELS, panels(self.draw.pair, t), strict=True)
        )
        return f'<div class="mgst-panels">{figures}</div>{self._over_time(t)}'

    def details(self) -> str:
        """Returns the sampled parameters, the notes on the clip, and the command that makes the same."""
        facts = plain(caption(self.draw.facts)).replace("   ", ", ")
        notes = "".join(message("note", note) for note in self.notes)
        return (
            f'<p class="mgst-soft">Drawn: {facts}.</p>{notes}'
            '<p class="mgst-soft">This command makes the same blend:</p>'
            f'<code class="mgst-command" tabindex="0">{plain(self.command)}</code>'
        )

    def _over_time(self, t: int) -> str:
        if len(self.draw) == 1:
            return ""
        mask = self.draw.frame_mask.tolist()
        cells = "".join(
            f'<span class="{"blended " * blended}{"here" * (i == t)}"></span>' for i, blended in enumerate(mask)
        )
        words = f"frame {t + 1} of {len(mask)}: {'blended' if mask[t] else 'not blended'}"
        return f'<div class="mgst-frames" aria-hidden="true">{cells}</div><p class="mgst-soft">{words}</p>'


class BlendsTab:
    """Builds the tab. The face of a file is searched for once; every change of an option blends it anew."""

    def build(self) -> None:
        """Adds the parts of the tab to the page, and what they do.

        Raises:
            ImportError: if Gradio is not installed.
        """
        import gradio as gr

        self._gr = gr
        self._clip, self._drawn, self._moved = gr.State(), gr.State(), gr.State(())
        self._upload = gr.File(label="Video or picture of a face", height=150, elem_id="blend-file")
        self._result = gr.HTML(message("empty", _EMPTY), elem_id="blend-result")
        with gr.Column(visible=False) as self._controls:
            self._frame = gr.Slider(1, FRAMES, 1, step=1, label="Frame", buttons=[], elem_id="frame")
            with gr.Row():
                self._preset = gr.Dropdown([*PRESETS], value="frame_random", label="Preset", min_width=200)
                self._region = gr.Dropdown([_DRAWN, *REGIONS], value=_DRAWN, label="Region", min_width=200)
                self._mask = gr.Dropdown([_DRAWN, *FRAME_MASKS], value=_DRAWN, label="Frame mask", min_width=200)
            self._seed = gr.Slider(
                0, 99, 0, step=1, label="Seed", info="Each seed is another draw.", buttons=[], elem_id="seed"
            )
            gr.HTML(f'<p class="mgst-soft">{_HINT}</p>')
            with gr.Row():
                self._dials = [self._slider(dial) for dial in DIALS]
            self._reset = gr.Button("Reset to the preset", elem_id="blend-reset")
            self._details = gr.HTML(elem_id="blend-details")
        self._connect()

    def _slider(self, dial: Dial) -> Any:
        low, high, step = dial.scale
        return self._gr.Slider(
            low, high, low, step=step, label=dial.name, info=dial.info, min_width=240, buttons=[],
            elem_id=f"dial-{dial.name.lower()}",
        )  # fmt: skip

    def _connect(self) -> None:
        choices = [self._preset, self._seed, self._region, self._mask]
        inputs = [self._clip, self._frame, self._moved, *choices, *self._dials]
        outputs = [self._result, self._details, self._drawn, self._moved, *self._dials]
        live = {"show_progress": "hidden", "trigger_mode": "always_last", "api_visibility": "private"}
        for choice in choices:
            choice.input(self._redraw(), inputs, outputs, **live)
        for dial, slider in zip(DIALS, self._dials, strict=True):
            slider.input(self._redraw(dial.name), inputs, outputs, **live)
        self._frame.input(self._show, [self._drawn, self._frame], self._result, **live)
        found = [self._clip, self._result, self._controls, self._frame, self._mask]
        of_video = [slider for dial, slider in zip(DIALS, self._dials, strict=True) if dial.of_video]
        self._upload.upload(self._wait, None, self._result, queue=False, **live).then(
            self._find, self._upload, [*found, *of_video], **live
        ).then(self._redraw(), inputs, outputs, **live)
        self._upload.clear(self._clear, None, [self._clip, self._result, self._controls], queue=False, **live)
        defaults = [self._moved, self._region, self._mask]
        self._reset.click(lambda: ((), _DRAWN, _DRAWN), None, defaults, queue=False, **live).then(
            self._redraw(), inputs, outputs, **live
        )

    def _wait(self) -> str:
        return message("empty", "Searching for a face ...")

    def _clear(self) -> tuple[Any, ...]:
        return None, message("empty", _EMPTY), self._gr.update(visible=False)

    def _find(self, path: str) -> tuple[Any, ...]:
        """Finds the face of a file, and shows the controls that have an effect on it."""
        update = self._gr.update
        try:
            clip = clip_from_video(path, frames=FRAMES, size=SIZE)
        except MgstError as error:
            text = f"error: {error}".replace(printable(path), printable(Path(path).name))
            nothing = [self._gr.skip() for dial in DIALS if dial.of_video]
            return None, message("error", text), update(visible=False), self._gr.skip(), self._gr.skip(), *nothing
        several = len(clip) > 1
        middle = (len(clip) + 1) // 2
        frames = update(maximum=max(2, len(clip)), value=middle, visible=several, info=f"Of {frames_of(clip)}.")
        seen = update(visible=several)
        return clip, self._gr.skip(), update(visible=True), frames, seen, *(seen for dial in DIALS if dial.of_video)

    def _redraw(self, name: str = "") -> Callable[..., tuple[Any, ...]]:
        """Returns what blends the clip after a change: of a slider with this name, or of another option."""
        skip, update = self._gr.skip, self._gr.update

        def redraw(clip: Clip | None, frame: int, moved: Sequence[str], *values: Any) -> tuple[Any, ...]:
            if clip is None:
                return tuple(skip() for _ in range(4 + len(DIALS)))
            moved = tuple({*moved, name} - {""})
            (preset, seed, region, frame_mask), dials = values[:4], values[4:]
            set_by_user = {dial.name: value for dial, value in zip(DIALS, dials, strict=True) if dial.name in moved}
            choice = Choice(preset, int(seed), region, frame_mask, set_by_user)
            try:
                blend, draw = choice.draw(clip)
            except MgstError as error:
                return message("error", f"error: {error}"), skip(), skip(), moved, *(skip() for _ in DIALS)
            drawn = Drawn(draw, choice.command(Path(clip.source).name), notes_on(clip, FRAMES))
            shown = [skip() if d.name in moved else update(value=_on(d, d.now(blend, draw.params))) for d in DIALS]
            return drawn.pictures(frame), drawn.details(), drawn, moved, *shown

        return redraw

    def _show(self, drawn: Drawn | None, frame: int) -> Any:
        return self._gr.skip() if drawn is None else drawn.pictures(frame)


def _on(dial: Dial, value: float) -> float:
    """Rounds a value to the scale of a slider."""
    low, high, step = dial.scale
    return round(min(max(low + step * round((value - low) / step), low), high), 4)


def _source(picture: Any) -> str:
    """Returns a picture as the source of an image in a page."""
    return f"data:image/jpeg;base64,{base64.b64encode(encode_image(picture, quality=92)).decode()}"
