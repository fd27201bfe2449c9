"""Public functions describe their parameters. ``python tests/test_docstrings.py [PATH]`` lists those that do not."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("mgst_data", "mgst_model", "cli")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> dict[str, ast.Module]:
    """Every public module by its path."""
    paths = (path.relative_to(ROOT) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    return {
        str(path): ast.parse((ROOT / path).read_text())
        for path in paths
        if not any(part.startswith("_") and part != "__init__.py" for part in path.parts)
    }


def parameters(function: Function) -> list[str]:
    """Names of the parameters, without ``self``, ``cls`` and the starred ones."""
    arguments = function.args
    return [
        argument.arg
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        if argument.arg not in {"self", "cls"}
    ]


def documented_classes(trees: dict[str, ast.Module]) -> dict[str, tuple[set[str], set[str]]]:
    """Of each class by name: its base classes, and its methods that have ``Args:``."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases = {ast.unparse(base).split("[")[0].rsplit(".", maxsplit=1)[-1] for base in node.bases}
                methods = {item.name for item in node.body if isinstance(item, Function) and _has_args(item)}
                found[node.name] = (bases, methods)
    return found


def inherits(name: str, method: str, classes: dict[str, tuple[set[str], set[str]]]) -> bool:
    """Whether a base class of this project describes the parameters of the method."""
    bases = classes.get(name, (set(), set()))[0]
    return any(method in classes.get(base, (set(), set()))[1] or inherits(base, method, classes) for base in bases)


def _has_args(node: ast.AST) -> bool:
    return "Args:" in (ast.get_docstring(node) or "")  # type: ignore[arg-type]


def public_functions() -> Iterator[tuple[str, bool]]:
    """Place and ``Args:`` of every public function with two or more parameters."""
    trees = modules()
    classes = documented_classes(trees)

    def walk(path: str, node: ast.AST, owner: ast.ClassDef | None) -> Iterator[tuple[str, bool]]:
        for item in ast.iter_child_nodes(node):
            if isinstance(item, ast.ClassDef) and not item.name.startswith("_"):
                yield from walk(path, item, item)
            elif isinstance(item, Function) and (item.name in {"__init__", "__call__"} or item.name[0] != "_"):
                if len(parameters(item)) < 2 or any("overload" in ast.unparse(mark) for mark in item.decorator_list):
                    continue
                described = _has_args(item)
                if owner is not None:
                    described |= inherits(owner.name, item.name, classes)
                    described |= item.name == "__init__" and _has_args(owner)
                name = f"{owner.name}.{item.name}" if owner is not None else item.name
                yield f"{path}:{item.lineno}: {name}", described

    for path, tree in trees.items():
        yield from walk(path, tree, None)


def test_public_functions_describe_their_parameters():
    missing = [place for place, described in public_functions() if not described]
    assert not missing, "\n".join(["No Args: in the docstring, nor in the overridden method:", *missing])


if __name__ == "__main__":
    places = list(public_functions())
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    for place, described in places:
        if not described and place.startswith(wanted):
            sys.stdout.write(f"{place}\n")
    sys.stdout.write(f"{sum(described for _, described in places)} of {len(places)} have Args:\n")
