"""Renders Jinja2 templates to static pages, and writes them with their scripts and styles.

A package that has pages keeps its templates in a folder ``templates``, and its own scripts and styles in a folder
``static``. A template extends ``base.html.j2`` and imports ``parts.html.j2``.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgst_data.core.errors import printable
from mgst_data.html.links import link
from mgst_data.shards.lock import FolderLock
from mgst_data.shards.storage import output_errors, write_atomic

if TYPE_CHECKING:
    from jinja2 import Environment

# Folder of scripts and styles, beside the page.
ASSETS = "assets"
# Seconds to wait for another process that writes the same scripts.
_WAIT = 60.0
# Packaged scripts of libraries, by the name of the file beside the page. A page names those that it needs.
PLOTLY, TABLES = "plotly.min.js", "datatables.js"
_BASE = "mgst_data.html"
_MISSING = "HTML pages need Jinja2, Plotly and itables: pip install 'mgst[report]'"


def environment(package: str = _BASE) -> Environment:
    """Returns the Jinja2 environment of a package's pages: everything is escaped, and unknown names are errors.

    Args:
        package: Package with a folder ``templates``. The templates of this package can be used too.

    Raises:
        ImportError: if Jinja2 is not installed.
    """
    try:
        from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise ImportError(_MISSING) from error
    loaders = [PackageLoader(name) for name in dict.fromkeys((package, _BASE))]
    made = Environment(
        loader=ChoiceLoader(loaders), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # JSON has neither NaN nor infinity; the filter tojson escapes what could end a script element.
    made.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    made.filters["printable"] = printable
    return made


def render_page(
    template: str,
    *,
    package: str,
    title: str,
    scripts: Sequence[str] = (),
    styles: Sequence[str] = (),
    inline: bool = False,
    folder: str = ASSETS,
    **values: Any,
) -> str:
    """Renders a page.

    Args:
        template: Name of the template in the folder ``templates`` of the package.
        package: Package of the template, such as "mgst_data.report".
        title: Title of the page, and its first heading.
        scripts: Scripts in the order in which they run: ``PLOTLY``, ``TABLES``, or files in the folder ``static`` of
            the package.
        styles: Style sheets in the folder ``static`` of the package.
        inline: Whether scripts and styles are part of the page; otherwise the page names files in a folder.
        folder: Link to this folder.
        **values: Names that the template uses.

    Raises:
        ImportError: if Jinja2 or a library of the scripts is not installed.
    """
    from mgst_data import __version__

    parts = _parts(package, scripts, styles)
    return (
        environment(package)
        .get_template(template)
        .render(
            title=title,
            version=__version__,
            folder=folder,
            styles=[name for name in parts if name.endswith(".css")],
            scripts=[name for name in parts if name.endswith(".js")],
            # A script that holds "</script" would end its element; none of these does.
            sources={name: data.decode() for name, data in parts.items()} if inline else {},
            **values,
        )
    )


def write_page(
    path: Path,
    template: str,
    *,
    package: str,
    title: str,
    scripts: Sequence[str] = (),
    styles: Sequence[str] = (),
    inline: bool = False,
    assets: Path | None = None,
    **values: Any,
) -> None:
    """Renders and writes a page. Its scripts and styles are written before it: a page that exists is complete.

    Args:
        path: File of the page. Its folder is created if it does not exist.
        template: See :func:`render_page`, also for all other arguments.
        package: Package of the template.
        title: Title of the page.
        scripts: Scripts that the page needs.
        styles: Style sheets that the page needs.
        inline: Whether the page is one single file.
        assets: Folder of scripts and styles if it is not, which several pages can share; None for ``assets`` beside
            the page.
        **values: Names that the template uses.

    Raises:
        ImportError: if Jinja2 or a library of the scripts is not installed.
        OutputError: if a file cannot be written.
    """
    assets = assets or path.parent / ASSETS
    look: dict[str, Any] = {"package": package, "scripts": scripts, "styles": styles}
    text = render_page(template, title=title, inline=inline, folder=link(assets, path.parent), **look, **values)
    for folder in (path.parent,) if inline else (path.parent, assets):
        with output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    missing = {} if inline else {name: data for name, data in _parts(**look).items() if not _same(assets / name, data)}
    if missing:
        with FolderLock(assets, wait=_WAIT):  # several processes may write pages with the same scripts
            for name, data in missing.items():
                write_atomic(assets / name, data)
    # File names need not be valid UTF-8.
    write_atomic(path, text.encode("utf-8", "replace"))


def _same(path: Path, data: bytes) -> bool:
    with output_errors(path):
        return path.exists() and path.read_bytes() == data


def _parts(package: str, scripts: Sequence[str], styles: Sequence[str]) -> Mapping[str, bytes]:
    """Returns scripts and styles by file name: those of libraries, of this package, of the page's package."""
    libraries = {PLOTLY: _plotly, TABLES: _tables}
    parts = {name: libraries[name]() for name in scripts if name in libraries}
    parts |= {name: _static(_BASE, name) for name in ("page.css", "page.js")}
    return parts | {name: _static(package, name) for name in (*styles, *scripts) if name not in parts}


def _static(package: str, name: str) -> bytes:
    return files(package).joinpath("static", name).read_bytes()


def _plotly() -> bytes:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ImportError(_MISSING) from error
    return bytes(get_plotlyjs().encode())


def _tables() -> bytes:
    """Returns a script that makes DataTables, an ES module, available to pages that are opened from files.

    A browser imports modules from files only as data URLs.

    Raises:
        ImportError: if itables is not installed.
    """
    try:
        script = files("itables").joinpath("html", "dt_bundle.js").read_bytes()
        style = files("itables").joinpath("html", "dt_bundle.css").read_bytes()
    except ImportError as error:
        raise ImportError(_MISSING) from error
    urls = {
        "MGST_DATATABLES": _data_url("text/javascript", script),
        "MGST_DATATABLES_STYLE": _data_url("text/css", style),
    }
    return "".join(f'const {name} = "{url}";\n' for name, url in urls.items()).encode()


def _data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
