"""Functions of Node and of the language that loaders of routes use: paths, folders, objects, promises."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from preview.endpoints.javascript.modules import ROOT
from preview.endpoints.javascript.native import Call
from preview.endpoints.javascript.natives import JSMap, Thunk
from preview.endpoints.javascript.operators import as_text
from preview.endpoints.javascript.values import UNKNOWN, Function, Getter, JSObject

if TYPE_CHECKING:
    from preview.endpoints.javascript.interpreter import Interpreter

__all__ = ["call_builtin", "has_builtin"]

Reader = Callable[["Interpreter", Call], object]
_MAX_FILES: Final = 500


def has_builtin(name: str) -> bool:
    """Whether a function from outside is one of these."""
    return name.removeprefix("node:") in _BUILT_IN


def call_builtin(interpreter: Interpreter, name: str, call: Call) -> object:
    """What it gives."""
    return _BUILT_IN[name.removeprefix("node:")](interpreter, call)


# Paths; all of the project's begin with ROOT.


def _texts(call: Call) -> list[str] | None:
    found = [item for item in call.arguments if isinstance(item, str)]
    return found if len(found) == len(call.arguments) else None


def _path_join(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    parts = _texts(call)
    return posixpath.normpath("/".join(filter(None, parts)) or ".") if parts is not None else UNKNOWN


def _path_resolve(interpreter: Interpreter, call: Call) -> object:
    parts = _texts(call)
    return posixpath.normpath(posixpath.join(_working(interpreter), *parts)) if parts is not None else UNKNOWN


def _on_path(change: Callable[[str], str]) -> Reader:
    def read(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
        value = call.argument(0)
        return change(value) if isinstance(value, str) else UNKNOWN

    return read


def _basename(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    value, suffix = call.argument(0), call.argument(1)
    if not isinstance(value, str):
        return UNKNOWN
    name = value.rstrip("/").rpartition("/")[2]
    return name.removesuffix(suffix) if isinstance(suffix, str) else name


def _extension(path: str) -> str:
    return posixpath.splitext(path)[1]


def _parse(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    value = call.argument(0)
    if not isinstance(value, str):
        return UNKNOWN
    folder, _, base = value.rpartition("/")
    name, extension = posixpath.splitext(base)
    return JSObject({"dir": folder, "base": base, "name": name, "ext": extension})


def _relative(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    parts = _texts(call)
    if parts is None or len(parts) != 2 or parts[0].startswith("/") != parts[1].startswith("/"):
        return UNKNOWN
    return posixpath.relpath(parts[1], parts[0])


def _working(interpreter: Interpreter) -> str:
    return posixpath.normpath(posixpath.join(ROOT, interpreter.resolver.folder))


# Folders, as the project has them.


def _inside(interpreter: Interpreter, value: object) -> str | None:
    """A path relative to the project; None for one outside."""
    if not isinstance(value, str):
        return None
    path = posixpath.normpath(posixpath.join(_working(interpreter), value.removeprefix("file://")))
    if path == ROOT:
        return ""
    return path.removeprefix(f"{ROOT}/") if path.startswith(f"{ROOT}/") else None


def _files_below(interpreter: Interpreter, folder: str) -> list[str]:
    prefix = f"{folder}/" if folder else ""
    return [name[len(prefix) :] for name in interpreter.sources.all_names if name.startswith(prefix)]


def _read_folder(interpreter: Interpreter, call: Call) -> object:
    folder = _inside(interpreter, call.argument(0))
    if folder is None:
        return UNKNOWN
    options = call.argument(1)
    flags = options.names if isinstance(options, JSObject) else {}
    below = _files_below(interpreter, folder)
    kinds: dict[str, bool] = {}
    for name in below:
        if flags.get("recursive") is True:
            kinds[name] = False
        else:
            first, slash, _ = name.partition("/")
            kinds[first] = bool(slash)
    names = sorted(kinds)[:_MAX_FILES]
    if flags.get("withFileTypes") is True:
        return [_entry(name, is_folder=kinds[name]) for name in names]
    return list(names)


def _entry(name: str, *, is_folder: bool) -> JSObject:
    return JSObject({"name": name, "isDirectory": Thunk(is_folder), "isFile": Thunk(not is_folder)})


def _read_folder_later(interpreter: Interpreter, call: Call) -> object:
    found = _read_folder(interpreter, call)
    callback = next((item for item in call.arguments[1:] if isinstance(item, Function)), None)
    if callback is not None:
        interpreter.call(callback, [None, found])
    return found


def _exists(interpreter: Interpreter, call: Call) -> object:
    path = _inside(interpreter, call.argument(0))
    if path is None:
        return UNKNOWN
    return interpreter.sources.has_file(path) or bool(_files_below(interpreter, path))


def _stat(interpreter: Interpreter, call: Call) -> object:
    path = _inside(interpreter, call.argument(0))
    if path is None:
        return UNKNOWN
    return _entry(path, is_folder=not interpreter.sources.has_file(path))


def _glob(interpreter: Interpreter, call: Call) -> object:
    """``glob.sync('./routes/**/*.js')``, with ``{js,ts}``."""
    given, options = call.argument(0), call.argument(1)
    base = options.names.get("cwd") if isinstance(options, JSObject) else None
    found: list[object] = []
    for pattern in given if isinstance(given, list) else [given]:
        if not isinstance(pattern, str):
            continue
        path = _inside(interpreter, posixpath.join(base, pattern) if isinstance(base, str) else pattern)
        if path is None:
            continue
        matcher = _glob_pattern(path)
        found += [f"{ROOT}/{name}" for name in interpreter.sources.all_names if matcher.fullmatch(name)]
    if isinstance(base, str):
        start = posixpath.normpath(posixpath.join(_working(interpreter), base))
        found = [posixpath.relpath(name, start) for name in found if isinstance(name, str)]
    return found[:_MAX_FILES]


def _glob_pattern(pattern: str) -> re.Pattern[str]:
    """A glob of Node's kind: fnmatch's, but ``*`` stays within a folder, and braces give choices."""
    parts = []
    for piece in re.split(r"(\*\*/|\*\*|\*|\?|\{[^{}]*\}|[+@]\([^()]*\))", pattern[:500]):
        if piece in {"**/", "**"}:
            parts.append("(?:[^/]+/)*" if piece == "**/" else ".*")
        elif piece in {"*", "?"}:
            parts.append("[^/]*" if piece == "*" else "[^/]")
        elif piece[:1] in {"{", "+", "@"} and len(piece) > 1:
            choices = re.split(r"[,|]", piece.strip("+@{}()"))
            parts.append("(?:" + "|".join(_without_end(fnmatch.translate(choice)) for choice in choices) + ")")
        else:
            parts.append(re.escape(piece))
    return re.compile("".join(parts))


def _without_end(translated: str) -> str:
    return translated.removesuffix(r"\Z")


# The language.


def _names(value: object) -> dict[str, object]:
    if isinstance(value, JSObject):
        return value.names
    return {str(place): item for place, item in enumerate(value)} if isinstance(value, list) else {}


def _keys(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    return list(_names(call.argument(0)))


def _values(interpreter: Interpreter, call: Call) -> object:
    value = call.argument(0)
    return [
        interpreter.member(value, name) if isinstance(value, JSObject) else item for name, item in _names(value).items()
    ]


def _entries(interpreter: Interpreter, call: Call) -> object:
    value = call.argument(0)
    return [
        [name, interpreter.member(value, name) if isinstance(value, JSObject) else item]
        for name, item in _names(value).items()
    ]


def _assign(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    target, *others = call.arguments or [None]
    if isinstance(target, (JSObject, Function)):
        for other in others:
            target.names.update(other.names if isinstance(other, JSObject) else {})
    return target


def _define(interpreter: Interpreter, call: Call) -> object:
    """``Object.defineProperty(exports, "x", {get})``, as compilers write exports."""
    target, name, how = (call.argument(place) for place in range(3))
    if isinstance(target, (JSObject, Function)) and isinstance(name, str) and isinstance(how, JSObject):
        if isinstance(getter := how.names.get("get"), Function):
            target.names[name] = Getter(getter)
        elif "value" in how.names:
            target.names[name] = interpreter.member(how, "value")
    return target


def _from_entries(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    value = call.argument(0)
    pairs = value.pairs if isinstance(value, JSMap) else value if isinstance(value, list) else []
    made = JSObject()
    for pair in pairs:
        if isinstance(pair, list) and len(pair) > 1 and isinstance(pair[0], str):
            made.names[pair[0]] = pair[1]
    return made


def _first(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    return call.argument(0)


def _text(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    found = as_text(call.argument(0))
    return UNKNOWN if found is None else found


def _is_array(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    value = call.argument(0)
    return UNKNOWN if value is UNKNOWN else isinstance(value, list)


def _map(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    given = call.argument(0)
    return JSMap(
        [list(pair) for pair in given if isinstance(pair, list) and len(pair) > 1] if isinstance(given, list) else []
    )


def _list(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    given = call.argument(0)
    return list(given) if isinstance(given, (list, str)) else list(given.pairs) if isinstance(given, JSMap) else []


def _each(interpreter: Interpreter, call: Call) -> object:
    """``_.each(values, callback)``."""
    value, callback = call.argument(0), call.argument(1)
    pairs = _names(value).items()
    return [interpreter.apply(callback, [item, name, value]) for name, item in list(pairs)[:_MAX_FILES]]


def _soon(interpreter: Interpreter, call: Call) -> object:
    interpreter.call_back(call.arguments)
    return UNKNOWN


def _cwd(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    return _working(interpreter)


def _to_url(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    value = call.argument(0)
    return JSObject({"href": value, "pathname": value, "toString": Thunk(value)}) if isinstance(value, str) else UNKNOWN


def _url(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    """``new URL('./routes', import.meta.url)``."""
    path, base = call.argument(0), call.argument(1)
    if not isinstance(path, str) or not isinstance(base, str) or not base.startswith("file://"):
        return UNKNOWN
    found = posixpath.normpath(posixpath.join(posixpath.dirname(base.removeprefix("file://")), path))
    return JSObject({"href": found, "pathname": found, "toString": Thunk(found)})


def _from_url(interpreter: Interpreter, call: Call) -> object:
    value = call.argument(0)
    if isinstance(value, JSObject):
        value = interpreter.member(value, "pathname")
    return value.removeprefix("file://") if isinstance(value, str) else UNKNOWN


_BUILT_IN: Final[dict[str, Reader]] = {
    "path.join": _path_join,
    "path.posix.join": _path_join,
    "path.resolve": _path_resolve,
    "path.normalize": _on_path(posixpath.normpath),
    "path.dirname": _on_path(posixpath.dirname),
    "path.extname": _on_path(_extension),
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
    "glob": _glob,
    "glob.sync": _glob,
    "glob.globSync": _glob,
    "glob.glob": _glob,
    "fast-glob": _glob,
    "fast-glob.sync": _glob,
    "fast-glob.globSync": _glob,
    "globby": _glob,
    "globby.sync": _glob,
    "globby.globbySync": _glob,
    "globby.globby": _glob,
    "Object.keys": _keys,
    "Object.values": _values,
    "Object.entries": _entries,
    "Object.assign": _assign,
    "Object.freeze": _first,
    "Object.seal": _first,
    "Object.create": _first,
    "Object.fromEntries": _from_entries,
    "Object.defineProperty": _define,
    "Array": _list,
    "Array.from": _list,
    "Array.isArray": _is_array,
    "Set": _list,
    "Map": _map,
    "String": _text,
    "Promise.all": _first,
    "Promise.resolve": _first,
    "Promise": _soon,
    "setTimeout": _soon,
    "setImmediate": _soon,
    "process.nextTick": _soon,
    "process.cwd": _cwd,
    "url.fileURLToPath": _from_url,
    "url.pathToFileURL": _to_url,
    "URL": _url,
    "lodash.each": _each,
    "lodash.forEach": _each,
    "lodash.map": _each,
    "underscore.each": _each,
    "async.each": _each,
}
