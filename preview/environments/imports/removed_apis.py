"""Search for APIs that newer Pythons have removed, in installed packages and in projects. Reads files only."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from preview.sources import Sources

# Larger modules are generated tables, which are skipped.
_MAX_BYTES: Final = 200 * 1024
_A_MODULE: Final = "a module that is gone"
_ABSTRACT: Final = (
    rb"(?:Mapping|MutableMapping|Iterable|Iterator|Callable|Sequence|MutableSequence|Set|MutableSet|Container|Hashable"
    rb"|Sized|Generator|Awaitable|Coroutine|KeysView|ItemsView|ValuesView|MappingView)\b"
)


@dataclass(frozen=True, slots=True)
class _Use:
    """One way to use a removed API.

    Attributes:
        since: The first Python without the API.
        word: Bytes in every line that uses the API. Searching for bytes is the fastest way to scan hundreds of modules
            while a launch waits; only lines with this word are matched against ``line``.
        line: Pattern for a use, from the line's beginning: imports guarded by ``try`` or ``if`` are indented.
        uses: Value for ``RemovedApiUse.uses``.
    """

    since: tuple[int, int]
    word: bytes
    line: re.Pattern[bytes]
    uses: str

    @property
    def gone(self) -> str:
        """``uses``, or the module's name if ``uses`` does not name one."""
        return self.uses if self.uses != _A_MODULE else self.word.decode().split()[-1]

    def is_in(self, text: bytes) -> bool:
        at = text.find(self.word)
        while at >= 0:
            if self.line.match(text, text.rfind(b"\n", 0, at) + 1):
                return True
            end = text.find(b"\n", at)
            at = text.find(self.word, end) if end >= 0 else -1
        return False


_ABC_NAMES: Final = rb"from collections import (?:\w+, *)*" + _ABSTRACT
_ABC_BASES: Final = rb"class \w+\([^)\n]*\bcollections\." + _ABSTRACT
_USES: Final = (
    _Use((3, 10), b"from collections import ", re.compile(_ABC_NAMES), "collections.Mapping"),
    _Use((3, 10), b"collections.", re.compile(_ABC_BASES), "collections.Mapping"),
    _Use((3, 11), b"@asyncio.coroutine", re.compile(rb" *@asyncio\.coroutine\b"), "asyncio.coroutine"),
    _Use(
        (3, 11),
        b"from asyncio import ",
        re.compile(rb"from asyncio import (?:\w+, *)*coroutine\b"),
        "asyncio.coroutine",
    ),
    *(
        _Use((3, 12), word, re.compile(rb"(?:import|from) (?:imp|asyncore|asynchat|smtpd)\b"), _A_MODULE)
        for word in (
            b"import imp",
            b"from imp",
            b"import asyncore",
            b"from asyncore",
            b"import asynchat",
            b"from asynchat",
            b"smtpd",
        )
    ),
    _Use((3, 12), b"distutils", re.compile(rb"(?:import|from) distutils\b"), "distutils"),
    _Use((3, 0), b"pkg_resources", re.compile(rb"(?:import|from) pkg_resources\b"), "pkg_resources"),
)
# Packages that provide these APIs, and packages that use them only in modules that servers do not load.
_HARMLESS: Final = frozenset(
    {"setuptools", "pkg_resources", "_distutils_hack", "passlib", "pyparsing", "httpie", "pip", "wheel", "mongomock",
     "_pytest", "pytest", "mypy", "pylint", "black", "IPython", "jedi", "isort", "flake8", "sphinx"}
)  # fmt: skip
_NEVER_LOADED: Final = frozenset({"tests", "test", "testing", "_vendor"})


@dataclass(frozen=True, slots=True)
class RemovedApiUse:
    """A package's use of a removed API.

    Attributes:
        package: The package's normalised name.
        uses: For example ``asyncio.coroutine`` or ``pkg_resources``.
    """

    package: str
    uses: str


