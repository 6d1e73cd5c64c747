"""Methods of a class of views, over its whole lineage."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from preview.endpoints.django.library import ACTIONS, DJOSER_ACTIONS, METHOD_NAMES, handlers_of, package_of
from preview.endpoints.django.registrations import Action, ClassView
from preview.endpoints.python import UNKNOWN, Class, External, Function, Interpreter, Scope

VERBS: Final = ("get", "post", "put", "patch", "delete")
_DJOSER: Final = "djoser"


def allowed_methods(view: ClassView, interpreter: Interpreter) -> dict[str, str]:
    """HTTP methods, upper case, with the name of the class's method that answers; empty where none is known."""
    names = view.methods or _method_names(view.cls, interpreter)
    if view.actions:
        return {verb.upper(): name for verb, name in view.actions.items() if names is None or verb in names}
    return {
        verb.upper(): verb
        for verb in VERBS
        if (names is None or verb in names) and _answers(view.cls, verb, interpreter)
    }


def has_action(cls: Class | External, name: str, interpreter: Interpreter) -> bool:
    """Return whether a ViewSet can ``list``, ``create`` and so on."""
    for item in _lineage(cls, interpreter):
        if isinstance(item, Class) and name in item.body.names:
            value = item.body.names[name]
            # `create = None` takes an inherited action away.
            return value is not None
    return any(name in _actions(item) for item in _lineage(cls, interpreter) if isinstance(item, External))


def extra_actions(cls: Class | External, interpreter: Interpreter) -> list[Action]:
    """Return ``@action`` methods, inherited ones too; of a repeated name the nearest definition."""
    seen: set[str] = set()
    found: list[Action] = []
    for item in _lineage(cls, interpreter):
        if isinstance(item, Class):
            found += [
                value for name, value in item.body.names.items() if isinstance(value, Action) and name not in seen
            ]
            seen |= item.body.names.keys()
        elif package_of(item.name) == _DJOSER and item.last == "UserViewSet":
            found += [action for action in _djoser_actions(interpreter) if action.function.node.name not in seen]
    return found


def find_value(cls: Class, name: str, interpreter: Interpreter) -> object:
    """Look a name up in the project's classes, nearest first; ``UNKNOWN`` if absent."""
    for item in interpreter.lineage(cls):
        if isinstance(item, Class) and name in item.body.names:
            return item.body.names[name]
    return UNKNOWN


def text_attribute(cls: Class | External, name: str, interpreter: Interpreter) -> str:
    """``lookup_field = "slug"``; empty where it says nothing."""
    for item in _lineage(cls, interpreter):
        if isinstance(item, Class) and isinstance(value := item.body.names.get(name), str):
            return value
        if isinstance(item, External) and package_of(item.name) == _DJOSER and name == "lookup_field":
            return "id"
    return ""


def _lineage(cls: Class | External, interpreter: Interpreter) -> list[Class | External]:
    return interpreter.lineage(cls) if isinstance(cls, Class) else [cls]


def _answers(cls: Class | External, verb: str, interpreter: Interpreter) -> bool:
    lineage = _lineage(cls, interpreter)
    for item in lineage:
        if isinstance(item, Class) and verb in item.body.names:
            return item.body.names[verb] is not None
    return any(verb in handlers_of(item.name) for item in lineage if isinstance(item, External))


def _method_names(cls: Class | External, interpreter: Interpreter) -> tuple[str, ...] | None:
    for item in _lineage(cls, interpreter):
        if isinstance(item, Class) and "http_method_names" in item.body.names:
            value = item.body.names["http_method_names"]
            names = [name.lower() for name in value if isinstance(name, str)] if isinstance(value, list) else []
            return tuple(names) or None
        if isinstance(item, External):
            known = METHOD_NAMES.get((package_of(item.name), item.last))
            if known and _django(interpreter) >= known[0]:
                return tuple(known[1].split())
    return None


def _django(interpreter: Interpreter) -> int:
    version = getattr(interpreter.outside.get("django.conf.settings"), "django", 0)
    return version if isinstance(version, int) else 0


def _actions(cls: External) -> list[str]:
    return ACTIONS.get(package_of(cls.name), {}).get(cls.last, "").split()


def _djoser_actions(interpreter: Interpreter) -> Iterator[Action]:
    username = _username_field(interpreter)
    for name, path, methods in DJOSER_ACTIONS:
        node = ast.parse(f"def {name}(self, request): ...").body[0]
        if isinstance(node, ast.FunctionDef):
            function = Function(node, Scope(""))
            mapping = dict.fromkeys(methods.split(), function)
            yield Action(function, mapping, detail=False, url_path=path.format(username=username))


def _username_field(interpreter: Interpreter) -> str:
    """``USERNAME_FIELD`` of the model that ``AUTH_USER_MODEL`` names."""
    settings = interpreter.outside.get("django.conf.settings")
    model = interpreter.attribute(settings, "AUTH_USER_MODEL")
    if isinstance(model, str) and model.count(".") == 1:
        label, name = model.split(".")
        found = interpreter.attribute(settings, f"model {label} {name}")
        if isinstance(found, Class):
            return text_attribute(found, "USERNAME_FIELD", interpreter) or "username"
    return "username"
