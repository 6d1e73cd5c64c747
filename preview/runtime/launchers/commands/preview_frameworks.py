"""Reports the requests of frameworks that serve without a separate application: aiohttp, Sanic, Tornado, http.server.

Runs in the child, on the project's own interpreter: standard library only.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import Any

_OWN = "_preview_watched"


class _Watched:
    """One request: its lines are attributed, and ``end`` reports it. Errors never reach the project.

    Args:
        requests: The module ``preview_requests``.
        channel: The channel, see ``SharedChannel``.
        describe: Returns headers (a mapping that ignores case), method, and path with query.
    """

    def __init__(self, requests: Any, channel: Any, describe: Any) -> None:
        self._report: Any = None
        self._request: Any = None
        with suppress(Exception):
            headers, method, target = describe()
            given, reports = headers.get("X-Request-Id") or "", channel.reports
            name = "" if reports is None else reports.name(given, headers.get("User-Agent") or "")
            self._request = requests.open_request(name or given)
            if name:
                self._report = partial(reports.report, name, method, target)
        self._began = time.perf_counter()

    def end(self, status: Any) -> None:
        with suppress(Exception):
            if self._request is not None:
                self._request.close()
            if self._report is not None:
                self._report(int(status), time.perf_counter() - self._began)


def watch_aiohttp(module: Any, requests: Any, channel: Any) -> None:
    """Watch ``aiohttp.web_app``."""
    handle = module.Application._handle  # noqa: SLF001  the one place that all requests pass

    async def handle_watched(self: Any, request: Any) -> Any:
        watched = _Watched(requests, channel, lambda: (request.headers, request.method, _encoded(request.raw_path)))
        status = 500
        try:
            response = await handle(self, request)
            status = response.status
        except Exception as error:
            # Its errors are responses too.
            status = getattr(error, "status", status)
            raise
        else:
            return response
        finally:
            watched.end(status)

    module.Application._handle = handle_watched  # noqa: SLF001  as above


def watch_sanic(module: Any, requests: Any, channel: Any) -> None:
    """Watch ``sanic.server.protocols.http_protocol``. Sanic compiles the application's own method again."""
    create = module.HttpProtocol.__init__

    def create_watched(self: Any, *given: Any, **named: Any) -> None:
        create(self, *given, **named)
        handle = self.request_handler

        async def handle_watched(request: Any, *more: Any, **others: Any) -> Any:
            watched = _Watched(requests, channel, lambda: (request.headers, request.method, bytes(request.raw_url)))
            try:
                return await handle(request, *more, **others)
            finally:
                response = getattr(getattr(request, "stream", None), "response", None)
                watched.end(getattr(response, "status", 0))

        self.request_handler = handle_watched

    module.HttpProtocol.__init__ = create_watched


def watch_tornado(module: Any, requests: Any, channel: Any) -> None:
    """Watch ``tornado.web``."""
    execute = module.RequestHandler._execute  # noqa: SLF001  the one place that all requests pass

    async def execute_watched(self: Any, *given: Any, **named: Any) -> Any:
        asked = self.request
        watched = _Watched(requests, channel, lambda: (asked.headers, asked.method, _encoded(asked.uri)))
        try:
            return await execute(self, *given, **named)
        finally:
            watched.end(self.get_status())

    module.RequestHandler._execute = execute_watched  # noqa: SLF001  as above


def watch_http_server(module: Any, requests: Any, channel: Any) -> None:
    """Watch ``http.server``, except where it serves WSGI: there the application is watched."""
    handler = module.BaseHTTPRequestHandler
    handle, parse, respond = handler.handle_one_request, handler.parse_request, handler.send_response_only

    def parse_watched(self: Any) -> Any:
        is_parsed = parse(self)
        # werkzeug's has the first one, wsgiref's the second.
        if is_parsed and not hasattr(self, "run_wsgi") and not hasattr(self, "get_environ"):
            watched = _Watched(requests, channel, lambda: (self.headers, self.command, _encoded(self.path)))
            setattr(self, _OWN, [watched, 0])
        return is_parsed

    def respond_watched(self: Any, code: Any, *more: Any) -> Any:
        if getattr(self, _OWN, None):
            getattr(self, _OWN)[1] = int(code)
        return respond(self, code, *more)

    def handle_watched(self: Any) -> Any:
        setattr(self, _OWN, None)
        try:
            return handle(self)
        finally:
            found = getattr(self, _OWN)
            if found:
                found[0].end(found[1])

    handler.handle_one_request, handler.parse_request = handle_watched, parse_watched
    handler.send_response_only = respond_watched


WATCHED = {
    "aiohttp.web_app": watch_aiohttp,
    "http.server": watch_http_server,
    "sanic.server.protocols.http_protocol": watch_sanic,
    "tornado.web": watch_tornado,
}


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")
