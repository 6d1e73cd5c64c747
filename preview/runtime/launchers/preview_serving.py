"""What the Python launchers share: finding the application, and serving it by WSGI on the inherited socket.

Runs in the child, on the project's own interpreter: the standard library, waitress, and nothing else.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["become_main", "load_application", "say", "serve_wsgi"]

# Enough for a page with its pictures and a few streams; each is a thread, started only once.
_THREADS = 16
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), 127, ord('"'))}


def say(sentence: str) -> None:
    """One line for the preview's log."""
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()


def become_main(app_dir: str, target: str) -> None:
    """Let imports count from ``app_dir``, not from this file's own folder; SIGTERM ends in good order."""
    # Found beside this file, like this file itself.
    from preview_aged import give_back  # type: ignore[import-not-found]  # noqa: PLC0415

    give_back(say)
    sys.path[0] = app_dir
    sys.argv = [f"{app_dir}/{target}"]
    # A module that starts a server while it is imported would never be left: Flask is told not to.
    os.environ["FLASK_RUN_FROM_CLI"] = "true"
    signal.signal(signal.SIGTERM, _end)


def _end(*_: object) -> None:
    raise SystemExit(0)


def load_application(target: str, *, factory: bool) -> Any:
    """The object that ``module:attribute`` names, or what it returns where it is a factory."""
    module_name, _, attributes = target.partition(":")
    found: Any = importlib.import_module(module_name)
    for name in attributes.split("."):
        if not hasattr(found, name):
            raise SystemExit(f"The module {module_name!r} has no {attributes!r} to serve: name another in preview.toml")
        found = getattr(found, name)
    return found() if factory else found


def serve_wsgi(application: Any, descriptor: int) -> None:
    """Serve until SIGTERM; each request is one line of the log."""
    waitress = importlib.import_module("waitress")
    # It warns of each request that waits for a thread, be it for a millisecond.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    server = waitress.create_server(
        _logged(application), sockets=[socket.socket(fileno=descriptor)], threads=_THREADS, ident=None
    )
    server.run()


def _logged(application: Any) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        started = time.perf_counter()

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            took_ms = (time.perf_counter() - started) * 1000
            sys.stdout.write(_line(environ, status, took_ms) + "\n")
            sys.stdout.flush()
            return start_response(status, headers, exc_info)

        answered: Iterable[bytes] = application(environ, start)
        return answered

    return answer


def _line(environ: dict[str, Any], status: str, took_ms: float) -> str:
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    if environ.get("QUERY_STRING"):
        path += "?" + environ["QUERY_STRING"]
    # WSGI's text is bytes in disguise (PEP 3333); what could forge a line is shown as hex.
    shown = path.encode("latin-1", "replace").decode("utf-8", "replace").translate(_CONTROL).replace(" ", "%20")
    request = f"{environ.get('REQUEST_METHOD')} {shown} {environ.get('SERVER_PROTOCOL')}"
    return f'{environ.get("REMOTE_ADDR", "-")} - "{request}" {status} ({took_ms:.0f} ms)'
