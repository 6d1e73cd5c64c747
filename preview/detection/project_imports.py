"""Find imports and top-level modules of a project's files, without running them."""

from __future__ import annotations

import ast
import os
import posixpath
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from preview.core.descriptors import raise_want, walk
from preview.detection.plan import StartPlan
from preview.sources import Sources
from preview.sources.node_files import read_plain

_MOST_FILES: Final = 500
_MOST_BYTES: Final = 256 * 1024
_MOST_NAMES: Final = 300
_ASIDE: Final = frozenset({"tests", "test", "node_modules", "migrations", "__pycache__", "venv", "env"})
# ``import a.b, c as d`` and ``from a.b import c, (d)`` at the start of a line, indented or not. Matching lines is
# enough, because a missed module is only imported later.
_IMPORT: Final = re.compile(rb"^[ \t]*import[ \t]+([\w., \t]+)", re.MULTILINE)
_FROM: Final = re.compile(rb"^[ \t]*from[ \t]+([\w.]+)[ \t]+import[ \t]*(\([^)]{0,4000}\)|[^\n#]+)", re.MULTILINE)
_NAME: Final = re.compile(rb"(?:^|,)\s*(\w+)")
# `"config.DevelopmentConfig"`, `"app.settings:Settings"`; any class, in a file that configures Flask; and a module.
_DOTTED: Final = rb"[\"']([A-Za-z_]\w{0,80}(?:\.[A-Za-z_]\w{0,80}){0,8})"
_CONFIG_CLASS: Final = re.compile(_DOTTED + rb"[.:]\w{0,80}(?:Config|Settings)\w{0,80}[\"']")
_ANY_CLASS: Final = re.compile(_DOTTED + rb"[.:][A-Z]\w{0,80}[\"']")
_MODULE_OF_CONFIG: Final = re.compile(
    # Also `f"config.{name}"`.
    rb"\bfrom_object\(\s{0,40}f?" + _DOTTED + rb"(?:\.\{[^{}\"'\n]{1,80}\})?[\"']"
)


def find_imports(plan: StartPlan, project: Path) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the project's own top-level modules, and the other modules its files import: ``a.b``, ``a.b:c``.

    Folders without ``__init__.py`` (``locale``, ``docs``) are not own modules: an installed package of the same name
    takes precedence. Reads a bounded number of files, follows no links and runs nothing.

    Raises:
        OSError: No file descriptor is available.
    """
    folders = {project / plan.directory, *(project / one for one in plan.python_path)}
    if plan.target is not None:
        folders.add(project / plan.target.app_dir)
    found_in = [one for folder in folders for one in _modules_in(folder)]
    names, own = {name for name, _ in found_in}, frozenset(name for name, is_package in found_in if is_package)
    found: dict[str, None] = {}
    for file in _files(project):
        for name in _imports(file):
            if name.split(".", 1)[0].partition(":")[0] not in names:
                found[name] = None
        if len(found) >= _MOST_NAMES:
            break
    return own, tuple(found)[:_MOST_NAMES]


def _modules_in(folder: Path) -> Iterator[tuple[str, bool]]:
    """Yield importable names; the flag is false for a folder without ``__init__.py`` (a namespace package)."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise_want(error)
        return
    for entry in entries:
        name = entry.name.removesuffix(".py")
        if not name.isidentifier():
            continue
        if entry.name.endswith(".py"):
            yield name, True
        elif entry.is_dir():
            yield name, os.path.exists(os.path.join(entry.path, "__init__.py"))  # noqa: PTH110, PTH118  hundreds


def _files(project: Path) -> Iterator[str]:
    count = 0
    for folder, names, files in walk(project):
        names[:] = sorted(name for name in names if name not in _ASIDE and not name.startswith("."))
        for name in sorted(files):
            path = os.path.join(folder, name)  # noqa: PTH118  hundreds of files
            if name.endswith(".py") and not os.path.islink(path):  # noqa: PTH114
                yield path
                count += 1
                if count >= _MOST_FILES:
                    return


