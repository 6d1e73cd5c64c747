"""Installed packages that use, as they are imported, what this Python no longer has. Reads, runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

__all__ = ["Relic", "find_relics"]

# A module that was written by hand; generated tables need not be read.
_MAX_BYTES: Final = 200 * 1024
_ABSTRACT: Final = (
    rb"(?:Mapping|MutableMapping|Iterable|Iterator|Callable|Sequence|MutableSequence|Set|MutableSet|Container|Hashable"
    rb"|Sized|Generator|Awaitable|Coroutine|KeysView|ItemsView|ValuesView|MappingView)\b"
)
# At the beginning of a line: what is guarded by `try` or `if` is indented.
_GONE: Final = (
    ((3, 10), re.compile(rb"^from collections import (?:\w+, *)*" + _ABSTRACT, re.MULTILINE), "collections.Mapping"),
    ((3, 10), re.compile(rb"^class \w+\([^)\n]*\bcollections\." + _ABSTRACT, re.MULTILINE), "collections.Mapping"),
    ((3, 11), re.compile(rb"^ *@asyncio\.coroutine\b", re.MULTILINE), "asyncio.coroutine"),
    ((3, 11), re.compile(rb"^from asyncio import (?:\w+, *)*coroutine\b", re.MULTILINE), "asyncio.coroutine"),
    (
        (3, 12),
        re.compile(rb"^(?:import|from) (?:imp|asyncore|asynchat|smtpd)\b", re.MULTILINE),
        "a module that is gone",
    ),
    ((3, 12), re.compile(rb"^(?:import|from) distutils\b", re.MULTILINE), "distutils"),
)
_PKG_RESOURCES: Final = re.compile(rb"^(?:import|from) pkg_resources\b", re.MULTILINE)
# Themselves, and those that do so only in modules that servers do not load.
_HARMLESS: Final = frozenset(
    {"setuptools", "pkg_resources", "_distutils_hack", "passlib", "pyparsing", "httpie", "pip", "wheel", "mongomock",
     "_pytest", "pytest", "mypy", "pylint", "black", "IPython", "jedi", "isort", "flake8", "sphinx"}
)  # fmt: skip
_ASIDE: Final = frozenset({"tests", "test", "testing", "_vendor", "vendor", "examples", "docs"})


@dataclass(frozen=True, slots=True)
class Relic:
    """One use.

    Attributes:
        package: The normalised name of the package.
        uses: ``asyncio.coroutine`` and the like, or ``pkg_resources``.
    """

    package: str
    uses: str


def find_relics(environment: Path, python: str) -> list[Relic]:
    """All packages of the environment that use something gone, each once; call it in a thread.

    Args:
        environment: Its folder.
        python: Its version, ``3.11.7``.
    """
    major, minor, *_ = (int(part) for part in python.split(".")[:2])
    patterns = [(pattern, uses) for since, pattern, uses in _GONE if (major, minor) >= since]
    found: dict[Relic, None] = {}
    for folder in sorted(environment.glob("lib/python*/site-packages")):
        for info in sorted(folder.glob("*.dist-info")):
            name = canonicalize_name(info.name.removesuffix(".dist-info").rpartition("-")[0])
            for path in _modules(folder, info):
                try:
                    text = path.read_bytes() if path.stat().st_size <= _MAX_BYTES else b""
                except OSError:
                    continue
                for pattern, uses in patterns:
                    if pattern.search(text):
                        found[Relic(name, uses)] = None
                if _PKG_RESOURCES.search(text):
                    found[Relic(name, "pkg_resources")] = None
    return list(found)


def _modules(folder: Path, info: Path) -> Iterator[Path]:
    """The modules of one package that a server may load."""
    try:
        record = (info / "RECORD").read_text("utf-8", "replace")
    except OSError:
        return
    for line in record.splitlines():
        name = line.partition(",")[0]
        parts = name.split("/")
        if (
            name.endswith(".py")
            and parts[0] not in _HARMLESS
            and not {"tests", "test", "testing", "_vendor"} & set(parts)
        ):
            yield folder / name
