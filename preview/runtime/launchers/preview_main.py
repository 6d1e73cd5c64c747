"""Runs a project's file as ``python FILE`` would, without the servers that it starts.

``python preview_main.py FILE`` or ``python preview_main.py -m MODULE``

Many applications make their tables under ``if __name__ == "__main__":``, just before they start a server. A launcher
imports the file, so that block never runs. Here it does: functions that start a server return at once, and a server
that is not known ends the run where it would listen.

Runs in the child, on the project's own interpreter: standard library only.
"""

from __future__ import annotations

import atexit
import importlib.abc
import importlib.util
import inspect
import os
import runpy
import signal
import socket
import sys
import time
import traceback
from typing import Any

# Without the time of waiting for a processor: on a loaded machine, imports alone may take longer.
_LIMIT_S = 30.0
# For exit functions. Some wait for threads or processes that never end.
_EXIT_S = 5.0
# A handler's exception may be caught by the project's code, so the signal is repeated.
_AGAIN_S = 1.0
_started_s = time.monotonic()
# Functions and methods that start a server, by the module that defines them.
_SERVERS = {
    "aiohttp.web": ("run_app",),
    "bottle": ("run",),
    "cheroot.server": ("HTTPServer.start", "HTTPServer.safe_start", "HTTPServer.serve"),
    "cherrypy": ("quickstart",),
    "connexion.apps.abstract": ("AbstractApp.run",),
    "dash.dash": ("Dash.run", "Dash.run_server"),
    "eventlet.convenience": ("listen",),
    "eventlet.wsgi": ("server",),
    "flask.app": ("Flask.run",),
    "flask_script": ("Manager.run",),
    "flask_socketio": ("SocketIO.run",),
    "gevent.baseserver": ("BaseServer.start", "BaseServer.serve_forever"),
    "granian.server": ("Granian.serve",),
    "gunicorn.app.base": ("BaseApplication.run", "Application.run"),
    "hypercorn.asyncio": ("serve",),
    "hypercorn.run": ("run",),
    "hypercorn.trio": ("serve",),
    "livereload.server": ("Server.serve",),
    "quart.app": ("Quart.run", "Quart.run_task"),
    "sanic.mixins.startup": ("StartupMixin.run", "StartupMixin.serve"),
    "socketserver": ("BaseServer.serve_forever",),
    "tornado.ioloop": ("IOLoop.start",),
    "tornado.platform.asyncio": ("BaseAsyncIOLoop.start",),
    "uvicorn.main": ("run", "Server.run", "Server.serve"),
    "uvicorn.server": ("Server.run", "Server.serve"),
    "waitress": ("serve",),
    "webbrowser": ("open", "open_new", "open_new_tab"),
    "werkzeug.serving": ("run_simple",),
}


class _Left(BaseException):
    """Ends the run from within the project's code."""


class _Hook(importlib.abc.MetaPathFinder):
    """Replaces the functions that start a server in each module right after its import."""

    def __init__(self) -> None:
        self._asked = ""

    def find_spec(self, name: str, *_: Any) -> Any:
        if name not in _SERVERS or name == self._asked:
            return None
        self._asked = name
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._asked = ""
        loader: Any = None if spec is None else spec.loader
        if loader is not None and hasattr(loader, "exec_module"):
            execute = loader.exec_module

            def execute_and_replace(module: Any) -> None:
                execute(module)
                _replace_in(module, name)

            loader.exec_module = execute_and_replace
        return spec


def _replace_in(module: Any, name: str) -> None:
    for path in _SERVERS[name]:
        *outer, last = path.split(".")
        owner = module
        for part in outer:
            owner = getattr(owner, part, None)
        original = getattr(owner, last, None)
        if original is not None:
            setattr(owner, last, _ignored(original))


def _ignored(original: Any) -> Any:
    async def return_later(*_: object, **__: object) -> None:
        pass

    def return_at_once(*_: object, **__: object) -> None:
        pass

    return return_later if inspect.iscoroutinefunction(original) else return_at_once


def _refuse_listening(*_: object) -> None:
    raise _Left


def _waited_s() -> float:
    """Return how many seconds the main thread has waited for a processor; 0 if the kernel does not count them."""
    try:
        # Nanoseconds of running, nanoseconds of waiting, turns (Documentation/scheduler/sched-stats.rst).
        with open("/proc/self/schedstat", encoding="ascii") as file:  # noqa: PTH123  a launcher imports little
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _end_late(*_: object) -> None:
    left_s = _started_s + _LIMIT_S + _waited_s() - time.monotonic()
    if left_s > 0:
        signal.setitimer(signal.ITIMER_REAL, left_s, _AGAIN_S)
        return
    sys.stderr.write(f"stopped: it did not finish within {_LIMIT_S:g} s, and no known server runs in it\n")
    raise SystemExit(1)


def run(arguments: list[str]) -> int:
    """Run the file or module to its end or to its server; return the exit status."""
    # The module is in this file's folder.
    from preview_aged import give_back  # type: ignore[import-not-found]  # noqa: PLC0415

    give_back(lambda sentence: sys.stderr.write(sentence + "\n"))
    sys.meta_path.insert(0, _Hook())
    for name in _SERVERS:
        if name in sys.modules:
            _replace_in(sys.modules[name], name)
    socket.socket.listen = _refuse_listening  # type: ignore[method-assign]
    signal.signal(signal.SIGALRM, _end_late)
    signal.setitimer(signal.ITIMER_REAL, _LIMIT_S, _AGAIN_S)
    status = 0
    try:
        if arguments[0] == "-m":
            sys.path[0] = os.getcwd()  # noqa: PTH109  compared as text
            sys.argv = [arguments[1]]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.path[0] = os.path.dirname(os.path.abspath(arguments[0]))  # noqa: PTH100, PTH120  compared as text
            sys.argv = [arguments[0]]
            runpy.run_path(arguments[0], run_name="__main__")
    # Otherwise the interpreter would wait for the project's threads.
    except BaseException as error:  # noqa: ASYNC103, BLE001
        status = _status_of(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return status


def _status_of(error: BaseException) -> int:
    """Return the exit status for what the file raised, and print that as Python would."""
    if _has_left(error):
        return 0
    if not isinstance(error, SystemExit):
        traceback.print_exception(type(error), error, error.__traceback__)
        return 1
    if error.code is None or isinstance(error.code, int):
        return int(error.code or 0) & 0xFF
    sys.stderr.write(f"{error.code}\n")
    return 1


def _has_left(error: BaseException) -> bool:
    """Return whether the run ended at a server; a group of tasks wraps the exception."""
    inner = getattr(error, "exceptions", None)
    return isinstance(error, _Left) or (isinstance(inner, (list, tuple)) and any(map(_has_left, inner)))


def main(arguments: list[str]) -> None:
    """Run the file, then end this process without waiting for threads that the project has started."""
    status = run(arguments)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(status))
    signal.setitimer(signal.ITIMER_REAL, _EXIT_S)
    try:
        atexit._run_exitfuncs()  # noqa: SLF001  the only way to run them before `os._exit`
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
