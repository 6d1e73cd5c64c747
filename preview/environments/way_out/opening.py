"""Opening a build's way out: a listening socket in its network, and the proxy that serves it from outside."""

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
"""Where the proxy is, on the loopback interface of a build's own network."""
# uv opens 50, npm 15. One more waits in the kernel's queue.
_MOST_CONNECTIONS: Final = 64
# Between two connections: 500 a second, more than an installer makes, and no load for the service.
_PACE_S: Final = 0.002
_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@dataclass(frozen=True, slots=True)
class WayOut:
    """One program's.

    Attributes:
        handed_out: The program's side of the socket through which ``bridge.py`` hands the listening one out.
    """

    handed_out: socket.socket
    proxy: ForwardProxy


@asynccontextmanager
async def open_way_out(allowed: AllowedHosts, look_up: LookUp = look_up) -> AsyncIterator[WayOut]:
    """Serve a program until the context is left.

    Raises:
        OSError: No descriptor is left.

    Cancellation: every connection is closed.
    """
    proxy = ForwardProxy(Connector(allowed, look_up))
    limiter = trio.CapacityLimiter(_MOST_CONNECTIONS)

    async def serve(listener: socket.socket, _port: int) -> None:
        await accept_all(listener, proxy.serve, limiter, pace_s=_PACE_S)

    async with open_handout([PORT], serve) as handed_out:
        yield WayOut(handed_out, proxy)


def way_out_variables() -> dict[str, str]:
    """Return variables that lead programs to the proxy, whatever the operator's own settings are."""
    address = f"http://127.0.0.1:{PORT}"
    variables = dict.fromkeys(_PROXIES, address)
    # npm's settings files may name another proxy; its variables win over these.
    variables |= {"npm_config_proxy": address, "npm_config_https_proxy": address, "npm_config_noproxy": ""}
    # Node's own http and fetch, in install scripts (Node 22.21, 24.5).
    return {**variables, "NODE_USE_ENV_PROXY": "1", "NO_PROXY": "", "no_proxy": ""}
