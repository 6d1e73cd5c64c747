"""Paths that the project's code makes from ``__file__`` to find its own modules."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from typing import Final

from preview.endpoints.names import UNKNOWN
from preview.endpoints.python.native import Call, Native

PATHS: Final = frozenset({"pathlib.Path", "pathlib.PurePath", "pathlib.PosixPath", "py.path.local"})


class PathValue(Native):
    """A path inside the project, relative to it.

    Args:
        path: With ``/``; empty for the project's own folder.
    """

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __str__(self) -> str:
        return self._path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PathValue) and other._path == self._path

    def __hash__(self) -> int:
        return hash(self._path)

    @classmethod
    def of(cls, value: object) -> object:
        """The path that a text or a path says; ``UNKNOWN`` for all else."""
        if isinstance(value, PathValue):
            return value
        return cls(value) if isinstance(value, str) else UNKNOWN

    def attribute(self, name: str) -> object:
        """``path.parent``, ``path.stem`` and their like."""
        folder, _, last = self._path.rpartition("/")
        match name:
            case "parent":
                return PathValue(folder)
            case "name":
                return last
            case "stem":
                return last.rpartition(".")[0] or last
            case "suffix":
                return f".{last.rpartition('.')[2]}" if "." in last else ""
            case "parents":
                parts = self._path.split("/")[:-1]
                return [PathValue("/".join(parts[:count])) for count in range(len(parts), -1, -1)]
            case _:
                return UNKNOWN

    def call_method(self, name: str, call: Call) -> object:
        """``path.resolve()``, ``path.glob(…)`` and their like."""
        files = call.interpreter.sources.names
        match name:
            case "resolve" | "absolute":
                return self
            case "joinpath":
                return call_os_path("os.path.join", [self, *call.arguments])
            case "glob" | "rglob":
                return self._found(files, call.text(0, "pattern"), deep=name == "rglob")
            case "iterdir":
                return self._found(files, "*", deep=False)
            case _:
                return UNKNOWN

    def _found(self, files: Sequence[str], pattern: str, *, deep: bool) -> list[object]:
        start = f"{self._path}/" if self._path else ""
        inside = [name for name in files if name.startswith(start)]
        deep = deep or pattern.startswith("**/")
        pattern = pattern.removeprefix("**/")
        return [
            PathValue(name)
            for name in inside
            if (deep and fnmatch.fnmatchcase(name.rpartition("/")[2], pattern))
            or (
                fnmatch.fnmatchcase(name[len(start) :], pattern) and name[len(start) :].count("/") == pattern.count("/")
            )
        ]


def call_os_path(name: str, arguments: Sequence[object]) -> object:
    """``os.path.dirname(…)``, ``os.listdir(…)`` and their like; the values are texts, as in Python."""
    first = str(arguments[0]) if arguments and isinstance(arguments[0], (str, PathValue)) else None
    if first is None:
        return UNKNOWN
    match name:
        case "os.path.dirname":
            return first.rpartition("/")[0]
        case "os.path.basename":
            return first.rpartition("/")[2]
        case "os.path.abspath" | "os.path.realpath" | "os.path.normpath" | "os.fspath":
            return first
        case "os.path.join":
            parts = [str(item) for item in arguments if isinstance(item, (str, PathValue))]
            return "/".join(part for part in parts if part) if len(parts) == len(arguments) else UNKNOWN
        case "os.path.splitext":
            stem, dot, end = first.rpartition(".")
            return [stem, f".{end}"] if dot else [first, ""]
        case _:
            return UNKNOWN
