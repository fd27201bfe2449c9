"""Configuration of the documentation site: ``make docs`` builds it, offline and without warnings."""

from __future__ import annotations

import importlib
import sys
from typing import ClassVar

from click import Command, Group
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from mgst_data import __version__

project = "mgst"
author = "the mgst developers"
copyright = "2026, the mgst developers"  # noqa: A001 - Sphinx reads this name
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "mgst"
html_theme_options = {"navigation_with_keys": True}
html_copy_source = html_show_sourcelink = False
copybutton_exclude = ".linenos, .gp, .go"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "imported-members": True}
python_maximum_signature_line_length = 88
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_use_rtype = False
napoleon_use_ivar = True


class CommandHelp(SphinxDirective):
    """Prints ``--help`` of a command and of its sub-commands: the argument is ``module:name`` and the name to type."""

    required_arguments: ClassVar[int] = 2

    def run(self) -> list[nodes.Node]:
        """Makes the sections of the command."""
        module, name = self.arguments[0].split(":")
        return self.sections(getattr(importlib.import_module(module), name), self.arguments[1])

    def sections(self, command: Command, name: str) -> list[nodes.Node]:
        """A section for the command, followed by one for each sub-command."""
        context = command.make_context(name, ["x"], parent=None, resilient_parsing=True)
        context.terminal_width = context.max_content_width = 88
        text = command.get_help(context)
        section = nodes.section(ids=[nodes.make_id(name)])
        section += nodes.title(text=name)
        section += nodes.literal_block(text, text, language="text")
        found: list[nodes.Node] = [section]
        if isinstance(command, Group):
            for child in sorted(command.commands):
                found += self.sections(command.commands[child], f"{name} {child}")
        return found


def setup(app: Sphinx) -> None:
    """Registers the directive."""
    sys.dont_write_bytecode = True
    app.add_directive("command-help", CommandHelp)
