"""The public names of every package, with their signatures: ``python tests/api_surface.py > tests/api_surface.json``.

Run without the import hook of the tests, which wraps every function.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import re
import sys

PACKAGES = (
    "mgst_data",
    "mgst_data.augment",
    "mgst_data.core",
    "mgst_data.datasets",
    "mgst_data.demo",
    "mgst_data.export",
    "mgst_data.extract",
    "mgst_data.extract.executors",
    "mgst_data.faces",
    "mgst_data.html",
    "mgst_data.people",
    "mgst_data.preview",
    "mgst_data.report",
    "mgst_data.shards",
    "mgst_data.testing",
    "mgst_data.video",
    "mgst_model.evaluate",
    "mgst_model.export",
    "mgst_model.losses",
    "mgst_model.networks",
    "mgst_model.predict",
    "mgst_model.train",
)


def describe(item: object) -> str:
    """Describes a public object by its kind and signature; a class by its constructor and public methods."""
    if inspect.isclass(item):
        own = {
            name: value
            for name, value in vars(item).items()
            if not name.startswith("_") and callable(getattr(item, name, None))
        }
        fields = [field.name for field in dataclasses.fields(item)] if dataclasses.is_dataclass(item) else []
        methods = [f"{name}{_signature(getattr(item, name))}" for name in sorted(own) if name not in fields]
        return "; ".join([f"class{_signature(item)}", *methods])
    if callable(item) and hasattr(item, "__name__"):
        return f"def{_signature(item)}"
    return type(item).__name__


def _signature(item: object) -> str:
    try:
        text = str(inspect.signature(item))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return "(...)"
    return re.sub(r" at 0x[0-9a-f]+", "", text)  # memory addresses of defaults


def surface() -> dict[str, dict[str, str]]:
    """Describes all public names of every package."""
    found = {}
    for name in PACKAGES:
        package = importlib.import_module(name)
        found[name] = {public: describe(getattr(package, public)) for public in sorted(package.__all__)}
    return found


if __name__ == "__main__":
    json.dump(surface(), sys.stdout, indent=1)
    sys.stdout.write("\n")