def find_relics(environment: Path, python: str) -> list[RemovedApiUse]:
    """Return the environment's packages that use removed APIs, each use once. Call it in a thread."""
    major, minor, *_ = (int(part) for part in python.split(".")[:2])
    found: dict[RemovedApiUse, None] = {}
    for folder in sorted(environment.glob("lib/python*/site-packages")):
        for info in sorted(folder.glob("*.dist-info")):
            package = _installed(folder, info)
            for uses in _uses_of(package, (major, minor)):
                found[RemovedApiUse(package.name, uses)] = None
    return list(found)


# Further APIs, which applications use mostly as attributes: matched on any line outside comments.
_ATTRIBUTES: Final = (
    b"ssl.wrap_socket", b"ssl.match_hostname", b"SafeConfigParser", b".readfp(", b"locale.format(",
    b"pkgutil.ImpImporter", b"importlib.find_loader", b'import_module("imp")', b"import_module('imp')",
    b"entry_points().get(",
)  # fmt: skip
_OF_APPLICATIONS: Final = tuple(
    _Use((3, 12), word, re.compile(rb"[^#\n]*" + re.escape(word)), word.decode().strip(".(")) for word in _ATTRIBUTES
)


@dataclass(frozen=True, slots=True)
class OldUse:
    """A project's use of an API that Pythons newer than the service's own lack.

    Attributes:
        uses: For example ``distutils``.
        since: The first Python without the API.
    """

    file: str
    uses: str
    since: tuple[int, int]


def find_old_uses(sources: Sources) -> Iterator[OldUse]:
    """Yield uses in all files of the project, imported or not: projects may load whole folders by name."""
    later = [use for use in (*_USES, *_OF_APPLICATIONS) if use.since > sys.version_info[:2]]
    for name in sources.names if later else ():
        text = sources.text(name)
        yield from (OldUse(name, use.gone, use.since) for use in later if use.is_in(text))


@dataclass(frozen=True, slots=True)
class _Installed:
    """An installed package; equal to the same package linked from the same cache into another environment.

    Attributes:
        name: Normalised name.
        record: Hash of the package's ``RECORD``.
        identity: Device, inode, time and size of the first module.
        modules: Paths of the modules that a server may load.
    """

    name: str
    record: bytes
    identity: tuple[int, ...]
    modules: tuple[str, ...] = field(compare=False)


def _installed(folder: Path, info: Path) -> _Installed:
    name = canonicalize_name(info.name.removesuffix(".dist-info").rpartition("-")[0])
    try:
        record = (info / "RECORD").read_bytes()
    except OSError:
        record = b""
    modules = tuple(_modules(folder, record.decode("utf-8", "replace")))
    try:
        first = os.stat(modules[0] if modules else folder)  # noqa: PTH116  as the others
    except OSError:
        first = os.stat(folder)  # noqa: PTH116
    identity = (first.st_dev, first.st_ino, first.st_mtime_ns, first.st_size)
    return _Installed(name, hashlib.sha256(record).digest(), identity, modules)


@lru_cache(maxsize=512)
def _uses_of(package: _Installed, python: tuple[int, int]) -> tuple[str, ...]:
    """Return one package's uses; cached for all environments that link the package."""
    gone = [use for use in _USES if python >= use.since]
    found: dict[str, None] = {}
    for path in package.modules:
        text = _read(path)
        found |= {use.uses: None for use in gone if use.is_in(text)}
    return tuple(found)


def _read(path: str) -> bytes:
    """Read the file if it is small enough. Thousands of files are read: ``os.read`` is faster than ``open``."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        text = os.read(descriptor, _MAX_BYTES + 1)
    except OSError:  # a folder
        return b""
    finally:
        os.close(descriptor)
    return text if len(text) <= _MAX_BYTES else b""


def _modules(folder: Path, record: str) -> Iterator[str]:
    """Yield the paths of a package's modules that a server may load."""
    for line in record.splitlines():
        name = line.partition(",")[0]
        if name.endswith(".py"):
            parts = name.split("/")
            if parts[0] not in _HARMLESS and _NEVER_LOADED.isdisjoint(parts):
                yield f"{folder}/{name}"
