"""Messages of the app as HTML."""

from __future__ import annotations

from html import escape


def message(kind: str, text: str) -> str:
    """Returns a message as HTML.

    Args:
        kind: "empty" (what to do), "note" or "error".
        text: Plain text.
    """
    role = "alert" if kind == "error" else "status"
    return f'<p class="mgst-{kind}" role="{role}">{plain(text)}</p>'


def plain(text: str) -> str:
    """Escapes text for HTML, and braces, which Gradio would read as a template."""
    return escape(text).replace("{", "&#123;").replace("}", "&#125;").replace("$", "&#36;")
