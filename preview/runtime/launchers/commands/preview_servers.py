"""Wraps the application of each web server that a start command runs, so that its requests are reported.

A server's module is changed right after its import, and only there where it keeps its application. So the project's own
code, and the server's, stay as they are. Printed lines are attributed to requests too (``preview_requests``).

Runs in the child, on the project's own interpreter: standard library only.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from contextlib import suppress
from typing import Any

from preview_channel import SharedChannel, open_channel  # type: ignore[import-not-found]

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  loads no further module
_LAUNCHERS = os.path.dirname(_HERE)  # noqa: PTH120  as above
_OWN = "preview_reported"
# ``DEVICE:INODE`` of the log.
_LOG = "PREVIEW_STDERR"
# By module: class, the method that gets the application, the attribute that keeps it, and its interface.
_SERVERS: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "cheroot.wsgi": (("Server", "__init__", "wsgi_app", "wsgi"),),
    "daphne.server": (("Server", "__init__", "application", "asgi"),),
    "eventlet.wsgi": (("Server", "__init__", "app", "wsgi"),),
    "gevent.pywsgi": (("WSGIServer", "__init__", "application", "wsgi"),),
    "gunicorn.workers.base": (("Worker", "load_wsgi", "wsgi", "wsgi"),),
    "hypercorn.app_wrappers": (
        ("ASGIWrapper", "__init__", "app", "asgi"),
        ("WSGIWrapper", "__init__", "app", "wsgi"),
    ),
    "uvicorn.config": (("Config", "load", "loaded_app", "asgi"),),
    "waitress.server": (("BaseWSGIServer", "__init__", "application", "wsgi"),),
    "werkzeug.serving": (("BaseWSGIServer", "__init__", "app", "wsgi"),),
    # Django's runserver too.
    "wsgiref.simple_server": (("WSGIServer", "set_app", "application", "wsgi"),),
}

# In ``preview_frameworks``, which is loaded for these modules only.
_FRAMEWORKS = ("aiohttp.web_app", "http.server", "sanic.server.protocols.http_protocol", "tornado.web")
_SPAWNING = "multiprocessing.util"


def watch_servers() -> None:
    """Report the requests of the servers that this process will run, over the inherited channel if there is one."""
    requests = _load("preview_requests")
    channel = open_channel(requests.Reports)
    if channel is None:
        return
    requests.mark_output(os.environ.get(_LOG, ""))
    if os.environ.get("PREVIEW_TRACE") == "1":
        with suppress(Exception):
            tracing = os.path.join(_LAUNCHERS, "tracing")  # noqa: PTH118  loads no further module
            channel.tracer = _load("preview_trace", tracing).start(channel.send)
    sys.meta_path.insert(0, _Hook(channel))
    if _SPAWNING in sys.modules:
        _pass_on(sys.modules[_SPAWNING], channel)


class _Hook:
    """Changes the modules of servers right after their import."""

    def __init__(self, channel: SharedChannel) -> None:
        self._channel = channel

    def find_spec(self, name: str, path: Any = None, _target: Any = None) -> Any:
        if name not in _SERVERS and name not in _FRAMEWORKS and name != _SPAWNING:
            return None
        from importlib.machinery import PathFinder  # noqa: PLC0415  only for servers

        spec = PathFinder.find_spec(name, path)
        loader: Any = None if spec is None else spec.loader
        if loader is None:
            return None
        execute = loader.exec_module

        def execute_and_change(module: Any) -> None:
            execute(module)
            with suppress(Exception):
                self._change(module, name)

        loader.exec_module = execute_and_change
        return spec

    def _change(self, module: Any, name: str) -> None:
        if name == _SPAWNING:
            _pass_on(module, self._channel)
            return
        requests = _load("preview_requests")
        # The program may have replaced a stream.
        requests.mark_output(os.environ.get(_LOG, ""))
        if name in _FRAMEWORKS:
            _load("preview_frameworks", _HERE).WATCHED[name](module, requests, self._channel)
        for class_name, method, attribute, interface in _SERVERS.get(name, ()):
            owner = getattr(module, class_name, None)
            if owner is not None:
                _wrap_after(owner, method, attribute, interface, self._channel)
        self._channel.offer()


def _wrap_after(owner: Any, method: str, attribute: str, interface: str, channel: SharedChannel) -> None:
    """Wrap the application in this attribute of each object, after the method that sets it."""
    original = getattr(owner, method)

    def set_and_wrap(self: Any, *given: Any, **named: Any) -> Any:
        result = original(self, *given, **named)
        with suppress(Exception):
            application = getattr(self, attribute, None)
            is_gunicorn_asgi = method == "load_wsgi" and not _serves_wsgi(self)
            if callable(application) and not hasattr(application, _OWN) and not is_gunicorn_asgi:
                wrap = _load("preview_asgi").watched if interface == "asgi" else watched
                wrapped = wrap(application, channel)
                setattr(wrapped, _OWN, True)
                setattr(self, attribute, wrapped)
        return result

    setattr(owner, method, set_and_wrap)


def _serves_wsgi(worker: Any) -> bool:
    name = type(worker).__module__
    return name.startswith("gunicorn.workers.") and "asgi" not in name


def watched(application: Any, channel: Any) -> Any:
    """Return the WSGI application, wrapped so that its requests are reported and their lines attributed."""
    requests, wsgi = _load("preview_requests"), _load("preview_wsgi")
    target_of = wsgi.target_of

    def answer(environ: Any, start_response: Any) -> Any:
        reports = channel.reports
        given, agent = environ.get("HTTP_X_REQUEST_ID", ""), environ.get("HTTP_USER_AGENT", "")
        name = "" if reports is None else reports.name(given, agent)
        request = requests.open_request(name) if name else requests.open_wsgi_request(environ)
        # Applications may change the environment.
        method, target = environ.get("REQUEST_METHOD", "GET"), target_of(environ) if name else b""
        active = None if channel.tracer is None else wsgi.begin_trace(channel.tracer, environ)
        began, status = time.perf_counter(), 0

        def start(line: Any, *more: Any) -> Any:
            nonlocal status
            status = int(line[:3]) if line[:3].isdigit() else 0
            return start_response(line, *more)

        def end() -> None:
            if active is not None:
                active.end(status)
            if request is not None:
                request.close()
            if name:
                reports.report(name, method, target, status, time.perf_counter() - began)

        try:
            parts = application(environ, start)
        except BaseException:
            # Servers answer with this status.
            status = 500
            end()
            raise
        if isinstance(parts, (list, tuple)):
            # Servers look at the length to know that of the whole content.
            end()
            return parts
        return _Parts(parts, end)

    return answer


class _Parts:
    """The parts of a WSGI response; ``end`` is called once, after the last one."""

    def __init__(self, parts: Any, end: Any) -> None:
        self._parts = parts
        self._iterator: Any = None
        self._end = end

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        if self._iterator is None:
            self._iterator = iter(self._parts)
        try:
            return next(self._iterator)
        except BaseException:
            self._finish()
            raise

    def close(self) -> None:
        try:
            if hasattr(self._parts, "close"):
                self._parts.close()
        finally:
            self._finish()

    def _finish(self) -> None:
        end, self._end = self._end, _nothing
        end()


def _nothing() -> None:
    """Do nothing."""


def _pass_on(module: Any, channel: SharedChannel) -> None:
    """Let processes inherit the channel that ``multiprocessing`` spawns, such as uvicorn's workers."""
    original = module.spawnv_passfds

    def start(path: Any, arguments: Any, descriptors: Any) -> Any:
        kept = {*descriptors, channel.descriptor} if channel.is_open else descriptors
        return original(path, arguments, tuple(kept))

    module.spawnv_passfds = start


def _load(name: str, folder: str = _LAUNCHERS) -> Any:
    """Import a module of the launchers' folders, which are not on the path."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, os.path.join(folder, name + ".py"))  # noqa: PTH118
        if spec is None or spec.loader is None:
            raise ImportError(name)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]
