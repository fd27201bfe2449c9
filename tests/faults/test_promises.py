"""The page of promises names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "promises.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows():
    """Yields the cells of all rows of the tables with tests."""
    for table in re.findall(r"^\| promise \| test \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE.read_text(), re.MULTILINE):
        for row in table.splitlines():
            yield [cell.strip() for cell in row.strip("|").split("|")]


def test_every_promise_names_tests():
    found = list(rows())
    assert len(found) > 20
    assert all(len(cells) == 2 and NAMED.search(cells[1]) for cells in found)


def test_every_named_test_exists():
    named = set(NAMED.findall(PAGE.read_text()))
    missing = [
        f"{file}::{name}"
        for file, name in sorted(named)
        if not (ROOT / file).is_file() or f"def {name}(" not in (ROOT / file).read_text()
    ]
    assert not missing
