"""Makes uvicorn report that it serves, and release the socket without losing a request.

Runs in the child, on the project's own interpreter, with the project's version of uvicorn.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from contextlib import suppress
from typing import Any

_LOOK_S = 0.01
_TURNS = 5


def hand_over(uvicorn: Any, descriptor: int, control: Any, silent_s: float) -> None:
    """Connect uvicorn's server on this descriptor to the control channel; call it before ``uvicorn.run``.

    Args:
        uvicorn: The package.
        descriptor: Number of the inherited socket. Other servers that the application starts are not changed.
        control: The channel, see ``preview_control.Control``.
        silent_s: Seconds for which idle connections are kept open during a drain.
    """
    load, startup = uvicorn.Config.load, uvicorn.Server.startup

    def load_closing(config: Any) -> None:
        load(config)
        if config.fd == descriptor:
            control.application = config.loaded_app
            config.loaded_app = watched(_closing(config.loaded_app, control), control)

    async def start(server: Any, *arguments: Any, **named: Any) -> None:
        await startup(server, *arguments, **named)
        if server.config.fd == descriptor and not server.should_exit:
            _obey(server, control, silent_s)

    uvicorn.Config.load, uvicorn.Server.startup = load_closing, start


def serving_options(uvicorn: Any, descriptor: int) -> dict[str, Any]:
    """Return options of ``uvicorn.run``: the socket, and what older releases need.

    Releases before 0.12 get no event loop of newer releases of uvloop; those before 0.13 have no ``factory``.
    """
    # The output is a pipe, but is shown like a terminal, so colours are wanted.
    options: dict[str, Any] = {"fd": descriptor, "use_colors": True}
    return options if has_factory(uvicorn) else {**options, "loop": "asyncio"}


def has_factory(uvicorn: Any) -> bool:
    """Return whether uvicorn calls factories itself."""
    return "factory" in inspect.signature(uvicorn.Config.__init__).parameters


def watched(application: Any, control: Any) -> Any:
    """Return the application, wrapped so that printed lines are attributed to requests, and requests are reported."""
    # The module is in this file's folder.
    from preview_requests import open_asgi_request, open_request, read_asgi_request  # type: ignore[import-not-found]  # noqa: PLC0415

    served = application if control.tracer is None else _traced(application, control.tracer)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await application(scope, receive, send)
            return
        reports = control.reports
        name = "" if reports is None else reports.name(*read_asgi_request(scope))
        # uvicorn's own lines about access and errors are written in the same task.
        request = open_request(name) if name else open_asgi_request(scope)
        try:
            if name:
                await _reported(served, reports, name, scope, receive, send)
            else:
                await served(scope, receive, send)
        finally:
            if request is not None:
                request.close()

    return answer


def _traced(application: Any, tracer: Any) -> Any:
    """Return the application, wrapped so that each HTTP request is a span, and what happens in it too."""
    from preview_trace import route_of  # type: ignore[import-not-found]  # noqa: PLC0415  the tracer has loaded it

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        active = _begin(scope, tracer)
        if active is None:
            await application(scope, receive, send)
            return
        status, error = 0, ""

        async def noting(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await application(scope, receive, noting)
        except BaseException as raised:
            # uvicorn answers with this status.
            status, error = status or 500, type(raised).__name__
            raise
        finally:
            active.end(status, error, route_of(scope))

    return answer


def _begin(scope: Any, tracer: Any) -> Any:
    if scope["type"] != "http":
        return None
    wanted = {b"traceparent": "", b"x-request-id": "", b"user-agent": ""}
    for name, value in scope.get("headers", ()):
        if name in wanted:
            wanted[name] = value.decode("latin-1")
    return tracer.begin(scope.get("method", "GET"), scope.get("path", ""), *wanted.values())


async def _reported(application: Any, reports: Any, name: str, scope: Any, receive: Any, send: Any) -> None:
    """Answer a request, and report it when it is over."""
    began, status = time.perf_counter(), 0

    async def noting(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "websocket.accept":
            status = 101
        await send(message)

    try:
        await application(scope, receive, noting)
    except Exception:
        # uvicorn answers with this status.
        status = status or 500
        raise
    finally:
        query = scope.get("query_string", b"")
        path = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
        target = path + b"?" + query if query else path
        reports.report(name, scope.get("method", "GET"), target, status, time.perf_counter() - began)


def _closing(application: Any, control: Any) -> Any:
    """Return the application, wrapped so that each response during a drain closes its connection (RFC 9112, 9.6)."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        async def send_closing(message: Any) -> None:
            if control.draining and message["type"] == "http.response.start":
                kept = [(name, value) for name, value in message.get("headers", ()) if name.lower() != b"connection"]
                message = {**message, "headers": [*kept, (b"connection", b"close")]}
            await send(message)

        await application(scope, receive, send_closing if scope["type"] == "http" else send)

    return answer


def _obey(server: Any, control: Any, silent_s: float) -> None:
    loop = asyncio.get_running_loop()
    # The loop keeps only a weak reference to a task.
    tasks: list[Any] = []

    def heard() -> None:
        if not control.hear() or control.draining:
            loop.remove_reader(control.fileno())
        if control.draining and not tasks:
            tasks.append(loop.create_task(_drain(server, control, silent_s)))

    if control.fileno() >= 0:
        loop.add_reader(control.fileno(), heard)
    from preview_aged import take_old_templates  # type: ignore[import-not-found]  # noqa: PLC0415
    from preview_serving import say, stop_watching  # type: ignore[import-not-found]  # noqa: PLC0415

    stop_watching()
    take_old_templates(say)
    control.tell("ready")


async def _drain(server: Any, control: Any, silent_s: float) -> None:
    """Stop accepting, answer accepted requests, then end as after SIGTERM. The service limits the time."""
    # asyncio drops an accepted connection if the server is closed before the loop's next iteration: the transport
    # cannot be made, because the server has no sockets by then.
    for one in server.servers:
        for listening in one.sockets:
            _stop_accepting(listening)
    await _turn()
    for one in server.servers:
        one.close()
    control.tell("closed")
    state = server.server_state
    silent_until = asyncio.get_running_loop().time() + silent_s
    while True:
        await asyncio.sleep(_LOOK_S)
        # A connection accepted last gets its transport within a few iterations of the loop, however long they take.
        await _turn()
        if asyncio.get_running_loop().time() >= silent_until:
            for connection in list(state.connections):
                if _is_idle(connection, control):
                    connection.shutdown()
        if not state.connections and not state.tasks:
            break
    control.tell("drained")
    server.should_exit = True


def _stop_accepting(listening: Any) -> None:
    # Other event loops have no reader here, or do not remove it; they make the transport at once.
    with suppress(RuntimeError, NotImplementedError):
        asyncio.get_running_loop().remove_reader(listening.fileno())


async def _turn() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def _is_idle(connection: Any, control: Any) -> bool:
    """Return whether no request is active or arriving. A WebSocket has no ``cycle``, and is never idle."""
    if not hasattr(connection, "cycle") or connection.transport is None:
        return False
    if connection.cycle is not None and not connection.cycle.response_complete:
        return False
    descriptor = connection.transport.get_extra_info("socket").fileno()
    return descriptor >= 0 and not control.has_more(descriptor)
