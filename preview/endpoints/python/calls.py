"""Evaluation of calls: of the project's functions and classes, Python's own, the framework's."""

from __future__ import annotations

import ast
import fnmatch
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from preview.endpoints.names import UNKNOWN, External
from preview.endpoints.python.builtin import call_builtin, import_module, names_on
from preview.endpoints.python.members import PATHS, PathValue, call_os_path
from preview.endpoints.python.methods import call_method, items_of
from preview.endpoints.python.truth import Call, Framework, Native
from preview.endpoints.python.values import Class, Function, Instance, Record, Scope

if TYPE_CHECKING:
    from preview.endpoints.python.evaluator import PythonEvaluator


class _Wraps(Native):
    """``@functools.wraps(function)``: the decorated wrapper counts as the wrapped function itself."""

    __slots__ = ("_function",)

    def __init__(self, function: object) -> None:
        self._function = function

    def decorate(self, target: object) -> object:  # noqa: ARG002
        return self._function if isinstance(self._function, (Function, Class, Native)) else UNKNOWN


def call_standard(name: str, call: Call) -> object:
    """Evaluate a call of a standard library function by its full name; ``UNKNOWN`` for all other functions."""
    known = _STANDARD.get(name)
    if known:
        return known(call)
    if name in PATHS:
        return PathValue.of(call.argument(0, "path"))
    return call_os_path(name, call.arguments) if name.startswith("os.") else UNKNOWN


def _modules(call: Call) -> object:
    """Evaluate ``pkgutil.iter_modules(…)``: the modules in the folder of the given path, else of the calling module."""
    prefix = call.argument(1, "prefix", "")
    start = prefix if isinstance(prefix, str) else ""
    names = [f"{start}{name}" for name in call.evaluator.submodules(_asked(call))]
    return [Record([UNKNOWN, name, False], {"name": name, "ispkg": False}) for name in names]


def _asked(call: Call) -> str:
    """Return a file in the folder that the call names; the calling file if no path is known."""
    given = call.argument(0, "path")
    first = given[0] if isinstance(given, list) and given else given
    path = PathValue.of(first)
    return f"{path}/__init__.py" if isinstance(path, PathValue) else call.scope.file


def _getenv(call: Call) -> object:
    """Return a variable's value from the project's ``.env``, unless the code gives a default."""
    name = call.argument(0, "key")
    has_default = call.argument(1, "default", None) not in (None, UNKNOWN)
    return call.evaluator.variables.get(name) if isinstance(name, str) and not has_default else UNKNOWN


def _add_root(call: Call) -> object:
    """Evaluate ``sys.path.insert(0, …)`` and ``append``."""
    path = PathValue.of(call.arguments[-1] if call.arguments else UNKNOWN)
    if isinstance(path, PathValue):
        call.evaluator.add_root(str(path) or ".")
    return None


def _list_folder(call: Call) -> object:
    folder = PathValue.of(call.argument(0, "path"))
    start = f"{folder}/" if str(folder) else ""
    names = [name[len(start) :] for name in call.evaluator.sources.names if name.startswith(start)]
    return sorted({name.partition("/")[0] for name in names}) if isinstance(folder, PathValue) else UNKNOWN


def _glob(call: Call) -> object:
    """Evaluate ``glob.glob(…)``: a list of strings."""
    pattern = call.text(0, "pathname")
    return [name for name in call.evaluator.sources.names if pattern and fnmatch.fnmatchcase(name, pattern)]


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
    """Evaluate ``inspect.getmembers(…)``."""
    owner, names = call.argument(0, "object"), names_on(call)
    if not isinstance(names, list):
        return UNKNOWN
    pairs = [(name, call.evaluator.attribute(owner, name)) for name in names if isinstance(name, str)]
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
    "functools.wraps": lambda call: _Wraps(call.argument(0, "wrapped")),
    # A partial counts as the function itself: the bound arguments change no route.
    "functools.partial": lambda call: call.argument(0, "func"),
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


class Calls:
    """Evaluates calls."""

    def __init__(self, evaluator: PythonEvaluator, framework: Framework) -> None:
        self._evaluator = evaluator
        self._framework = framework

    def evaluate(self, node: ast.Call, scope: Scope) -> object:
        """Evaluate a call."""
        if not isinstance(node.func, ast.Attribute):
            callee = self._evaluator.evaluate(node.func, scope)
            if callee is UNKNOWN and not isinstance(node.func, ast.Name):
                return UNKNOWN
            call = Call(node, *self._given(node, scope), scope, self._evaluator)
            if callee is UNKNOWN and isinstance(node.func, ast.Name):
                return call_builtin(node.func.id, call)
            return self._call_value(callee, call)
        receiver, method = self._evaluator.evaluate(node.func.value, scope), node.func.attr
        if isinstance(receiver, (str, list, dict)) and not isinstance(receiver, Record):
            return call_method(receiver, method, *self._given(node, scope))
        callee = self._evaluator.attribute(receiver, method)
        if callee is UNKNOWN and not isinstance(receiver, Native):
            return UNKNOWN
        call = Call(node, *self._given(node, scope), scope, self._evaluator)
        if isinstance(receiver, Native) and not isinstance(callee, Function):
            return receiver.call_method(method, call)
        return self._call_value(callee, call)

    def _call_value(self, callee: object, call: Call) -> object:
        if isinstance(callee, Native):
            return callee.call(call)
        if isinstance(callee, Function):
            return self._evaluator.call(callee, call.arguments, **call.named)
        if isinstance(callee, Class):
            return self._create(callee, call)
        if isinstance(callee, Instance):
            method = self._evaluator.attribute(callee, "__call__")
            return (
                self._evaluator.call(method, call.arguments, **call.named) if isinstance(method, Function) else UNKNOWN
            )
        if isinstance(callee, External):
            found = call_standard(callee.name, call)
            return self._framework.construct(callee, call) if found is UNKNOWN else found
        return UNKNOWN

    def _given(self, node: ast.Call, scope: Scope) -> tuple[list[object], dict[str, object]]:
        """Return the values of a call's arguments; starred arguments are expanded as far as they are known."""
        arguments: list[object] = []
        for item in node.args:
            if isinstance(item, ast.Starred):
                arguments += items_of(self._evaluator.evaluate(item.value, scope)) or []
            else:
                arguments.append(self._evaluator.evaluate(item, scope))
        named: dict[str, object] = {}
        for keyword in node.keywords:
            value = self._evaluator.evaluate(keyword.value, scope)
            if keyword.arg:
                named[keyword.arg] = value
            elif isinstance(value, dict):
                named |= {key: item for key, item in value.items() if isinstance(key, str)}
        return arguments, named

    def _create(self, cls: Class, call: Call) -> object:
        """Return an object of a project's class; a framework's object if it inherits from a framework's class."""
        outside = (item for item in self._evaluator.lineage(cls) if isinstance(item, External))
        base = next(filter(self._framework.is_constructor, outside), None)
        made: object = Instance(cls)
        if base is not None:
            made = self._framework.construct(base, call)
            if not isinstance(made, Native):
                return made
            made.adopt(cls)
            if made.own_class() is not cls:
                return made
        initialise = self._evaluator.attribute(cls, "__init__")
        if isinstance(initialise, Function):
            method = Function(initialise.node, initialise.scope, receiver=made)
            self._evaluator.call(method, call.arguments, **call.named)
        elif isinstance(made, Instance):
            made.names.update(call.named)
        return made