def _imports(path: str) -> Iterator[str]:
    try:
        text = read_plain(path, _MOST_BYTES)
    except OSError as error:
        raise_want(error)
        return
    for match in _IMPORT.finditer(text):
        for part in match[1].split(b","):
            words = part.split()
            if words and not words[0].startswith(b"."):
                yield words[0].decode()
    for match in _FROM.finditer(text):
        module = match[1].decode()
        if module.startswith(".") or module in sys.stdlib_module_names:
            if not module.startswith("."):
                yield module
            continue
        yield module
        for name in _NAME.findall(match[2].strip(b"()")):
            # Capitalized names are classes, not modules.
            if not name[:1].isupper():
                yield f"{module}:{name.decode()}"


class Nodes:
    """Syntax nodes of each Python file."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self._imports: dict[str, Sequence[ast.Import | ast.ImportFrom]] = {}

    def all(self, file: str) -> Sequence[ast.AST]:
        """Return all nodes of a file, unordered; empty if the file cannot be parsed."""
        return self.sources.nodes(file)

    def imports(self, file: str) -> Sequence[ast.Import | ast.ImportFrom]:
        """Return the file's imports, ordered by line."""
        if file not in self._imports:
            found = [node for node in self.all(file) if isinstance(node, ast.Import | ast.ImportFrom)]
            self._imports[file] = sorted(found, key=lambda node: node.lineno)
        return self._imports[file]


_MAX_FILES: Final = 1_500
_SIDE_FOLDERS: Final = frozenset(
    {"tests", "test", "testing", "examples", "example", "docs", "doc", "scripts", "benchmarks", "migrations", "alembic",
     "samples", "e2e", "fixtures", "frontend", "client"}
)  # fmt: skip


def is_aside(file: str) -> bool:
    """Return true for files of tests, migrations or documentation, which are not part of the application."""
    *folders, name = file.split("/")
    return bool(_SIDE_FOLDERS.intersection(folders)) or name.startswith(("test_", "conftest")) or name == "setup.py"


def reachable(nodes: Nodes, entry: str, roots: Sequence[str]) -> list[str]:
    """Return the entry file and the project's files that it imports, directly or indirectly, the entry first."""
    found: dict[str, None] = {}
    imported: set[tuple[str, str]] = set()
    todo = [entry]
    while todo and len(found) < _MAX_FILES:
        file = todo.pop()
        if file in found:
            continue
        found[file] = None
        for folder, module in dict.fromkeys(_imported_files(nodes, file, roots)):
            if (folder, module) not in imported:
                imported.add((folder, module))
                todo += _reachable_files(nodes.sources, folder, module)
    return list(found)


def _imported_files(nodes: Nodes, file: str, roots: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield folder and dotted name of all imports; a name imported from a package may be a module."""
    for node in nodes.imports(file):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from ((root, alias.name) for root in roots)
        else:
            names = [node.module or ""]
            names += [f"{node.module}.{alias.name}" if node.module else alias.name for alias in node.names]
            if node.level:
                folder = posixpath.dirname(file) or "."
                for _ in range(node.level - 1):
                    folder = posixpath.dirname(folder) or "."
                yield from ((folder, name) for name in names)
            else:
                yield from ((root, name) for root in roots for name in names)
    # Flask imports the module of a class that a text names: `create_app("config.Development")`
    text = nodes.sources.text(file)
    named = _CONFIG_CLASS.findall(text) if b"onfig" in text or b"ettings" in text else []
    if b"from_object" in text:
        named += _ANY_CLASS.findall(text)
        named += _MODULE_OF_CONFIG.findall(text)
    for module in dict.fromkeys(named[:_MOST_NAMES]):
        yield from ((root, module.decode()) for root in roots)
    # Flask reads files of its instance folder: `app.config.from_pyfile("config.py")`
    for name in nodes.sources.names if b"from_pyfile" in text else ():
        folder, _, last = name.rpartition("/")
        if posixpath.basename(folder) == "instance":
            yield folder, last.removesuffix(".py")


def _reachable_files(sources: Sources, folder: str, module: str) -> Iterator[str]:
    """Yield the file of a module and the ``__init__.py`` files of its parent packages."""
    path = posixpath.normpath(folder)
    if path != ".":
        yield from filter(sources.has_file, (f"{path}/__init__.py", f"{path}.py"))
    for part in filter(None, module.split(".")):
        path = part if path == "." else f"{path}/{part}"
        yield from filter(sources.has_file, (f"{path}/__init__.py", f"{path}.py"))
        if not sources.has_folder(path):
            # Most imports are of installed packages, which have no folder here.
            return
