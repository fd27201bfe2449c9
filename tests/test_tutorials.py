"""The tutorials run as printed: every command and every line of Python, in order, in an empty folder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
QUICKSTART = DOCS / "quickstart.md"
PAGES = [*([QUICKSTART] if QUICKSTART.exists() else []), *sorted((DOCS / "tutorials").glob("*.md"))]
LIMIT = 900  # seconds for a page, on a busy machine; alone on two cores, a page takes less than one minute

# ```sh are commands, ```python shares one namespace per page; all other blocks are not run. A block that begins with
# "# file: NAME" is saved under that name instead.
FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
# A folder of this repository, and then at least one name.
REPOSITORY_PATH = re.compile(r"(?:benchmarks|cli|configs|docs|examples|mgst_data|mgst_model|tests)/[\w./-]+")

# Runs in a process of its own. A traceback shows the line of the page, because a block is compiled with its offset.
RUNNER = """
import linecache, re, subprocess, sys, traceback, warnings
from pathlib import Path

PAGE, BLOCKS = {page!r}, {blocks!r}
for package in ("mgst_data", "mgst_model", "mgst_cli", "__main__"):
    warnings.filterwarnings("error", category=DeprecationWarning, module=rf"{{package}}(\\.|$)")
names = {{"__name__": "__main__"}}
sys.path.insert(0, "")
linecache.cache[PAGE] = (0, None, Path(PAGE).read_text().splitlines(keepends=True), PAGE)
for language, line, code in BLOCKS:
    print(f"== {{language}}, line {{line}} of {{PAGE}}", flush=True)
    try:
        file = re.match(r"# file: (\\S+)\\n", code)
        if file:
            Path(file[1]).write_text(code)
        elif language == "sh":
            subprocess.run(["bash", "-c", "set -euo pipefail\\n" + code], check=True)
        else:
            exec(compile("\\n" * (line - 1) + code, PAGE, "exec"), names)
    except BaseException as error:
        if not isinstance(error, subprocess.CalledProcessError):
            traceback.print_exc()
        sys.exit(f"FAILED: {{language}} block at line {{line}} of {{PAGE}}:\\n{{code}}")
"""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page, with the number of its first line."""

    language: str
    line: int
    code: str

    @property
    def is_file(self) -> bool:
        return self.code.startswith("# file: ")

    @property
    def runs(self) -> bool:
        return self.language in ("sh", "python") and not self.is_file


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    return [Block(found[1], text.count("\n", 0, found.start(2)) + 1, found[2]) for found in FENCE.finditer(text)]


def name_of(page: Path) -> str:
    return str(page.relative_to(DOCS))


@pytest.mark.slow
@pytest.mark.timeout(LIMIT + 30)
@pytest.mark.parametrize("page", [page for page in PAGES if any(b.runs for b in blocks_of(page))], ids=name_of)
def test_a_page_runs_as_printed(page, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    run = [(b.language, b.line, b.code) for b in blocks_of(page) if b.runs or b.is_file]
    script = tmp_path / "run.py"
    script.write_text(RUNNER.format(page=str(page), blocks=run))
    environment = os.environ | {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONUNBUFFERED": "1",
        # On a busy machine, several threads per process wait for each other most of the time.
        "OMP_NUM_THREADS": "1",
    }
    with subprocess.Popen(
        [sys.executable, str(script)],
        cwd=work,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as running:
        try:
            output, _ = running.communicate(timeout=LIMIT)
        except BaseException as error:
            os.killpg(running.pid, signal.SIGKILL)  # commands that are still running, too
            output = f"{running.communicate()[0]}\nFAILED: more than {LIMIT} seconds"
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
    assert running.returncode == 0, output


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_are_commands_python_or_output(page):
    assert page.read_text().count("\n```") == 2 * len(blocks_of(page)), "a fence is not closed, or is indented"
    for block in blocks_of(page):
        known = block.language in (
            "sh",
            "python",
            "text",
            "console",
            "toml",
            "json",
            "ini",
        ) or block.language.startswith("{")
        assert known, f"line {block.line}: a block of {block.language!r} says neither that it runs nor that it does not"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_a_page_names_exist(page):
    prose = FENCE.sub("", page.read_text())
    links = [link.partition("#")[0] for link in LINK.findall(prose) if "://" not in link]
    missing = [link for link in links if link and not (page.parent / link).exists()]
    named = [code for code in INLINE.findall(prose) if REPOSITORY_PATH.fullmatch(code)]
    missing += [code for code in named if not (ROOT / code).exists()]
    assert not missing


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```toml\n# file: a.toml\nx = 1\n```\n", [Block("toml", 2, "# file: a.toml\nx = 1\n")]),
        ("a\n```sh\nls\n```\n", [Block("sh", 3, "ls\n")]),
        ("```text\n$ ls\n```\n\n```python\nx = 1\n```\n", [Block("text", 2, "$ ls\n"), Block("python", 6, "x = 1\n")]),
        ("```{toctree}\npage\n```\n", [Block("{toctree}", 2, "page\n")]),
    ],
)
def test_blocks_know_their_lines(tmp_path, text, found):
    (tmp_path / "page.md").write_text(text)
    assert blocks_of(tmp_path / "page.md") == found
