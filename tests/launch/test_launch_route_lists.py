"""The launcher's list of routes: whatever objects an application consists of, it ends and has a bound."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from preview.runtime.launchers import LAUNCHERS

UNKNOWN = ["?\ts/"]


@pytest.fixture
def list_routes(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], list[str]]:
    """The launcher's own function; its folder is on the path as in a child."""
    monkeypatch.syspath_prepend(str(LAUNCHERS))
    found: Callable[[object], list[str]] = importlib.import_module("preview_routes").list_routes
    return found


class Raises:
    """Raises at any look."""

    def __getattr__(self, name: str) -> Any:
        raise SystemExit(name)


class Wrapper:
    """A middleware that keeps what it wraps in each of the usual attributes."""

    def __init__(self, inner: object) -> None:
        self.app = self.application = self.wsgi_app = self.inner = inner

    def __call__(self) -> None: ...


def small() -> FastAPI:
    app = FastAPI(openapi_url=None)
    app.get("/a")(lambda: "")
    return app


@pytest.mark.parametrize("application", [None, 3, object(), Raises(), print, lambda: None], ids=range(6))
def test_what_is_no_known_application_is_unknown(
    list_routes: Callable[[object], list[str]], application: object
) -> None:
    assert list_routes(application) == UNKNOWN


def test_wrappers_that_contain_each_other_end(list_routes: Callable[[object], list[str]]) -> None:
    wrapper = Wrapper(None)
    wrapper.app = wrapper.application = Wrapper(wrapper)
    began = time.process_time()
    assert list_routes(wrapper) == UNKNOWN
    assert time.process_time() - began < 1


def test_applications_that_mount_each_other_end(list_routes: Callable[[object], list[str]]) -> None:
    app = Starlette(routes=[Route("/a", lambda request: None)])
    for number in range(5):
        app.mount(f"/m{number}", app)
    began = time.process_time()
    lines = list_routes(app)
    assert time.process_time() - began < 4
    assert lines[0] == "GET\ts/a"
    assert lines[-1] == "?\ts/"


def test_a_table_has_a_bound_and_says_that_it_ends(list_routes: Callable[[object], list[str]]) -> None:
    many = Starlette(routes=[Route(f"/{number}", lambda request: None) for number in range(11_000)])
    long = Starlette(routes=[Route(f"/{number}{'a' * 1000}", lambda request: None) for number in range(2_000)])
    for app in (many, long):
        lines = list_routes(app)
        assert len(lines) <= 10_000
        assert sum(len(line) + 30 for line in lines) < 1_000_000
        assert lines[-1] == "?\ts/"


def test_a_path_that_is_not_one_line_is_left_out(list_routes: Callable[[object], list[str]]) -> None:
    paths = ["/a\nroutes 1", "/b" + "b" * 5_000, "/c\tx", "/ok\ud800"]
    lines = list_routes(Starlette(routes=[Route(path, lambda request: None) for path in paths]))
    assert [line.split("\t")[1][:3] for line in lines] == ["s/c", "s/o"]


def closure(app: Callable[[object], object]) -> object:
    return lambda scope: (app(scope), scope)


@pytest.mark.parametrize("wrap", [Wrapper, CORSMiddleware, closure])
def test_a_wrapped_application_is_found(
    list_routes: Callable[[object], list[str]], wrap: Callable[[Any], object]
) -> None:
    assert list_routes(wrap(small())) == ["GET\ts/a"]


class _Route:
    def __init__(self, pattern: str, module: str = "main") -> None:
        self.mustache_pattern = pattern
        self.handler = lambda: None
        self.handler.__module__ = module


class Router:
    def __init__(self, *routes: tuple[str, str], inner: tuple[Router, ...] = (), module: str = "main") -> None:
        self._sub_routers = inner
        self._pairs = [(method, _Route(path, module)) for method, path in routes]

    def iter_with_methods(self) -> list[tuple[str, _Route]]:
        return self._pairs


def blacksheep(router: Router, **mounted: object) -> Any:
    mounts = [type("Route", (), {"pattern": f"{path}/*".encode(), "handler": app}) for path, app in mounted.items()]
    names = {"__module__": "blacksheep.server.application", "router": router}
    registry = type("MountRegistry", (), {"mounted_apps": mounts})
    return type("Application", (), {**names, "mount_registry": registry, "__call__": lambda *_: None})()


def test_blacksheep_has_the_routes_of_inner_routers_and_mounted_applications(
    list_routes: Callable[[object], list[str]],
) -> None:
    inner = Router(("POST", "/cars"), ("GET", "/files/*"), ("GET_WS", "/live"))
    admin = blacksheep(Router(("GET", "/"), ("PUT", "/users/{id}")))
    app = blacksheep(Router(("GET", "/"), inner=(inner,)), admin=admin, other=print)
    routes = ["GET\ts/", "GET\ts/admin\ts/", "GET\ts/files/{tail}", "POST\ts/cars", "PUT\ts/admin\ts/users/{id}"]
    assert sorted(list_routes(app)) == ["?\ts/other", *routes]


def test_blacksheep_s_own_pages_are_no_routes(list_routes: Callable[[object], list[str]]) -> None:
    own = [Router(("GET", "/docs"), module=f"blacksheep.server.{name}") for name in ("openapi.v3", "files.dynamic")]
    assert list_routes(blacksheep(Router(("GET", "/a"), inner=(*own,)))) == ["GET\ts/a"]
