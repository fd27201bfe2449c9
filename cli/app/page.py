"""The page of the app: its look, and the tab that scores a file."""

from __future__ import annotations

from collections.abc import Callable, Generator
from html import escape
from pathlib import Path
from typing import Any

from mgst_data import __version__
from mgst_data.core import MgstError

from ..common.progress import Work
from .blends import BlendsTab
from .messages import message, plain
from .scoring import Scored, Scorer, StoppedError

STYLE = Path(__file__).with_name("app.css")
_TITLE = "mgst"
_HERE = "Your files stay on this computer and are deleted when the app ends."
_THERE = "Your files are sent to the computer that runs this app, and are deleted when the app ends."
_EMPTY = "Drop a video or a picture above. It is scored at once; the result appears here."
# The frame is as high as its page, so that there is one scroll bar.
_FIT = (
    "const root = this.contentDocument.documentElement, page = this;"
    "const fit = () => { page.style.height = root.querySelector('body').offsetHeight + 24 + 'px'; };"
    "new ResizeObserver(fit).observe(root.querySelector('body')); fit();"
)


def look() -> dict[str, Any]:
    """Returns the theme and the style, for Gradio. No font is loaded: the fonts are those of the computer.

    Raises:
        ImportError: if Gradio is not installed.
    """
    import gradio

    fonts = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
    mono = ("ui-monospace", "Cascadia Mono", "Menlo", "Consolas", "monospace")
    colours = gradio.themes.colors
    theme = gradio.themes.Base(primary_hue=colours.blue, neutral_hue=colours.gray, font=fonts, font_mono=mono).set(
        button_primary_background_fill="#0550ae",
        button_primary_background_fill_hover="#033d85",
        button_primary_background_fill_dark="#84bdff",
        button_primary_background_fill_hover_dark="#a9d1ff",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#14171b",
        body_background_fill="#ffffff",
        body_background_fill_dark="#14171b",
        body_text_color="#1b1f24",
        body_text_color_dark="#eceff3",
        body_text_color_subdued="#4c545e",
        body_text_color_subdued_dark="#b3bcc7",
        block_info_text_color="#4c545e",
        block_info_text_color_dark="#b3bcc7",
        block_label_text_color="#1b1f24",
        block_label_text_color_dark="#eceff3",
        block_title_text_color="#1b1f24",
        block_title_text_color_dark="#eceff3",
        checkbox_border_color="#4c545e",
        checkbox_border_color_dark="#b3bcc7",
        checkbox_border_color_selected="#0550ae",
        checkbox_border_color_selected_dark="#0550ae",
        checkbox_background_color_selected="#0550ae",
        checkbox_background_color_selected_dark="#0550ae",
        slider_color="#0550ae",
        slider_color_dark="#84bdff",
    )
    return {"theme": theme, "css_paths": [STYLE]}


def build_page(scorer: Scorer, *, local: bool) -> Any:
    """Builds the page with its two tabs.

    Args:
        scorer: Scores the files.
        local: Whether only this computer can reach the app.

    Raises:
        ImportError: if Gradio is not installed.
    """
    import gradio as gr

    with gr.Blocks(title=_TITLE, analytics_enabled=False) as page:
        gr.HTML(f"<h1>{_TITLE} <small>{__version__}</small></h1><p>{_HERE if local else _THERE}</p>", elem_id="top")
        with gr.Tabs():
            with gr.Tab("Score a video"):
                _score_tab(scorer)
            with gr.Tab("Blends"):
                BlendsTab().build()
    return page


def _score_tab(scorer: Scorer) -> None:
    import gradio as gr

    upload = gr.File(label="Video or picture", height=150, elem_id="score-file")
    with gr.Accordion("Options", open=False):
        rate = ", or a false-positive rate such as 5%" if scorer.calibrated else ""
        threshold = gr.Textbox(
            value="",
            label="Threshold",
            info=f"A score from 0 to 1 above which a video is called fake{rate}. "
            f"Empty: {scorer.threshold:.2f}, that of the network for videos.",
            max_lines=1,
            max_length=20,
            elem_id="threshold",
        )
        explain = gr.Checkbox(
            label="Explain",
            info="Show which regions of the face carry the score. It takes about four times as long.",
            visible=scorer.explains,
        )
        start = gr.Button("Score again", variant="primary", interactive=False, elem_id="score-again")
    stop = gr.Button("Stop", visible=False, elem_id="score-stop")
    result = gr.HTML(message("empty", _EMPTY), elem_id="score-result")

    def score(path: str | None, level: str, maps: bool) -> Generator[tuple[Any, ...]]:
        if path is None:
            yield message("empty", _EMPTY), gr.update(visible=False), gr.update(interactive=False)
            return
        running = scorer.score(path, threshold=level, explain=maps)
        try:
            while True:
                shown = _working(next(running))
                yield shown, gr.update(visible=True), gr.update(interactive=False)
        except StopIteration as ended:
            shown = _result(ended.value)
        except StoppedError:
            shown = message("empty", "Stopped.")
        except (MgstError, ImportError, ValueError) as error:
            shown = message("error", f"error: {error}")
        finally:
            running.close()
        yield shown, gr.update(visible=False), gr.update(interactive=True)

    gr.on(
        [upload.upload, start.click, threshold.submit],
        score,
        [upload, threshold, explain],
        [result, stop, start],
        show_progress="hidden",
        concurrency_limit=None,
        api_visibility="private",
    )
    stop.click(scorer.stop, upload, None, queue=False, api_visibility="private")
    upload.clear(
        _cleared(scorer, lambda: gr.update(interactive=False)), upload, [result, start], queue=False,
        api_visibility="private",
    )  # fmt: skip


def _cleared(scorer: Scorer, off: Callable[[], Any]) -> Callable[[str | None], tuple[str, Any]]:
    def cleared(path: str | None) -> tuple[str, Any]:
        scorer.stop(path)
        return message("empty", _EMPTY), off()

    return cleared


def _working(progress: Work) -> str:
    words = "  ".join(progress.words())
    share = min(1, progress.done / progress.total) if progress.total else None
    # The page is written anew at every step; with the delay, the bar continues where it was.
    style = f"animation-delay: -{progress.seconds:.2f}s" if share is None else f"animation: none; width: {share:.1%}"
    bar = f'<span class="mgst-bar"><span style="{style}"></span></span>'
    return f'<div class="mgst-working" role="status">{bar}{plain(words)}</div>'


def _result(scored: Scored) -> str:
    name = plain(scored.name)
    links = (
        f'<a href="{scored.page}" target="_blank">Open the page in a new tab</a>',
        f'<a href="{scored.everything}" download>Download all (ZIP)</a>',
        f'<a href="{scored.page}" download>Download the page (HTML)</a>',
        f'<a href="{scored.scores}" download>Download the scores (JSON)</a>',
    )
    listed = "".join(f"<li>{link}</li>" for link in links)
    return (
        f'<ul class="mgst-links" aria-label="Results of {name}">{listed}</ul>'
        f'<p class="mgst-soft">The page alone does not contain the scored file; the ZIP file has both.</p>'
        f'<iframe class="mgst-page" src="{scored.page}" title="Scores of {name}" onload="{escape(_FIT)}"></iframe>'
    )
