"""Network access of one build: a listening socket in the build's network, served by the proxy from outside."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import trio

from preview.environments.way_out.allowed import AllowedHosts
from preview.environments.way_out.connecting import Connector, LookUp, look_up
from preview.environments.way_out.forward_proxy import ForwardProxy
from preview.runtime.sandbox import accept_all, open_handout

PORT: Final = 3128
"""Port of the proxy on the loopback interface of the build's own network."""
# uv opens 50 connections, npm 15. Further ones wait in the kernel's queue.
_MOST_CONNECTIONS: Final = 64
# Pause between two connections: 500 a second are more than an installer opens, and a low load for the service.
_PACE_S: Final = 0.002
_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@dataclass(frozen=True, slots=True)
class WayOut:
    """Network access of one program.

    Attributes:
        handed_out: The program's end of the socket over which ``bridge.py`` passes the listening socket to the service.
    """

    handed_out: socket.socket
    proxy: ForwardProxy


def make_build_proxy(allowed: AllowedHosts, look_up: LookUp = look_up) -> ForwardProxy:
    """Return the proxy of one build; it connects to these hosts alone."""
    return ForwardProxy(Connector(allowed, look_up))


@asynccontextmanager
async def open_way_out(allowed: AllowedHosts, look_up: LookUp = look_up) -> AsyncIterator[WayOut]:
    """Serve a program until the context ends.

    Raises:
        OSError: No file descriptor is free.

    Cancellation: all connections are closed.
    """
    proxy = make_build_proxy(allowed, look_up)
    limiter = trio.CapacityLimiter(_MOST_CONNECTIONS)

    async def serve(listener: socket.socket, _port: int) -> None:
        await accept_all(listener, proxy.serve, limiter, pace_s=_PACE_S)

    async with open_handout([PORT], serve) as handed_out:
        yield WayOut(handed_out, proxy)


def way_out_variables() -> dict[str, str]:
    """Return variables that point programs to the proxy and override the operator's own settings."""
    address = f"http://127.0.0.1:{PORT}"
    variables = dict.fromkeys(_PROXIES, address)
    # npm's settings files may name another proxy; these variables override them.
    variables |= {"npm_config_proxy": address, "npm_config_https_proxy": address, "npm_config_noproxy": ""}
    # For Node's own http and fetch in install scripts (Node 22.21, 24.5).
    return {**variables, "NODE_USE_ENV_PROXY": "1", "NO_PROXY": "", "no_proxy": ""}
