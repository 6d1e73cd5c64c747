"""Lists the URL patterns of a Django project, for a report to the service.

Runs in the child, on the project's own interpreter: standard library and the project's own Django only.
"""

from __future__ import annotations

import importlib
from typing import Any

_DEEPEST = 20
_METHODS = ("get", "post", "put", "patch", "delete", "trace")
# Files, pages of documentation and the REST framework's list of routes, which the service lists nowhere.
_LEFT_OUT = (
    "ninja.openapi.views.",
    "django.views.static.",
    "django.contrib.staticfiles.views.",
    "rest_framework.routers.APIRootView",
)


def add_patterns(place: Any) -> None:
    """Add each pattern of ``ROOT_URLCONF`` ; the modules with the patterns are imported if necessary."""
    try:
        urls = importlib.import_module("django.urls")
    except ImportError:  # Django 1
        urls = importlib.import_module("django.core.urlresolvers")
    _add(urls.get_resolver(None).url_patterns, place)


def _add(patterns: Any, place: Any, above: Any = ()) -> None:
    """Add each pattern, except of a module that includes itself: Django serves these at any depth."""
    if place.depth > _DEEPEST or any(patterns is one for one in above):
        place.add_unknown()
        return
    for one in list(patterns):
        part = _part(one)
        if hasattr(type(one), "url_patterns"):
            inner = _inner(one)
            if inner is None:
                place.below(part).add_unknown()
            else:
                _add(inner, place.below(part), (*above, patterns))
        elif not _is_suffix(part) and not _is_left_out(one.callback):
            place.add(_methods(one.callback), part)


def _inner(resolver: Any) -> Any:
    """Return the patterns of an included module; None if it has none, or cannot be imported."""
    try:
        return resolver.url_patterns
    except Exception:  # noqa: BLE001  the project's module may raise anything
        return None


def _part(one: Any) -> str:
    """Return the notation and the text of a pattern: a route, a regular expression, or the prefix of a language."""
    pattern = getattr(one, "pattern", None)
    for attribute, notation in (("_route", "d"), ("_regex", "x"), ("language_prefix", "d")):
        if hasattr(pattern, attribute):
            return notation + str(getattr(pattern, attribute))
    return "x" + str(one.regex.pattern)  # Django 1


def _is_suffix(part: str) -> bool:
    r"""Return whether the pattern is a copy of another one, with the format at its end (``/users.json``).

    A project's own pattern may have a part of this name, too: ``swagger(?P<format>\.json|\.yaml)$``.
    """
    return r"\.(?P<format>" in part or "<drf_format_suffix" in part


def _view_class(view: Any) -> Any:
    return getattr(view, "cls", None) or getattr(view, "view_class", None)


def _is_left_out(view: Any) -> bool:
    cls = _view_class(view)
    names = {
        f"{getattr(one, '__module__', '')}.{getattr(one, '__name__', '')}"
        for one in (view, cls, getattr(view, "func", None))
    }
    return any(name.startswith(_LEFT_OUT) for name in names)


def _methods(view: Any) -> set[str]:
    """Return the methods that a view handles; empty if it does not say."""
    operations = _operations(view)
    if operations:
        return {str(method).upper() for operation in operations for method in operation.methods}
    cls = _view_class(view)
    actions = getattr(view, "actions", None)
    if cls is None:
        return _restricted(view)
    allowed = [str(name).lower() for name in getattr(cls, "http_method_names", _METHODS)]
    handled = actions if isinstance(actions, dict) else [name for name in _METHODS if hasattr(cls, name)]
    return {name.upper() for name in handled if name in _METHODS and name in allowed}


def _operations(view: Any) -> Any:
    """Return the operations of a view of Django Ninja; None for any other."""
    if not str(getattr(view, "__module__", "")).startswith("ninja"):
        return None
    cells = getattr(view, "__closure__", None) or ()
    owners = [getattr(view, "__self__", None), *(cell.cell_contents for cell in cells)]
    return next((one.operations for one in owners if hasattr(one, "operations")), None)


def _restricted(view: Any) -> set[str]:
    """Return the methods of ``@require_http_methods``, at any level of decoration."""
    for _ in range(_DEEPEST):
        names = getattr(getattr(view, "__code__", None), "co_freevars", ())
        if "request_method_list" in names:
            given = view.__closure__[names.index("request_method_list")].cell_contents
            return {str(method).upper() for method in given} - {"HEAD", "OPTIONS"}
        view = getattr(view, "__wrapped__", None)
        if view is None:
            break
    return set()
