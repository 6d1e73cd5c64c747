"""The network of a build's steps: none, the engine's own, or a way out to package indexes alone.

For the last one, a container of the service stands beside the build. It has no network. The steps share its loopback
interface, on which the service's own proxy listens.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import trio

from preview.environments.sandbox.program import program_environment
from preview.environments.way_out.allowed import read_allowed
from preview.environments.way_out.opening import PORT, make_build_proxy, way_out_variables
from preview.errors import LaunchFailed
from preview.runtime import Limits, ProcessSpec
from preview.runtime.container import ContainerRuntime
from preview.settings import Settings

_MIB: Final = 1 << 20
_LIMITS: Final = Limits(64 * _MIB, 256, 16, _MIB, temp_bytes=_MIB)
# It starts once the socket of the proxy is passed on, and stays until it is killed.
_STAYS: Final = ("/bin/sh", "-c", "echo ready; while sleep 3600; do :; done")
_READY_S: Final = 30.0
# Of each build without ``ARG``; the engine keeps them out of the image and of its cache.
_ARGUMENTS: Final = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy")


@dataclass(frozen=True, slots=True)
class BuildNetwork:
    """The network of one build.

    Attributes:
        name: The engine's name for it.
        arguments: Values of ``ARG`` that point programs to it.
        refused: Sentences about hosts that steps wanted to reach and must not.
        ended: Returns when there is no such network any more.
    """

    name: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    refused: Sequence[str] = ()
    ended: Callable[[], Awaitable[object]] = trio.sleep_forever


OpenNetwork = Callable[[], AbstractAsyncContextManager[BuildNetwork]]
"""Opens the network of one build. Raises ``LaunchFailed`` if there is none of this kind."""


@asynccontextmanager
async def open_engines_network(name: str) -> AsyncIterator[BuildNetwork]:
    """Yield a network that the engine has. Cancellation: no effect."""
    yield BuildNetwork(name)


NO_NETWORK: Final[OpenNetwork] = partial(open_engines_network, "none")


@asynccontextmanager
async def open_index_network(containers: ContainerRuntime, settings: Settings) -> AsyncIterator[BuildNetwork]:
    """Yield a network that reaches package indexes and ``PREVIEW_BUILD_HOSTS`` alone.

    Raises:
        LaunchFailed: The container beside the build could not be started.

    Cancellation: its container and all connections are gone within a few seconds.
    """
    allowed = await trio.to_thread.run_sync(read_allowed, program_environment(os.environ), settings.build_hosts)
    proxy = make_build_proxy(allowed)
    async with AsyncExitStack() as held:
        # The runtime gives a working folder to the process's user: it has to be one of its own.
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="build-", dir=settings.data_dir)))
        spec = ProcessSpec(
            f"build-{secrets.token_hex(8)}",
            _STAYS,
            folder,
            {"PATH": "/usr/bin:/bin"},
            None,
            _LIMITS,
            writable=(folder,),
            reaches={PORT: proxy.serve},
            slot=settings.port_max,
        )
        process = await held.enter_async_context(containers.open_process(spec))
        said = b""
        with trio.move_on_after(_READY_S):
            while b"ready" not in said and (piece := await process.output.receive_some()):
                said = (said + piece)[-1000:]
        if b"ready" not in said:
            raise LaunchFailed(f"its container is not ready: {said.decode('utf-8', 'replace')[-200:] or 'it ended'}")
        proxies = {name: value for name, value in way_out_variables().items() if name in _ARGUMENTS}
        yield BuildNetwork(f"container:{process.container}", proxies, proxy.refused, process.wait)
