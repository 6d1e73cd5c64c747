"""Restores names that newer Pythons have removed, for packages of older projects; each use is logged once.

A project that pins packages of 2019 may not declare a Python version, and this Python lacks names that they import.
Modules supply missing names through a module-level ``__getattr__`` (PEP 562), so nothing happens before a use.

Source of the names: "Removed" in docs.python.org/3/whatsnew/3.8 to 3.11.
"""

from __future__ import annotations

import base64
import collections
import collections.abc
import functools
import importlib
import importlib.machinery
import inspect
import math
import sys
import time
import types
from collections.abc import Callable
from typing import Any, NamedTuple

_ABSTRACT = (
    "Awaitable AsyncIterable AsyncIterator Callable Collection Container Coroutine Generator Hashable ItemsView "
    "Iterable Iterator KeysView Mapping MappingView MutableMapping MutableSequence MutableSet Reversible Sequence Set "
    "Sized ValuesView ByteString"
)


class ArgSpec(NamedTuple):
    """Result of ``inspect.getargspec``."""

    args: list[str]
    varargs: str | None
    keywords: str | None
    defaults: tuple[Any, ...] | None


def _getargspec(function: Callable[..., Any]) -> ArgSpec:
    return ArgSpec(*inspect.getfullargspec(function)[:4])


# Module, then removed name to replacement. Only modules that are already loaded are changed.
_DROPPED: dict[str, dict[str, Any]] = {
    "collections": {name: getattr(collections.abc, name, None) for name in _ABSTRACT.split()},
    "inspect": {"getargspec": _getargspec, "ArgSpec": ArgSpec},
    "time": {"clock": time.perf_counter},
    "base64": {"encodestring": base64.encodebytes, "decodestring": base64.decodebytes},
    "fractions": {"gcd": math.gcd},
    "asyncio": {"coroutine": types.coroutine},
}


def give_back(say: Callable[[str], None]) -> None:
    """Let loaded modules supply their removed names.

    Args:
        say: Called with one line at the first use of each name.
    """
    for module_name, names in _DROPPED.items():
        module = sys.modules.get(module_name)
        if module is not None and not hasattr(module, "__getattr__"):
            module.__dict__["__getattr__"] = _answering(module_name, names, say)
    sys.meta_path.append(_Extensions(say))


class _Extensions:
    """Finds ``flask.ext.NAME``, the form of ``flask_NAME`` that Flask 1.0 removed, if nothing else does."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said = False

    def find_spec(self, fullname: str, _path: object, _target: object = None) -> importlib.machinery.ModuleSpec | None:
        if fullname != "flask.ext" and not fullname.startswith("flask.ext."):
            return None
        if not self._said:
            self._said = True
            self._say(f"flask.ext was removed from Flask 1.0 and is restored, because {_asker()} uses it")
        loader: Any = self
        return importlib.machinery.ModuleSpec(fullname, loader, is_package=fullname == "flask.ext")

    def create_module(self, _spec: importlib.machinery.ModuleSpec) -> None:
        """Have the import system make an empty module."""

    def exec_module(self, module: types.ModuleType) -> None:
        head, _, name = module.__name__.rpartition(".")
        if head == "flask":
            module.__dict__["__getattr__"] = self._part
        else:
            found: Any = importlib.import_module(f"flask_{name}")
            if (
                name == "wtf"
                and hasattr(found, "FlaskForm")
                and not hasattr(getattr(found, "Form", None), "validate_on_submit")
            ):
                # The Flask-WTF of that time had one class; today `Form` is WTForms' own, which knows no request.
                found.Form = found.FlaskForm
            # The import system returns what is in this place afterwards.
            sys.modules[module.__name__] = found

    def _part(self, name: str) -> types.ModuleType:
        if name.startswith("__"):
            raise AttributeError(name)
        return importlib.import_module(f"flask.ext.{name}")


def _answering(module_name: str, names: dict[str, Any], say: Callable[[str], None]) -> Callable[[str], Any]:
    told: set[str] = set()

    def answer(name: str) -> Any:
        value = names.get(name)
        if value is None:
            raise AttributeError(f"module {module_name!r} has no attribute {name!r}")
        if name not in told:
            told.add(name)
            say(
                f"{module_name}.{name} was removed from this Python version and is restored, because {_asker()} uses it"
            )
        return value

    return answer


def _asker() -> str:
    """Return the name of the module that uses the name, without frames of the import system."""
    frame: types.FrameType | None = sys._getframe(2)  # noqa: SLF001  there is no other way to learn it
    while frame is not None and frame.f_globals.get("__name__", "").startswith("importlib."):
        frame = frame.f_back
    return "a module" if frame is None else str(frame.f_globals.get("__name__", "a module"))


def take_old_templates(say: Callable[[str], None]) -> None:
    """Let Starlette's ``TemplateResponse("page.html", {"request": request})`` work, whose form Starlette 1 removed.

    Call it once the application is loaded.

    Args:
        say: Called with one line at the first use.
    """
    templating: Any = sys.modules.get("starlette.templating")
    kind: Any = getattr(templating, "Jinja2Templates", None)
    respond = getattr(kind, "TemplateResponse", None)
    if respond is None or list(inspect.signature(respond).parameters)[1:3] != ["request", "name"]:
        return
    said: list[str] = []

    @functools.wraps(respond)
    def take(self: Any, *given: Any, **named: Any) -> Any:
        # 1. ("page.html", context, …)  2. ("page.html", context=…)  3. (name="page.html", context=…)
        is_old = isinstance(given[0], str) if given else "request" not in named
        context = given[1] if is_old and len(given) > 1 else named.get("context")
        if is_old and isinstance(context, dict) and "request" in context:
            if not said:
                said.append("")
                say("TemplateResponse(name, context) was removed from Starlette 1 and is restored for this project")
            return respond(self, context["request"], *given, **named)
        return respond(self, *given, **named)

    kind.TemplateResponse = take
