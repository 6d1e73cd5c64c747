"""What calling the standard library's functions gives, as far as routes are registered by them."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping
from typing import Final

from preview.endpoints.names import UNKNOWN, External
from preview.endpoints.python.builtin import import_module, names_on
from preview.endpoints.python.native import Call, Native
from preview.endpoints.python.paths import PATHS, PathValue, call_os_path
from preview.endpoints.python.values import Class, Function, Record


class _Wraps(Native):
    """``@functools.wraps(function)``: what is below it stands for the function, for routes and their parameters."""

    __slots__ = ("_function",)

    def __init__(self, function: object) -> None:
        self._function = function

    def decorate(self, target: object) -> object:  # noqa: ARG002
        return self._function if isinstance(self._function, (Function, Class, Native)) else UNKNOWN


def call_standard(name: str, call: Call) -> object:
    """A function of the standard library by its full name; ``UNKNOWN`` for all others."""
    known = _STANDARD.get(name)
    if known:
        return known(call)
    if name in PATHS:
        return PathValue.of(call.argument(0, "path"))
    return call_os_path(name, call.arguments) if name.startswith("os.") else UNKNOWN


def _wraps(call: Call) -> object:
    return _Wraps(call.argument(0, "wrapped"))


def _partial(call: Call) -> object:
    """The function itself: what is filled in before changes no route."""
    return call.argument(0, "func")


def _modules(call: Call) -> object:
    """``pkgutil.iter_modules(…)``: the modules beside the one that asks, as a package does with its own path."""
    prefix = call.argument(1, "prefix", "")
    start = prefix if isinstance(prefix, str) else ""
    names = [f"{start}{name}" for name in call.interpreter.submodules(_asked(call))]
    return [Record([UNKNOWN, name, False], {"name": name, "ispkg": False}) for name in names]


def _asked(call: Call) -> str:
    """The package's file whose path is asked for."""
    given = call.argument(0, "path")
    first = given[0] if isinstance(given, list) and given else given
    path = PathValue.of(first)
    return f"{path}/__init__.py" if isinstance(path, PathValue) else call.scope.file


def _getenv(call: Call) -> object:
    """What a project's ``.env`` says of a variable that has no default in the code."""
    name = call.argument(0, "key")
    return call.interpreter.variables.get(name) if isinstance(name, str) and _has_no_default(call) else UNKNOWN


def _has_no_default(call: Call) -> bool:
    return call.argument(1, "default", None) in (None, UNKNOWN)


def _add_root(call: Call) -> object:
    """``sys.path.insert(0, …)`` and ``append``."""
    path = PathValue.of(call.arguments[-1] if call.arguments else UNKNOWN)
    if isinstance(path, PathValue):
        call.interpreter.add_root(str(path))
    return None


def _list_folder(call: Call) -> object:
    folder = PathValue.of(call.argument(0, "path"))
    start = f"{folder}/" if str(folder) else ""
    names = [name[len(start) :] for name in call.interpreter.sources.names if name.startswith(start)]
    return sorted({name.partition("/")[0] for name in names}) if isinstance(folder, PathValue) else UNKNOWN


def _glob(call: Call) -> object:
    """``glob.glob(…)``: texts."""
    pattern = call.text(0, "pathname")
    return [name for name in call.interpreter.sources.names if pattern and fnmatch.fnmatchcase(name, pattern)]


def _signature(call: Call) -> object:
    function = call.argument(0, "obj")
    if not isinstance(function, Function):
        return UNKNOWN
    arguments = function.node.args
    names = [item.arg for item in (*arguments.posonlyargs, *arguments.args)]
    names = names[1 if function.receiver is not None else 0 :]
    parameters = dict.fromkeys([*names, *(item.arg for item in arguments.kwonlyargs)], UNKNOWN)
    return Record([], {"parameters": parameters})


def _members(call: Call) -> object:
    """``inspect.getmembers(…)``."""
    owner, names = call.argument(0, "object"), names_on(call)
    if not isinstance(names, list):
        return UNKNOWN
    pairs = [(name, call.interpreter.attribute(owner, name)) for name in names if isinstance(name, str)]
    wanted = call.argument(1, "predicate", None)
    kinds = _PREDICATES.get(wanted.name, object) if isinstance(wanted, External) else object
    return [Record([name, value]) for name, value in pairs if isinstance(value, kinds)]


_PREDICATES: Final[Mapping[str, type]] = {
    "inspect.isfunction": Function,
    "inspect.ismethod": Function,
    "inspect.isclass": Class,
}

_STANDARD: Final[Mapping[str, Callable[[Call], object]]] = {
    "importlib.import_module": import_module,
    "werkzeug.utils.import_string": import_module,
    "functools.wraps": _wraps,
    "functools.partial": _partial,
    "pkgutil.iter_modules": _modules,
    "pkgutil.walk_packages": _modules,
    "os.getenv": _getenv,
    "os.environ.get": _getenv,
    "decouple.config": _getenv,
    "sys.path.append": _add_root,
    "sys.path.insert": _add_root,
    "os.listdir": _list_folder,
    "glob.glob": _glob,
    "glob.iglob": _glob,
    "inspect.signature": _signature,
    "inspect.getmembers": _members,
    "copy.copy": lambda call: call.argument(0, "x"),
    "copy.deepcopy": lambda call: call.argument(0, "x"),
    "typing.cast": lambda call: call.argument(1, "val"),
}
