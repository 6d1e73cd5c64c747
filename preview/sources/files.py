"""Read access to a project's files: find, read and parse them within limits, without running any."""

from __future__ import annotations

import ast
import codecs
import contextlib
import gc
import os
import re
import stat
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

from preview.core.descriptors import raise_want, walk
from preview.sources.newer_syntax import newer_python
from preview.sources.repair import below, parse_what_can_be

# A generation may have 20,000 files. A source file over 1 MiB is generated and has no routes.
_MAX_FILES = 20_000
# No real project is nested this deep. The limit bounds the recursion of the walk.
_MAX_FOLDERS_DEEP = 64
_MAX_FILE_BYTES = 1024 * 1024
# Reading more than this would take longer than a response may take.
_MAX_TOTAL_BYTES = 32 * 1024 * 1024
_TYPESCRIPT = (".ts", ".tsx", ".mts", ".cts")
_SKIPPED_FOLDERS = frozenset(
    {"__pycache__", "node_modules", "site-packages", "venv", "env", "virtualenv", "build", "dist", "htmlcov"}
)
# Hidden folders that say how a project runs: `.envs/.local/.django` has its variables.
_SHOWN_FOLDERS = frozenset({".devcontainer", ".envs"})
# ``src/env/`` may be a module of the project. A virtual environment is recognized by its own files.
_PERHAPS_ENVIRONMENTS = frozenset({"env"})
# A virtual environment: its mark, an interpreter or a folder of packages, and nothing that no tool puts there.
_ENVIRONMENT_MARK = "pyvenv.cfg"
_INTERPRETER = re.compile(r"(?:python|pypy)[w\d.]*(?:\.exe)?")
_ENVIRONMENT_FOLDERS = frozenset({"bin", "lib", "lib64", "Scripts", "Lib"})
_ENVIRONMENT_REST = frozenset({"include", "Include", "share", "etc", "man", "tcl", "pip-selfcheck.json"})


def is_environment(names: Collection[str], below: Callable[[str], Collection[str]]) -> bool:
    """Return whether a folder with these files and folders is a virtual environment of Python (PEP 405), by any name.

    One that a project's own code is in, too, is none: leaving it out would leave out the code. A folder of code with
    the mark and a ``lib`` is none either.

    Args:
        names: The folder's files and folders.
        below: Returns the names in a folder below it (``lib/python3.12``); nothing if there is none.
    """
    if _ENVIRONMENT_MARK not in names or _ENVIRONMENT_FOLDERS.isdisjoint(names):
        return False
    known = {_ENVIRONMENT_MARK, *_ENVIRONMENT_FOLDERS, *_ENVIRONMENT_REST}
    if not all(name in known or name.startswith(".") or name == "CACHEDIR.TAG" for name in names):
        return False
    if any(_INTERPRETER.fullmatch(name) for folder in ("bin", "Scripts") for name in below(folder)):
        return True
    return any(_has_packages(folder, below) for folder in ("lib", "lib64", "Lib"))


def _has_packages(folder: str, below: Callable[[str], Collection[str]]) -> bool:
    names = below(folder)
    versions = (name for name in names if _INTERPRETER.fullmatch(name))
    return "site-packages" in names or any("site-packages" in below(f"{folder}/{name}") for name in versions)


def is_environment_at(folder: str | Path, names: Collection[str]) -> bool:
    """Return whether this folder, with these files and folders, is a virtual environment. Blocks.

    Raises:
        OSError: No descriptor is available.
    """

    def below(inner: str) -> Collection[str]:
        if inner.partition("/")[0] not in names:
            return ()
        try:
            # A link may lead out of the project.
            fd = os.open(os.path.join(folder, inner), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)  # noqa: PTH118  a text
        except OSError as error:
            raise_want(error)
            return ()
        try:
            return os.listdir(fd)  # noqa: PTH208  a descriptor, not a path
        finally:
            os.close(fd)

    return is_environment(names, below)


class _Skipped(Exception):
    pass


