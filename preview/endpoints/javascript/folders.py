"""Node's functions for paths and folders, applied to the project's own files."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Callable
from typing import Final

from preview.endpoints.javascript.modules import ROOT
from preview.endpoints.javascript.natives import Call, Thunk
from preview.endpoints.javascript.values import Function, JSObject
from preview.endpoints.names import UNKNOWN

Reader = Callable[[Call], object]
_MAX_FILES: Final = 500


# Paths: all paths of the project begin with ROOT


def _texts(call: Call) -> list[str] | None:
    found = [item for item in call.arguments if isinstance(item, str)]
    return found if len(found) == len(call.arguments) else None


def _path_join(call: Call) -> object:
    parts = _texts(call)
    return posixpath.normpath("/".join(filter(None, parts)) or ".") if parts is not None else UNKNOWN


def _path_resolve(call: Call) -> object:
    parts = _texts(call)
    return posixpath.normpath(posixpath.join(_working(call), *parts)) if parts is not None else UNKNOWN


def _on_path(change: Callable[[str], str]) -> Reader:
    def read(call: Call) -> object:
        value = call.argument(0)
        return change(value) if isinstance(value, str) else UNKNOWN

    return read


def _basename(call: Call) -> object:
    value, suffix = call.argument(0), call.argument(1)
    if not isinstance(value, str):
        return UNKNOWN
    name = value.rstrip("/").rpartition("/")[2]
    return name.removesuffix(suffix) if isinstance(suffix, str) else name


def _parse(call: Call) -> object:
    value = call.argument(0)
    if not isinstance(value, str):
        return UNKNOWN
    folder, _, base = value.rpartition("/")
    name, extension = posixpath.splitext(base)
    return JSObject({"dir": folder, "base": base, "name": name, "ext": extension})


def _relative(call: Call) -> object:
    parts = _texts(call)
    if parts is None or len(parts) != 2 or parts[0].startswith("/") != parts[1].startswith("/"):
        return UNKNOWN
    return posixpath.relpath(parts[1], parts[0])


def _working(call: Call) -> str:
    """Return the folder in which the program is started."""
    return posixpath.normpath(posixpath.join(ROOT, call.evaluator.resolver.folder))


# Folders of the project


def project_path(call: Call, value: object) -> str | None:
    """Return a path relative to the project; None for a path outside."""
    if not isinstance(value, str):
        return None
    path = posixpath.normpath(posixpath.join(_working(call), value.removeprefix("file://")))
    if path == ROOT:
        return ""
    return path.removeprefix(f"{ROOT}/") if path.startswith(f"{ROOT}/") else None


def _files_below(call: Call, folder: str) -> list[str]:
    prefix = f"{folder}/" if folder else ""
    return [name[len(prefix) :] for name in call.evaluator.sources.all_names if name.startswith(prefix)]


def _read_folder(call: Call) -> object:
    folder = project_path(call, call.argument(0))
    if folder is None:
        return UNKNOWN
    options = call.argument(1)
    flags = options.names if isinstance(options, JSObject) else {}
    kinds: dict[str, bool] = {}
    for name in _files_below(call, folder):
        first, slash, _ = (name, "", "") if flags.get("recursive") is True else name.partition("/")
        kinds[first] = bool(slash)
    names = sorted(kinds)[:_MAX_FILES]
    if flags.get("withFileTypes") is True:
        return [_entry(name, is_folder=kinds[name]) for name in names]
    return list(names)


def _entry(name: str, *, is_folder: bool) -> JSObject:
    return JSObject({"name": name, "isDirectory": Thunk(is_folder), "isFile": Thunk(not is_folder)})


def _read_folder_later(call: Call) -> object:
    found = _read_folder(call)
    callback = next((item for item in call.arguments[1:] if isinstance(item, Function)), None)
    if callback is not None:
        call.evaluator.call(callback, [None, found])
    return found


def _exists(call: Call) -> object:
    path = project_path(call, call.argument(0))
    if path is None:
        return UNKNOWN
    return call.evaluator.sources.has_file(path) or bool(_files_below(call, path))


def _stat(call: Call) -> object:
    path = project_path(call, call.argument(0))
    if path is None:
        return UNKNOWN
    return _entry(path, is_folder=not call.evaluator.sources.has_file(path))


def glob_files(call: Call) -> object:
    """Evaluate ``glob.sync('./routes/**/*.js')``, also with ``{js,ts}``."""
    given, options = call.argument(0), call.argument(1)
    base = options.names.get("cwd") if isinstance(options, JSObject) else None
    found: list[object] = []
    for pattern in given if isinstance(given, list) else [given]:
        whole = posixpath.join(base, pattern) if isinstance(base, str) and isinstance(pattern, str) else pattern
        path = project_path(call, whole)
        if path is None:
            continue
        matcher = _glob_pattern(path)
        found += [f"{ROOT}/{name}" for name in call.evaluator.sources.all_names if matcher.fullmatch(name)]
    if isinstance(base, str):
        start = posixpath.normpath(posixpath.join(_working(call), base))
        found = [posixpath.relpath(name, start) for name in found if isinstance(name, str)]
    return found[:_MAX_FILES]


def _glob_pattern(pattern: str) -> re.Pattern[str]:
    """Convert a glob of Node to a regular expression: ``*`` matches no ``/``, and braces are alternatives."""
    parts = []
    for piece in re.split(r"(\*\*/|\*\*|\*|\?|\{[^{}]*\}|[+@]\([^()]*\))", pattern[:500]):
        if piece in {"**/", "**"}:
            parts.append("(?:[^/]+/)*" if piece == "**/" else ".*")
        elif piece in {"*", "?"}:
            parts.append("[^/]*" if piece == "*" else "[^/]")
        elif piece[:1] in {"{", "+", "@"} and len(piece) > 1:
            choices = re.split(r"[,|]", piece.strip("+@{}()"))
            parts.append(
                "(?:"
                + "|".join(fnmatch.translate(choice).removesuffix(r"\Z").removesuffix(r"\z") for choice in choices)
                + ")"
            )
        else:
            parts.append(re.escape(piece))
    return re.compile("".join(parts))


def _to_url(value: object) -> object:
    return JSObject({"href": value, "pathname": value, "toString": Thunk(value)}) if isinstance(value, str) else UNKNOWN


def _url(call: Call) -> object:
    """Evaluate ``new URL('./routes', import.meta.url)``."""
    path, base = call.argument(0), call.argument(1)
    if not isinstance(path, str) or not isinstance(base, str) or not base.startswith("file://"):
        return UNKNOWN
    return _to_url(posixpath.normpath(posixpath.join(posixpath.dirname(base.removeprefix("file://")), path)))


def _from_url(call: Call) -> object:
    value = call.argument(0)
    if isinstance(value, JSObject):
        value = call.evaluator.member(value, "pathname")
    return value.removeprefix("file://") if isinstance(value, str) else UNKNOWN


PATHS: Final[dict[str, Reader]] = {
    "path.join": _path_join,
    "path.posix.join": _path_join,
    "path.resolve": _path_resolve,
    "path.normalize": _on_path(posixpath.normpath),
    "path.dirname": _on_path(posixpath.dirname),
    "path.extname": _on_path(lambda path: posixpath.splitext(path)[1]),
    "path.basename": _basename,
    "path.parse": _parse,
    "path.relative": _relative,
    "fs.readdirSync": _read_folder,
    "fs.promises.readdir": _read_folder,
    "fs/promises.readdir": _read_folder,
    "fs.readdir": _read_folder_later,
    "fs.existsSync": _exists,
    "fs.statSync": _stat,
    "fs.lstatSync": _stat,
    "fs/promises.stat": _stat,
    **dict.fromkeys(("glob", "glob.sync", "glob.globSync", "glob.glob"), glob_files),
    **dict.fromkeys(("fast-glob", "fast-glob.sync", "fast-glob.globSync"), glob_files),
    **dict.fromkeys(("globby", "globby.sync", "globby.globbySync", "globby.globby"), glob_files),
    "process.cwd": _working,
    "url.fileURLToPath": _from_url,
    "url.pathToFileURL": lambda call: _to_url(call.argument(0)),
    "URL": _url,
}
