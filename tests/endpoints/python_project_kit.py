"""Small Python projects for the tests of this room."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from preview.endpoints import Endpoint, extract_endpoints

__all__ = ["named", "only", "routes", "write"]


def write(folder: Path, **files: str) -> Path:
    """Files by name; ``__`` stands for the slash, and ``app__init__`` is ``app/__init__``."""
    for name, text in files.items():
        path = folder / (name.replace("__init__", "/\0").replace("__", "/").replace("\0", "__init__") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return folder


def routes(folder: Path) -> list[str]:
    """Method and path of each endpoint, in their order."""
    return [f"{item.method} {item.path}" for item in extract_endpoints(folder)]


def named(folder: Path) -> dict[str, Endpoint]:
    """Endpoints by method and path."""
    return {f"{item.method} {item.path}": item for item in extract_endpoints(folder)}


def only(folder: Path) -> Endpoint:
    """The one endpoint of a project."""
    (endpoint,) = extract_endpoints(folder)
    return endpoint
