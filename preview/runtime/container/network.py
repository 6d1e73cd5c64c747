"""A private network for the containers of one preview. The machine has no address in it, and nothing has the gateway's.

The engine's networks of the kind "internal" still give the machine an address, by which a container reaches all that
listens there. So the bridge gets none (``inhibit_ipv4``). Names are in each container's list of hosts: the engine's own
name server would pass questions on to the machine's (``Dns`` of ``describe_container``).
"""

from __future__ import annotations

import ipaddress
import json
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import urlencode

import structlog
import trio

from preview.core.descriptors import retry_on_fd_exhaustion
from preview.errors import LaunchFailed
from preview.runtime.container.description import DATA_LABEL, PREVIEW_LABEL
from preview.runtime.container.engine import Engine, EngineError

log = structlog.get_logger(__name__)

# RFC 2544: addresses for measurements of isolated networks, which no machine of a real network has.
_RANGE: Final = ipaddress.IPv4Network("198.18.0.0/15")
_PREFIX: Final = 28
_MOST_TRIES: Final = 20
# Docker's and Podman's words for a range that another network has.
_OVERLAPS: Final = re.compile(r"overlap|conflicts with network|already (?:used|being used)", re.IGNORECASE)
# Making one takes a tenth of a second.
_CREATE_S: Final = 10.0
_REMOVE_S: Final = 5.0
_REMOVE_ALL_S: Final = 30.0
_REMOVED_AT_ONCE: Final = 8
_REMOVE_POLL_S: Final = 0.05
# A network that was not there so often does not appear any more.
_MOST_MISSING: Final = 20
_NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True)
class PrivateNetwork:
    """A private network: its name on the engine, and addresses for its containers."""

    name: str
    addresses: Sequence[str]


@asynccontextmanager
async def open_private_network(engine: Engine, data: str, preview_id: str) -> AsyncIterator[PrivateNetwork]:
    """Make a private network; it is removed at the end, when no container is in it.

    Args:
        engine: The engine.
        data: Name of the service's data folder.
        preview_id: The preview.

    Raises:
        LaunchFailed: The engine makes none.

    Cancellation: waits until the engine has made the network (bounded), and removes it (bounded).
    """
    name = f"{data}-net-{secrets.token_hex(6)}"
    may_appear = True
    try:
        try:
            # The engine would go on making it after its client has left.
            with trio.fail_after(_CREATE_S, shield=True):
                subnet = await _create(engine, name, {DATA_LABEL: data, PREVIEW_LABEL: preview_id})
                may_appear = False
            await trio.lowlevel.checkpoint()
        except EngineError as error:
            may_appear = may_appear and error.status is None
            raise LaunchFailed(f"The preview got no private network: {error}.") from error
        except trio.TooSlowError:
            raise LaunchFailed(f"The preview got no private network within {_CREATE_S:g} s.") from None
        # The first address would be the gateway's, and nothing has it.
        yield PrivateNetwork(name, [str(one) for one in list(subnet.hosts())[1:]])
    finally:
        with trio.move_on_after(_REMOVE_S, shield=True) as scope:
            await _remove(engine, name, may_appear=may_appear)
        if scope.cancelled_caught:
            log.warning("network not removed", network=name, error="the engine does not answer, or refuses")


async def _create(engine: Engine, name: str, labels: dict[str, str]) -> ipaddress.IPv4Network:
    tries = _MOST_TRIES
    while True:
        tries -= 1
        # The engine refuses one that overlaps with another of its networks.
        first = int(_RANGE.network_address) + secrets.randbelow(_RANGE.num_addresses >> (32 - _PREFIX)) * 16
        subnet = ipaddress.IPv4Network((first, _PREFIX))
        body = {
            "Name": name,
            "CheckDuplicate": True,
            "Driver": "bridge",
            "Internal": True,
            "EnableIPv6": False,
            "Labels": labels,
            "IPAM": {"Driver": "default", "Config": [{"Subnet": str(subnet)}]},
            "Options": {"com.docker.network.bridge.inhibit_ipv4": "true"},
        }
        try:
            await retry_on_fd_exhaustion(partial(engine.call, "POST", "/networks/create", body))
        except EngineError as error:
            if error.status is None or not tries or not _OVERLAPS.search(str(error)):
                raise
            continue
        return subnet


async def _remove(engine: Engine, name: str, *, may_appear: bool = False) -> None:
    """Remove a network; the engine refuses as long as it has not noticed the end of a container in it.

    Args:
        engine: The engine.
        name: The network.
        may_appear: Whether it may appear a moment later: the engine has not said whether it made it.
    """
    missing = 0
    while True:
        try:
            await retry_on_fd_exhaustion(partial(engine.call, "DELETE", f"/networks/{name}"))
        except EngineError as error:
            if error.status is None:
                log.warning("network not removed", network=name, error=str(error))
                return
            if error.status == _NOT_FOUND:
                missing += 1
                if not may_appear or missing >= _MOST_MISSING:
                    return
        else:
            return
        await trio.sleep(_REMOVE_POLL_S)


async def remove_networks(engine: Engine, data: str) -> int:
    """Remove all networks of a service; return their number. Cancellation: some are removed.

    Raises:
        EngineError: No engine answers.
    """
    query = urlencode({"filters": json.dumps({"label": [f"{DATA_LABEL}={data}"]})})
    found = await engine.call("GET", f"/networks?{query}")
    names = [one.get("Name") for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    limiter = trio.CapacityLimiter(_REMOVED_AT_ONCE)

    async def remove(name: str) -> None:
        async with limiter:
            with trio.move_on_after(_REMOVE_S) as scope:
                await _remove(engine, name)
            if scope.cancelled_caught:
                log.warning("network not removed", network=name, error="the engine refuses")

    with trio.move_on_after(_REMOVE_ALL_S) as scope:
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(remove, str(name))
    if scope.cancelled_caught:
        log.warning("networks not removed", error=f"not within {_REMOVE_ALL_S:g} s")
    return len(names)
