"""Express projects as files, and what is read from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

from preview.endpoints import Endpoint, extract_endpoints

PACKAGE = '{"name": "shop", "main": "app.js", "dependencies": {"express": "^4.18.0"}}'
APP = "const express = require('express');\nconst app = express();\n"


def project(folder: Path, files: Mapping[str, str]) -> Path:
    """Files by path; a package.json that starts ``app.js`` where none is given."""
    for name, text in {"package.json": PACKAGE, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return folder


def routes(folder: Path) -> list[str]:
    """``GET /users``, in order."""
    return [f"{item.method} {item.path}" for item in extract_endpoints(folder)]


def of(folder: Path, files: Mapping[str, str]) -> list[str]:
    """The routes of a project."""
    return routes(project(folder, files))


def in_app(folder: Path, text: str) -> list[str]:
    """The routes of one file, in which ``app`` and ``express`` are there already."""
    return of(folder, {"app.js": APP + dedent(text)})


def one(folder: Path, text: str) -> Endpoint:
    """The only endpoint of one file."""
    (endpoint,) = extract_endpoints(project(folder, {"app.js": APP + dedent(text)}))
    return endpoint
