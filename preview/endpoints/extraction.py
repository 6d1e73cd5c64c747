"""Endpoints of a project, read from its source; nothing is run. The functions are pure: call them in a thread."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from preview.endpoints.budget import Budget, OutOfBudget
from preview.endpoints.django import find_django_apps
from preview.endpoints.express import find_express_apps
from preview.endpoints.fastapi import FastAPIFramework, find_fastapi_apps, list_endpoints
from preview.endpoints.fastapi.routes import Include, Router
from preview.endpoints.flask import find_flask_apps, find_quart_apps
from preview.endpoints.model import AppTarget, Endpoint, Extraction, Found, FoundApp, SocketEndpoint
from preview.endpoints.more_python import find_more_apps
from preview.endpoints.node.unread import find_unread_servers
from preview.endpoints.python import PythonEvaluator
from preview.endpoints.ranking import rank_apps
from preview.endpoints.unread import TOO_LARGE, name_unread
from preview.sources import Sources, without_collector

# Limit on the files whose routers are listed if the project has no application.
_MAX_LOOSE_FILES = 200


# Each finder reads the whole project. Their order decides between equally ranked applications.
_READERS: tuple[Callable[[Sources, Budget], list[FoundApp]], ...] = (
    find_fastapi_apps,
    find_flask_apps,
    find_django_apps,
    find_express_apps,
    find_quart_apps,
    find_more_apps,
)


def extract_endpoints(directory: Path) -> list[Endpoint]:
    """Return the endpoints of the project in ``directory``; empty if there are none or none can be read."""
    return list(extract(directory).endpoints)


def find_apps(sources: Sources) -> list[FoundApp]:
    """Return the project's applications of every framework, the one to run first; empty if there are none."""
    found: list[FoundApp] = []
    with without_collector():
        for reader in _READERS:
            with contextlib.suppress(OutOfBudget):
                found += reader(sources, Budget())
        ranked = rank_apps(sources, found)
    return [app for app in ranked if not is_shadowed(sources, app.target)] or ranked


def is_shadowed(sources: Sources, target: AppTarget) -> bool:
    """Return whether Python imports a package in place of the target's file: ``app/`` hides ``app.py`` beside it."""
    folder = target.file.removesuffix(".py")
    return target.file.endswith(".py") and sources.has_file(f"{folder}/__init__.py")


def find_app(directory: Path) -> AppTarget | None:
    """Return the application that the server should run; None if there is none."""
    found = find_apps(Sources(directory))
    return found[0].target if found else None


def missing_files(directory: Path) -> list[str]:
    """Return the files that would make the project launchable; empty if it has an application."""
    return [] if find_app(directory) is not None else ["main.py"]


def extract(directory: Path) -> Extraction:
    """Return the endpoints, the application and the files that could not be read.

    Args:
        directory: The project's folder. At most 20,000 files of 1 MiB, 32 MiB in total, are read.
    """
    sources = Sources(directory)
    endpoints = Found()
    target: AppTarget | None = None
    with without_collector():
        try:
            apps = find_apps(sources)
            if apps:
                target = apps[0].target
                apps[0].list_endpoints(endpoints)
            else:
                _list_loose(sources, endpoints)
        except OutOfBudget:
            endpoints.say(TOO_LARGE)
        if target is None and not endpoints:
            for sentence in (*name_unread(sources), *find_unread_servers(sources)):
                endpoints.say(sentence)
    unread = tuple(map(_without_halves, endpoints.unread))
    for socket in _find_socket_io(sources):
        endpoints.sockets.setdefault(socket.path, socket)
    sockets = tuple(map(_sayable, endpoints.sockets.values()))
    return Extraction(tuple(map(_sayable, endpoints.values())), unread, sockets, sources.skipped, target)


# Its imports, in Python and JavaScript.
_SOCKET_IO = re.compile(rb"""^\s*(?:import|from)\s+(?:flask_)?socketio\b|["']socket\.io["']""", re.MULTILINE)


def _find_socket_io(sources: Sources) -> list[SocketEndpoint]:
    """Return the path of Socket.IO, if a file imports its server. Its events are not read."""
    for file in sources.names:
        text = sources.text(file)
        found = _SOCKET_IO.search(text) if b"socket" in text else None
        if found is not None:
            line = text.count(b"\n", 0, found.end()) + 1
            return [SocketEndpoint("/socket.io/", "Needs a client of Socket.IO", "socket.io", file, line)]
    return []


_T = TypeVar("_T", Endpoint, SocketEndpoint)


def _sayable(endpoint: _T) -> _T:
    """Return the endpoint with valid text; a source may contain half of a surrogate pair."""
    return type(endpoint)(**{name: _without_halves(getattr(endpoint, name)) for name in endpoint.__slots__})


def _without_halves(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_without_halves(key): _without_halves(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_without_halves(one) for one in value)
    return value


def _list_loose(sources: Sources, endpoints: Found) -> None:
    """Add the routes of routers that belong to no application."""
    evaluator = PythonEvaluator(sources, ".", Budget(), FastAPIFramework())
    files = [name for name in sources.names if b"APIRouter" in sources.text(name)]
    routers: dict[int, Router] = {}
    for file in files[:_MAX_LOOSE_FILES]:
        values = evaluator.load(file).scope.names.values()
        routers |= {id(value): value for value in values if isinstance(value, Router)}
    included = {id(item.child) for router in routers.values() for item in router.items if isinstance(item, Include)}
    for key, router in routers.items():
        if key not in included:
            list_endpoints(router, evaluator, endpoints)


# The most telling name first. Any prefix (/api/v1) may precede the name; the shortest path wins.
_HEALTH_NAMES = ("health", "healthz", "healthcheck", "health-check", "health_check", "readyz", "livez", "ready", "ping")


def find_health_path(endpoints: Sequence[Endpoint]) -> str | None:
    """Return the path of the health check: a GET without parameters, or None."""
    paths = [item.path for item in endpoints if item.method == "GET" and "{" not in item.path]
    for names in (_HEALTH_NAMES, ("status",)):
        found = [(path.count("/"), names.index(last), path) for path in paths if (last := _last(path)) in names]
        if found:
            return min(found)[2]
    return None


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2].lower()
