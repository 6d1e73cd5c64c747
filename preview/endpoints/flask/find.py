"""The Flask applications of a project."""

from __future__ import annotations

from preview.endpoints.budget import Budget
from preview.endpoints.flask.extract import list_endpoints
from preview.endpoints.flask.framework import FlaskFramework
from preview.endpoints.flask.registry import Registry
from preview.endpoints.model import Found, FoundApp
from preview.endpoints.python import Interpreter, Kind, Native, find_python_apps
from preview.sources import Sources


def find_flask_apps(sources: Sources, budget: Budget) -> list[FoundApp]:
    """The project's applications, the likeliest first."""
    return find_python_apps(sources, budget, _KIND)


def _is_app(value: object) -> bool:
    return isinstance(value, Registry) and value.is_app


def _list(app: Native, interpreter: Interpreter, found: Found) -> None:
    if isinstance(app, Registry):
        list_endpoints(app, interpreter, found)


_KIND = Kind("flask", "Flask", (b"Flask",), FlaskFramework, _is_app, _list)
