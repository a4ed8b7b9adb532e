"""The files of the page: ours, and the script of plotly from its installed package."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mono_depth.errors import ConfigError

_FOLDER = Path(__file__).parent / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Addresses of the pages; every other file is at its own name.
_PAGES = {"index.html": "/", "docs.html": "/docs"}
# Files of the page that shows what runs; it has some in common with the other.
_LIVE_PAGES = {"live.html": "/"}
_LIVE_FILES = ("live.html", "live.js", "top_view.js", "depth_map.js", "style.css", "icon.svg")


@dataclass(frozen=True, kw_only=True)
class PageFile:
    """A file that is served as it is."""

    media_type: str
    content: bytes


@cache
def page_files() -> Mapping[str, PageFile]:
    """Return all files of the page by their address; nothing else of the disk is ever served.

    Raises:
        ConfigError: plotly is not installed.
    """
    names = [file.name for file in _FOLDER.iterdir() if file.name not in _LIVE_PAGES]
    files = _read(names, _PAGES)
    script = PageFile(media_type=_TYPES[".js"], content=_plotly_script().read_bytes())
    return {**files, "/page/plotly.min.js": script}


@cache
def live_page_files() -> Mapping[str, PageFile]:
    """Return all files of the page that shows what runs, by their address."""
    return _read(_LIVE_FILES, _LIVE_PAGES)


def _read(names: Iterable[str], addresses: Mapping[str, str]) -> dict[str, PageFile]:
    return {
        addresses.get(name, f"/page/{name}"): PageFile(
            media_type=_TYPES[Path(name).suffix], content=(_FOLDER / name).read_bytes()
        )
        for name in sorted(names)
        if Path(name).suffix in _TYPES
    }


def _plotly_script() -> Path:
    """Find the script without importing the package, which takes half a second."""
    found = importlib.util.find_spec("plotly")
    if found is None or found.origin is None:
        raise ConfigError("the page needs plotly: pip install 'mono_depth_ros[web]'")
    script = Path(found.origin).parent / "package_data" / "plotly.min.js"
    if not script.is_file():
        raise ConfigError(f"this version of plotly has no {script.name} in its package")
    return script
