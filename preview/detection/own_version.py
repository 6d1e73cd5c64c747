"""Let a program ask for its own version, as if it were installed: ``importlib.metadata.version("shop")``.

A project's packages are installed for a preview, the project itself runs from its folder.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from preview.detection.plan import StartPlan, Step, Toolchain
from preview.sources import Sources

_ASKS: Final = re.compile(
    rb"\b(?:version|distribution|metadata|get_distribution|require)\(\s{0,20}"
    rb"(?:[\"'](?P<name>[A-Za-z0-9][\w.-]{0,80})[\"']|__(?:name|package)__\b)"
)
_READS: Final = re.compile(rb"importlib[._]metadata|pkg_resources")
# Files that name the project, and how: pyproject.toml, setup.cfg, setup.py and PyBuilder's build.py.
_FILES: Final = ("pyproject.toml", "setup.cfg", "setup.py", "build.py")
_NAME: Final = re.compile(rb"^[ \t]{0,20}name\s{0,8}=\s{0,8}[\"']?(?P<name>[A-Za-z0-9][\w.-]{0,80})", re.MULTILINE)
# `# my-shop`
_TITLE: Final = re.compile(rb"^# {1,4}(?P<name>[A-Za-z0-9][\w.-]{0,80})[ \t]{0,4}\r?$", re.MULTILINE)
_VERSION: Final = re.compile(rb"^[ \t]{0,20}version\s{0,8}=\s{0,8}[\"']?(?P<version>\d[\w.+!-]{0,40})", re.MULTILINE)
_READMES: Final = ("README.md", "readme.md", "Readme.md")
_MOST_FILES: Final = 500
# An installed package of the name keeps its own metadata.
_WRITE: Final = (
    "import importlib.metadata as m,os,sys;n,v=sys.argv[1:];f=f'{n}-{v}.dist-info';any(m.distributions(name=n)) or "
    "(os.makedirs(f,exist_ok=True),"
    "open(f'{f}/METADATA','w').write(f'Metadata-Version: 2.1\\nName: {n}\\nVersion: {v}\\n'))"
)


def with_own_version(plan: StartPlan, sources: Sources) -> StartPlan:
    """Return the plan with a step that writes the project's metadata; unchanged if no source asks for them."""
    if plan.toolchain is not Toolchain.PYTHON:
        return plan
    known: dict[str, tuple[str, str]] = {}
    for name, version in _stated(plan, sources):
        known.setdefault(_normal(name), (name, version))
    if not known:
        return plan
    for file in sources.names[:_MOST_FILES]:
        text = sources.text(file)
        if not _READS.search(text):
            continue
        for match in _ASKS.finditer(text):
            # A package's `__name__` is that of its folder.
            names = posixpath.dirname(file).split("/") if match["name"] is None else (match["name"].decode(),)
            own = next((known[name] for name in map(_normal, names) if name in known), None)
            if own is not None:
                line = text.count(b"\n", 0, match.start()) + 1
                name, version = own[0].replace("-", "_"), own[1]
                folder = plan.python_path[0] if plan.python_path else plan.directory
                why = f"{file}:{line} asks for the project's own version"
                return replace(
                    plan, steps=(Step("version", ("python", "-c", _WRITE, name, version), folder, why), *plan.steps)
                )
    return plan


def _stated(plan: StartPlan, sources: Sources) -> Iterator[tuple[str, str]]:
    """Yield the names of the project with its version."""
    for folder in dict.fromkeys((plan.manifests, plan.directory, ".")):
        for base in _FILES:
            file = posixpath.normpath(f"{folder}/{base}")
            text = sources.text(file) if sources.has_file(file) else b""
            name, version = _NAME.search(text), _VERSION.search(text)
            if name is not None:
                yield name["name"].decode(), version["version"].decode() if version is not None else "0.0.0"
    for readme in _READMES:
        title = _TITLE.search(sources.text(readme)) if sources.has_file(readme) else None
        if title is not None:
            yield title["name"].decode(), "0.0.0"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