def _tell_nobody(_name: str) -> None:
    pass


tell_progress: Callable[[str], None] = _tell_nobody
"""Called with each file whose text is read. A worker process replaces it, to report which file was too complex."""


class Sources:
    """The files of one project; each file is read, parsed and walked at most once.

    Args:
        root: The project's folder. Links that leave the folder are not followed.

    Attributes:
        all_names: All files, as paths relative to the project with ``/``; files in upper folders first.
        names: All Python files, in the same form and order.
        skipped: Files that could not be read or parsed, with the reason.
        newer: Those of them that are written for a newer Python than this one, with its version.
        laid: Files that are not there yet and that a step writes, with the reason.
        utf_16: TypeScript files in UTF-16 that were read; their text is given in UTF-8.
        environments: Folders that are left out because they are virtual environments; never the root.

    Raises:
        OSError: No file descriptor is free. ``text`` and ``tree`` raise this error too.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.skipped: dict[str, str] = {}
        self.newer: dict[str, str] = {}
        self.environments: list[str] = []
        self.utf_16: list[str] = []
        self.laid: dict[str, str] = {}
        self._laid: dict[str, bytes] = {}
        self._texts: dict[str, bytes] = {}
        self._trees: dict[str, ast.Module | None] = {}
        self._nodes: dict[str, Sequence[ast.AST]] = {}
        self._total = 0
        self._index(self._walk())

    def lay(self, name: str, text: bytes, why: str) -> None:
        """Add a file that is not there yet: it is read like any other."""
        if name not in self._known:
            self.laid[name] = why
            self._laid[name] = text
            self._index([*self.all_names, name])

    def _index(self, names: Iterable[str]) -> None:
        self.all_names = sorted(names, key=lambda name: (name.count("/"), name))
        self.names = self.with_suffix(".py")
        self._known = frozenset(self.all_names)
        self._folders = frozenset(parent for name in self.names for parent in _parents(name))

    def with_suffix(self, *suffixes: str) -> list[str]:
        """Return all files whose name ends with one of the suffixes, in the order of ``all_names``."""
        return [name for name in self.all_names if name.endswith(suffixes)]

    def has_file(self, name: str) -> bool:
        """Return whether the project has this file."""
        return name in self._known

    def has_folder(self, name: str) -> bool:
        """Return whether the project has this folder with Python files in it, at any depth."""
        return name in self._folders

    def text(self, name: str) -> bytes:
        """Return the file's bytes; empty if it cannot be read."""
        tell_progress(name)
        if name not in self._texts:
            try:
                self._texts[name] = self._in_utf_8(name, self._read(name))
            except _Skipped as reason:
                self.skipped[name] = str(reason)
                self._texts[name] = b""
        return self._texts[name]

    def tree(self, name: str) -> ast.Module | None:
        """Return the parsed file, or None if it cannot be parsed; ``skipped`` then has the reason."""
        if name not in self._trees:
            try:
                self._trees[name] = self._parse(name)
            except _Skipped as reason:
                self.skipped[name] = str(reason)
                self._trees[name] = None
        return self._trees[name]

    def nodes(self, name: str) -> Sequence[ast.AST]:
        """Return all nodes of the parsed file, as ``below`` does; empty if the file cannot be parsed."""
        if name not in self._nodes:
            tree = self.tree(name)
            self._nodes[name] = below(tree) if tree is not None else ()
        return self._nodes[name]

    def forget(self) -> None:
        """Release the contents that were read; the next call reads them again."""
        self._texts.clear()
        self._trees.clear()
        self._nodes.clear()
        self._total = 0

    def _walk(self) -> Iterator[str]:
        count = 0
        for folder, folders, files in walk(self.root):
            prefix = Path(folder).relative_to(self.root).as_posix()
            if prefix != "." and is_environment_at(folder, {*folders, *files}):
                self.environments.append(prefix)
                folders.clear()
                continue
            folders[:] = sorted(name for name in folders if not _is_skipped(Path(folder), name))
            if prefix.count("/") >= _MAX_FOLDERS_DEEP and folders:
                self.skipped[prefix] = f"deeper than {_MAX_FOLDERS_DEEP} folders: files below that were not read"
                folders.clear()
            for file in sorted(files):
                count += 1
                if count > _MAX_FILES:
                    self.skipped["."] = f"more than {_MAX_FILES} files: the rest was not read"
                    return
                yield file if prefix == "." else f"{prefix}/{file}"

    def _read(self, name: str) -> bytes:
        # Names also come from the project's own files, for example `"main": "../../etc/passwd"`.
        if name not in self._known:
            raise _Skipped("not a file of the project")
        if name in self._laid:
            return self._laid[name]
        try:
            # Neither follow a link nor wait for a pipe that the project may have put at this path.
            fd = os.open(self.root / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(fd, "rb") as file:  # noqa: PTH123  a descriptor, not a path
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise _Skipped("not a plain file")
                # A program of the project may have replaced a folder by a link after the folder was listed.
                if os.readlink(f"/proc/self/fd/{fd}") != f"{self.root}/{name}":  # noqa: PTH115  text, not a path
                    raise _Skipped("not in the project's folder any more")
                data = file.read(_MAX_FILE_BYTES + 1)
        except OSError as error:
            raise_want(error)
            raise _Skipped(error.strerror or "cannot be read") from error
        if len(data) > _MAX_FILE_BYTES:
            raise _Skipped(f"larger than {_MAX_FILE_BYTES // 1024} KiB")
        self._total += len(data)
        if self._total > _MAX_TOTAL_BYTES:
            raise _Skipped(f"more than {_MAX_TOTAL_BYTES // 2**20} MiB of source in all")
        return data

    def _in_utf_8(self, name: str, data: bytes) -> bytes:
        """Return the text of TypeScript in UTF-8: its compiler reads UTF-16, too, and neither Python nor Node do."""
        if not name.endswith(_TYPESCRIPT) or not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return data
        self.utf_16.append(name)
        return data.decode("utf-16", "replace").encode()

    def _parse(self, name: str) -> ast.Module | None:
        text = self.text(name)
        if name in self.skipped:
            return None
        try:
            # Warnings about the project's text (invalid escapes) do not concern this service.
            with warnings.catch_warnings(), without_collector():
                warnings.simplefilter("ignore")
                return self._parse_leniently(name, text)
        except SyntaxError as error:
            raise _Skipped(f"line {error.lineno}: {error.msg}") from error
        except (ValueError, LookupError, RecursionError, MemoryError) as error:
            # NUL bytes, huge numbers, unknown encodings, or nesting too deep for the parser.
            raise _Skipped(f"cannot be parsed ({type(error).__name__})") from error

    def _parse_leniently(self, name: str, text: bytes) -> ast.Module:
        try:
            return ast.parse(text)
        except SyntaxError as error:
            tree = parse_what_can_be(text)
            said = f"line {error.lineno}: {error.msg}"
            if newer := newer_python(error.msg, error.text or ""):
                self.newer[name] = newer
                said = f"line {error.lineno} is Python {newer}"
            self.skipped[name] = f"{said}; the rest of the file was read"
            return tree


def _is_skipped(folder: Path, name: str) -> bool:
    if name in _PERHAPS_ENVIRONMENTS:
        return (folder / name / "pyvenv.cfg").exists() or (folder / name / "bin").exists()
    is_shown = name in _SHOWN_FOLDERS or folder.name in _SHOWN_FOLDERS
    return name in _SKIPPED_FOLDERS or (name.startswith(".") and not is_shown)


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Disable the garbage collector while a tree is built; parsing then takes two thirds of the time.

    The call that disabled the collector enables it again. Other threads run without it for some milliseconds.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _parents(name: str) -> Iterator[str]:
    parts = name.split("/")[:-1]
    for count in range(1, len(parts) + 1):
        yield "/".join(parts[:count])
