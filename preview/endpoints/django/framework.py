"""Effects of names of Django, the REST framework and Ninja in a project's code."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from preview.endpoints.django.library import package_of
from preview.endpoints.django.ninja import NINJA_NAMES, construct_ninja
from preview.endpoints.django.query import Field, SerializerUse
from preview.endpoints.django.registrations import (
    Action,
    ClassView,
    Decorator,
    FunctionView,
    Include,
    Pattern,
    Site,
    is_view,
)
from preview.endpoints.django.routers import ROUTERS, Router
from preview.endpoints.django.settings import DjangoSettings
from preview.endpoints.python import UNKNOWN, Call, Class, External, Function, WouldRaise

_PATTERNS: Final = {"path": False, "re_path": True, "url": True}
_WITHOUT_ROUTES: Final = frozenset({"static", "staticfiles_urlpatterns", "include_docs_urls", "debug_toolbar_urls"})
_TRANSLATORS: Final = frozenset({"gettext_lazy", "gettext", "ugettext_lazy", "ugettext", "gettext_noop", "_"})
_FIELD_PACKAGES: Final = frozenset({"django", "rest_framework"})
_KNOWN_TOPS: Final = frozenset({"django", "rest_framework", "debug_toolbar", "django_browser_reload", "silk"})
_STARRED: Final[Mapping[str, tuple[str, ...]]] = {
    "django.urls": ("path", "re_path", "include"),
    "django.conf.urls": ("url", "include", "patterns"),
    "django.conf.urls.i18n": ("i18n_patterns",),
    "django.views.generic": (
        *("View", "TemplateView", "ListView", "DetailView", "FormView", "CreateView", "UpdateView", "DeleteView"),
        "RedirectView",
    ),
    "django.db.models": ("Model", "CharField", "TextField", "IntegerField", "ForeignKey", "ManyToManyField"),
    "rest_framework.generics": (
        *("GenericAPIView", "CreateAPIView", "ListAPIView", "RetrieveAPIView", "DestroyAPIView", "UpdateAPIView"),
        *("ListCreateAPIView", "RetrieveUpdateAPIView", "RetrieveDestroyAPIView", "RetrieveUpdateDestroyAPIView"),
    ),
    "rest_framework.viewsets": ("ViewSet", "GenericViewSet", "ModelViewSet", "ReadOnlyModelViewSet"),
    "rest_framework.mixins": tuple(f"{verb}ModelMixin" for verb in ("Create", "List", "Retrieve", "Update", "Destroy")),
    "rest_framework.routers": ("DefaultRouter", "SimpleRouter"),
    "rest_framework.views": ("APIView",),
    "rest_framework.decorators": ("api_view", "action", "list_route", "detail_route"),
    "rest_framework.serializers": ("Serializer", "ModelSerializer", "HyperlinkedModelSerializer"),
    "ninja": ("NinjaAPI", "Router", "Schema"),
}


class DjangoFramework:
    """Defines the effects of Django's names for the evaluator.

    Args:
        installed: The top-level packages of the names in ``INSTALLED_APPS``.
    """

    def __init__(self, installed: frozenset[str] = frozenset()) -> None:
        self.installed = installed

    def is_constructor(self, value: External) -> bool:
        """Return whether a call of the name makes a router, a site, a serializer or a Ninja API."""
        last = value.last
        if last in ROUTERS or last in NINJA_NAMES or last.endswith("AdminSite"):
            return True
        return package_of(value.name) in _FIELD_PACKAGES and last.endswith(("Serializer", "Field"))

    def construct(self, callee: External, call: Call) -> object:
        """Return a pattern, an include, a view, a router or a decorator; for a wrapper, return the wrapped view."""
        last = callee.last
        if last in _PATTERNS:
            return _pattern(call, is_regex=_PATTERNS[last])
        if last == "as_view":
            return _class_view(call)
        if last in _BY_NAME:
            return _BY_NAME[last](call)
        if callee.name == "split_settings.tools.include":
            return _include_settings(call)
        if callee.name == "split_settings.tools.optional":
            return call.argument(0, "filename")
        if last == "include":
            return self._include(call)
        if last in ROUTERS:
            return Router.read(last, call)
        if last in NINJA_NAMES and package_of(callee.name).startswith("ninja"):
            return construct_ninja(last, call)
        if last in _WITHOUT_ROUTES:
            return []
        if last.endswith("AdminSite"):
            return Site()
        if last.endswith("Serializer"):
            return _serializer(call)
        if package_of(callee.name) in _FIELD_PACKAGES and _is_field(callee):
            return Field(last, call.named)
        if last in {"get_schema_view", "get_swagger_view"}:
            # The result is a view that answers GET, or has methods that return such a view.
            return ClassView(External(callee.name))
        return next(filter(_can_be_wrapped, (*call.arguments, *call.named.values())), UNKNOWN)

    def starred(self, module: str) -> Sequence[str]:
        """Return the names that star imports from Django and its companions bind."""
        return _STARRED.get(module, ())

    def _include(self, call: Call) -> object:
        what = call.argument(0, "arg")
        if isinstance(what, list) and what and isinstance(what[0], str):
            what = what[0]
        if isinstance(what, str) and call.evaluator.trying and not self._may_include(what, call):
            raise WouldRaise
        return Include(what)

    def _may_include(self, name: str, call: Call) -> bool:
        top = name.partition(".")[0]
        return top in _KNOWN_TOPS or top in self.installed or call.evaluator.module(name) is not None


def _include_settings(call: Call) -> object:
    settings = call.evaluator.outside.get("django.conf.settings")
    if isinstance(settings, DjangoSettings):
        settings.include(call)
    return None


def _pattern(call: Call, *, is_regex: bool) -> object:
    route = call.argument(0, "regex" if is_regex and "regex" in call.named else "route")
    target = call.argument(1, "view")
    position = call.node.args[1] if len(call.node.args) > 1 else None
    node = position or next((item.value for item in call.node.keywords if item.arg == "view"), None)
    if target is UNKNOWN and node is not None:
        target = _dig(node, call)
    if not isinstance(route, str):
        return call.unread("the path of a route is not known from the source")
    opaque = target is UNKNOWN and (node is None or _may_be_list(node))
    return Pattern(route, is_regex, target, opaque, call.scope.file, call.node.lineno)


def _dig(node: ast.expr, call: Call) -> object:
    """Return the view inside unknown wrappers: ``cache_page(60)(view)``, ``own(decorator)(View.as_view())``."""
    for _ in range(5):
        if not isinstance(node, ast.Call) or not node.args:
            break
        for inner in node.args:
            value = call.evaluator.evaluate(inner, call.scope)
            if is_view(value):
                return value
        node = node.args[0]
    return UNKNOWN


def _may_be_list(node: ast.expr) -> bool:
    """Return whether a target may be a list: ``admin.site.urls``, ``include(…)``, ``get_urls()``; others are views."""
    if isinstance(node, ast.Call):
        return _may_be_list(node.func)
    if isinstance(node, ast.Subscript):
        return _may_be_list(node.value)
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name.endswith(("urls", "urlpatterns", "include", "patterns"))


def _class_view(call: Call) -> object:
    func = call.node.func
    owner = call.evaluator.evaluate(func.value, call.scope) if isinstance(func, ast.Attribute) else UNKNOWN
    if isinstance(owner, (ClassView, FunctionView)):
        return owner
    if not isinstance(owner, (Class, External)):
        return UNKNOWN
    given = call.argument(0, "actions", None)
    actions = given if isinstance(given, dict) else {}
    names = call.named.get("http_method_names")
    methods = tuple(item for item in names if isinstance(item, str)) if isinstance(names, list) else None
    texts = {key.lower(): value for key, value in actions.items() if isinstance(key, str) and isinstance(value, str)}
    return ClassView(owner, texts, methods)


def _localised(call: Call) -> object:
    settings = call.evaluator.outside.get("django.conf.settings")
    code = call.evaluator.attribute(settings, "LANGUAGE_CODE")
    language = code if isinstance(code, str) else "en-us"
    bare = call.named.get("prefix_default_language") is False
    return [Include(list(call.arguments), "" if bare or not language else f"{language}/")]


def _view_decorator(call: Call) -> object:
    """Return the decorator for ``@api_view([…])`` and ``@require_http_methods([…])``."""
    given = call.argument(0, "http_method_names" if "http_method_names" in call.named else "request_method_list")
    names = tuple(item.upper() for item in given if isinstance(item, str)) if isinstance(given, list) else ()
    if given is UNKNOWN and not (call.node.args or call.node.keywords):
        names = ("GET",)
    return Decorator(lambda function: FunctionView(function, names))


def _action_decorator(call: Call, *, detail: bool) -> object:
    given = call.argument(0, "methods")
    names = [item.lower() for item in given if isinstance(item, str)] if isinstance(given, list) else []
    path = call.named.get("url_path")

    def apply(function: Function) -> object:
        mapping = dict.fromkeys(names or ["get"], function)
        return Action(function, mapping, detail, path if isinstance(path, str) else function.node.name)

    return Decorator(apply)


_BY_NAME: Final[Mapping[str, Callable[[Call], object]]] = {
    "i18n_patterns": _localised,
    "format_suffix_patterns": lambda call: call.argument(0, "urlpatterns"),
    "api_view": _view_decorator,
    "require_http_methods": _view_decorator,
    "action": lambda call: _action_decorator(call, detail=call.argument(1, "detail") is True),
    "list_route": lambda call: _action_decorator(call, detail=False),
    "detail_route": lambda call: _action_decorator(call, detail=True),
    # Django 1's `patterns("", url(…), …)`.
    "patterns": lambda call: list(call.arguments[1:]),
    **dict.fromkeys(_TRANSLATORS, lambda call: call.argument(0, "message")),
}

_HTTP: Final = "django.views.decorators.http"
OUTSIDE: Final[Mapping[str, object]] = {
    f"{_HTTP}.require_GET": Decorator(lambda function: FunctionView(function, ("GET",))),
    f"{_HTTP}.require_POST": Decorator(lambda function: FunctionView(function, ("POST",))),
    f"{_HTTP}.require_safe": Decorator(lambda function: FunctionView(function, ("GET", "HEAD"))),
    "django.contrib.admin.site": Site(),
}
"""Values of external names that are used without a call."""


def _is_field(callee: External) -> bool:
    return callee.last.endswith(("Field", "ForeignKey", "Related")) or ".models." in callee.name


def _serializer(call: Call) -> object:
    cls = call.evaluator.evaluate(call.node.func, call.scope)
    return SerializerUse(cls if isinstance(cls, Class) else None, many=call.named.get("many") is True)


def _can_be_wrapped(value: object) -> bool:
    """Return whether a wrapper's argument is a view or a list of patterns."""
    if isinstance(value, list):
        return any(isinstance(item, Pattern) for item in value)
    return isinstance(value, (ClassView, FunctionView, Function))
