"""The FastAPI and Starlette applications of a project."""

from __future__ import annotations

from preview.endpoints.budget import Budget
from preview.endpoints.fastapi.extract import list_endpoints
from preview.endpoints.fastapi.registration import FastAPIFramework
from preview.endpoints.fastapi.routes import Router
from preview.endpoints.model import Found, FoundApp
from preview.endpoints.python import Interpreter, Kind, Native, find_python_apps
from preview.sources import Sources


def find_fastapi_apps(sources: Sources, budget: Budget) -> list[FoundApp]:
    """The project's applications, the likeliest first."""
    return find_python_apps(sources, budget, _KIND)


def _is_app(value: object) -> bool:
    return isinstance(value, Router) and value.is_app


def _list(app: Native, interpreter: Interpreter, found: Found) -> None:
    if isinstance(app, Router):
        list_endpoints(app, interpreter, found)


_KIND = Kind("fastapi", "FastAPI", (b"FastAPI", b"Starlette"), FastAPIFramework, _is_app, _list)
