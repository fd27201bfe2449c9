"""Measures how many small changes of a module its tests detect: mutation testing of a random sample.

    python benchmarks/mutation.py 40 mgst_model/losses/frame_loss.py tests/model/test_losses.py

The arguments are the number of changes, a module of mgst_data or mgst_model, and its tests. Changes are made in a copy
of the tree. A change that no test detects is equivalent, or does not matter, or shows a missing test.
"""

import ast
import copy
import itertools
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch  # noqa: F401 - imported once; every change is tested in a fork

PAIRS = "Add Sub, Mult Div, FloorDiv Div, Pow Mult, Lt LtE, Gt GtE, Eq NotEq, And Or, BitAnd BitOr"
SWAPS = {a: b for pair in PAIRS.split(", ") for a, b in (pair.split(), pair.split()[::-1])}


def places(node: ast.AST) -> Iterator[ast.AST]:  # without annotations, formatted text and error messages
    yield node
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.Raise | ast.JoinedStr):
                yield from places(child) if name not in ("annotation", "returns") else ()


def changes(node: ast.AST) -> Iterator[tuple[str, object]]:  # fields and their new values
    for name, old in ast.iter_fields(node):
        first = type(old[0] if isinstance(old, list) and old else old).__name__
        if name in ("op", "ops") and first in SWAPS:
            new = getattr(ast, SWAPS[first])()
            yield name, [new, *old[1:]] if isinstance(old, list) else new
        elif name == "value" and isinstance(old, bool | int | float):
            yield from ((name, new) for new in ([not old] if isinstance(old, bool) else [old + 1, old - 1]))
        elif name == "test":
            yield name, ast.UnaryOp(ast.Not(), old)
        elif name == "keywords" and isinstance(node, ast.Call):
            yield from ((name, [*old[:i], *old[i + 1 :]]) for i in range(len(old)))


def mutants(tree: ast.Module) -> Iterator[tuple[str, str]]:  # descriptions and sources
    for number, node in enumerate(places(tree)):
        for name, value in changes(node):
            made = copy.deepcopy(tree)
            target = next(itertools.islice(places(made), number, None))
            setattr(target, name, value)
            yield f"line {getattr(node, 'lineno', '')}: {ast.unparse(node)} -> {ast.unparse(target)}", ast.unparse(made)


def detected(module: Path, source: str, tests: list[str]) -> bool:
    """Returns whether a test fails. The new time stamp keeps Python from using old bytecode."""
    module.write_text(source)
    os.utime(module, (random.getrandbits(30),) * 2)
    if not (pid := os.fork()):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(pytest.main([*tests, "-x", "-p", "no:cacheprovider", "--timeout=60"]))
    return os.waitpid(pid, 0)[1] != 0


root, count, module, tests = Path(__file__).parents[1], int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
with tempfile.TemporaryDirectory() as folder:
    shutil.copytree(root, folder, ignore=shutil.ignore_patterns(".*", "__pycache__", "demo"), dirs_exist_ok=True)
    os.environ.setdefault("MGST_CLIPS", str(root.parent / "shared" / "data"))
    os.chdir(folder)
    sys.path.insert(0, folder)
    tree = ast.parse(module.read_text())
    if detected(module, ast.unparse(tree), tests):
        sys.exit("the tests fail without a change")
    sample = random.Random(0).sample(every := list(mutants(tree)), min(count, len(every)))
    missed = [what for what, source in sample if not detected(module, source, tests)]
    print(*missed, f"{len(sample) - len(missed)} of {len(sample)} changes detected; {len(every)} exist", sep="\n")
