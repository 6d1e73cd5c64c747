"""The HTTP methods, actions and attributes of a class of views, including inherited ones."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from preview.endpoints.django.library import ACTIONS, DJOSER_ACTIONS, METHOD_NAMES, handlers_of, package_of
from preview.endpoints.django.registrations import Action, ClassView
from preview.endpoints.python import UNKNOWN, Class, External, Function, PythonEvaluator, Scope

VERBS: Final = ("get", "post", "put", "patch", "delete")
_DJOSER: Final = "djoser"


def allowed_methods(view: ClassView, evaluator: PythonEvaluator) -> dict[str, str]:
    """Return the HTTP methods, in upper case, with the name of the answering method; empty if none is known."""
    names = view.methods or _method_names(view.cls, evaluator)
    if view.actions:
        return {verb.upper(): name for verb, name in view.actions.items() if names is None or verb in names}
    return {
        verb.upper(): verb for verb in VERBS if (names is None or verb in names) and _answers(view.cls, verb, evaluator)
    }


def has_action(cls: Class | External, name: str, evaluator: PythonEvaluator) -> bool:
    """Return whether a ViewSet can ``list``, ``create`` and so on."""
    for item in _lineage(cls, evaluator):
        if isinstance(item, Class) and name in item.body.names:
            value = item.body.names[name]
            # `create = None` removes an inherited action.
            return value is not None
    return any(name in _actions(item) for item in _lineage(cls, evaluator) if isinstance(item, External))


def extra_actions(cls: Class | External, evaluator: PythonEvaluator) -> list[Action]:
    """Return ``@action`` methods, inherited ones too; the nearest definition of a repeated name counts."""
    seen: set[str] = set()
    found: list[Action] = []
    for item in _lineage(cls, evaluator):
        if isinstance(item, Class):
            found += [
                value for name, value in item.body.names.items() if isinstance(value, Action) and name not in seen
            ]
            seen |= item.body.names.keys()
        elif package_of(item.name) == _DJOSER and item.last == "UserViewSet":
            found += [action for action in _djoser_actions(evaluator) if action.function.node.name not in seen]
    return found


def find_value(cls: Class, name: str, evaluator: PythonEvaluator) -> object:
    """Look a name up in the project's classes, nearest first; ``UNKNOWN`` if absent."""
    for item in evaluator.lineage(cls):
        if isinstance(item, Class) and name in item.body.names:
            return item.body.names[name]
    return UNKNOWN


def text_attribute(cls: Class | External, name: str, evaluator: PythonEvaluator) -> str:
    """Return the string that a class assigns, as in ``lookup_field = "slug"``; empty if there is none."""
    for item in _lineage(cls, evaluator):
        if isinstance(item, Class) and isinstance(value := item.body.names.get(name), str):
            return value
        if isinstance(item, External) and package_of(item.name) == _DJOSER and name == "lookup_field":
            return "id"
    return ""


def _lineage(cls: Class | External, evaluator: PythonEvaluator) -> list[Class | External]:
    return evaluator.lineage(cls) if isinstance(cls, Class) else [cls]


def _answers(cls: Class | External, verb: str, evaluator: PythonEvaluator) -> bool:
    lineage = _lineage(cls, evaluator)
    for item in lineage:
        if isinstance(item, Class) and verb in item.body.names:
            return item.body.names[verb] is not None
    return any(verb in handlers_of(item.name) for item in lineage if isinstance(item, External))


def _method_names(cls: Class | External, evaluator: PythonEvaluator) -> tuple[str, ...] | None:
    for item in _lineage(cls, evaluator):
        if isinstance(item, Class) and "http_method_names" in item.body.names:
            value = item.body.names["http_method_names"]
            names = [name.lower() for name in value if isinstance(name, str)] if isinstance(value, list) else []
            return tuple(names) or None
        if isinstance(item, External):
            known = METHOD_NAMES.get((package_of(item.name), item.last))
            if known and _django(evaluator) >= known[0]:
                return tuple(known[1].split())
    return None


def _django(evaluator: PythonEvaluator) -> int:
    version = getattr(evaluator.outside.get("django.conf.settings"), "django", 0)
    return version if isinstance(version, int) else 0


def _actions(cls: External) -> list[str]:
    return ACTIONS.get(package_of(cls.name), {}).get(cls.last, "").split()


def _djoser_actions(evaluator: PythonEvaluator) -> Iterator[Action]:
    username = _username_field(evaluator)
    for name, path, methods in DJOSER_ACTIONS:
        node = ast.parse(f"def {name}(self, request): ...").body[0]
        if isinstance(node, ast.FunctionDef):
            function = Function(node, Scope(""))
            mapping = dict.fromkeys(methods.split(), function)
            yield Action(function, mapping, detail=False, url_path=path.format(username=username))


def _username_field(evaluator: PythonEvaluator) -> str:
    """Return ``USERNAME_FIELD`` of the model that ``AUTH_USER_MODEL`` names."""
    settings = evaluator.outside.get("django.conf.settings")
    model = evaluator.attribute(settings, "AUTH_USER_MODEL")
    if isinstance(model, str) and model.count(".") == 1:
        label, name = model.split(".")
        found = evaluator.attribute(settings, f"model {label} {name}")
        if isinstance(found, Class):
            return text_attribute(found, "USERNAME_FIELD", evaluator) or "username"
    return "username"
