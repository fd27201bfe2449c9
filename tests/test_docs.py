"""The documentation is complete: every package, augmentation, layout, command and term has its place."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from api_surface import PACKAGES
from mgst_cli.app import app
from mgst_cli.calibrate import calibrate
from mgst_cli.data import data
from mgst_cli.evaluate import evaluate
from mgst_cli.export import export
from mgst_cli.predict import predict
from mgst_cli.train import train

from mgst_data.datasets import LAYOUTS
from mgst_model.train import Experiment

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
# Words of options that mean what they mean everywhere. All other words of options are terms of the glossary.
PLAIN = """
    accumulate adapter again allow at batch batches best blocks browser by clip columns config count data debug decay
    device devices dim drop dry epochs every executor explain focal format from gamma gpus heads host image init
    input json kind level limit lr memory metrics missing mix mlp model models momentum network no norm of
    optimizer output p part parts path people per pictures port precision predictions pretrained quality radius
    range ratio reader report retry robustness rows save scale scoring seed selection server set side single
    size skipped source src start strict target test threshold timeout to training upsample val validate verify
    version weight weights worker workers
"""

# The same for headings of the documentation. Pages about other projects and about data sets use the words of those.
PLAIN_HEADINGS = """
    a access after an and another app architecture are at bad before benchmarks blended broken built by bytes
    calibrate can central check checked chosen coco collection comparison concepts cost dag damage data datasets
    do does done evaluate evaluation every existing extract extraction faceforensics faq faults faulty fiftyone
    files folders for form from generalisation get give given glossary gpu has have high holds how hugging i
    images import imports input install interrupt interruption interruptions is it json know kubernetes left
    licence linter listing loader look loop losses machines made many means measured memory mgst minutes most
    much my name names need network never next no not notebook often one options other own parity parts path
    people photos pictures pipelines plain planning plugging prediction prepare privacy program promised promises
    published python quick ray read repeat report result results resume same sample save sequences sets settings
    several share should skipped slurm smaller start steps stop streaming systems table take ten that the them
    there three to tools train training tree tried tutorials two types use was well were what when where which
    who whole why with words work write wrong you your
"""
FOREIGN = ("changelog.md", "contributing.md", "gallery.md", "papers.md", "reproduce.md")


def terms() -> set[str]:
    """Terms of the glossary, in lower case."""
    blocks = re.findall(r"```\{glossary\}\n(.*?)```", (DOCS / "glossary.md").read_text(), re.DOTALL)
    return {
        line.strip().lower() for block in blocks for line in block.splitlines() if line and not line.startswith(" ")
    }


def options() -> Iterator[str]:
    """Names of all options and option groups of all commands, and of all entries of a training configuration."""

    def of(command: click.Command) -> Iterator[str]:
        for parameter in command.params:
            yield from (name.lstrip("-") for name in parameter.opts if name.startswith("--"))
        yield from (group.title.replace(" ", "-") for group in getattr(command, "option_groups", ()))
        if isinstance(command, click.Group):
            for child in command.commands.values():
                yield from of(child)

    for command in (data, train, evaluate, predict, calibrate, export, app):
        yield from of(command)
    for table in Experiment().as_dict().values():
        if isinstance(table, dict):
            yield from (name.replace("_", "-") for name in table)


def words_of_terms() -> set[str]:
    """All words of the glossary's terms, singular and plural."""
    words = {word for term in terms() for word in (term, *re.split(r"[ -]", term))}
    return words | {f"{word}s" for word in words} | {word.removesuffix("s") for word in words}


def headings() -> Iterator[str]:
    """Headings of the pages and tutorials, without code and remarks in parentheses."""
    for page in [*DOCS.glob("*.md"), *(DOCS / "tutorials").glob("*.md")]:
        if page.name not in FOREIGN:
            text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
            for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
                yield re.sub(r"`[^`]*`|\([^)]*\)", "", heading)


def test_words_of_headings_are_plain_or_in_the_glossary():
    used = {word for heading in headings() for word in re.findall(r"[a-z]+", heading.lower())}
    plain = set(PLAIN_HEADINGS.split())
    unknown, unused = used - words_of_terms() - plain, plain - used
    assert not unknown, f"neither in docs/glossary.md nor in the list of plain words: {', '.join(sorted(unknown))}"
    assert not unused, f"in no heading: {', '.join(sorted(unused))}"


def test_words_of_options_are_plain_or_in_the_glossary():
    words = words_of_terms() | {"warmup"}
    used = {word for name in options() for word in name.lower().split("-")}
    plain = set(PLAIN.split())
    unknown, unused = used - words - plain, plain - used
    assert not unknown, f"neither in docs/glossary.md nor in the list of plain words: {', '.join(sorted(unknown))}"
    assert not unused, f"not the name of an option: {', '.join(sorted(unused))}"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_has_a_page_of_the_reference(package):
    page = DOCS / "reference" / f"{package}.md"
    assert f"automodule:: {package}\n" in page.read_text()
    assert f"\n{package}\n" in (DOCS / "reference" / "index.md").read_text()


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_every_layout_has_a_page(layout):
    page = DOCS / "datasets" / f"{layout}.md"
    assert "mgst-data extract" in page.read_text()
    assert layout in (DOCS / "datasets" / "index.md").read_text()


def test_every_augmentation_is_in_the_gallery():
    spec = importlib.util.spec_from_file_location("make_gallery", DOCS / "make_gallery.py")
    assert spec is not None
    assert spec.loader is not None
    gallery = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gallery)
    assert gallery.missing() == []


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda path: str(path.relative_to(DOCS)))
def test_links_between_pages_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page}: {target}"
