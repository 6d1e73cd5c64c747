"""Reading in a program's last lines that its network keeps it from somebody. Pure; bounded by the lines' own bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from preview.core.isolation import Network
from preview.supervisor.diagnosis.diagnosis import Diagnosis
from preview.supervisor.preview.network import Reach

_COLOURS = re.compile(r"\x1b\[[0-9;]{0,30}[A-Za-z]")
_MAX_LINES, _MAX_CHARACTERS = 100, 1000
_HOST, _PORT = r"(?P<host>[\w.:-]{1,253}?)", r"(?P<port>\d{1,5})(?!\d|:\d)"
_UNREACHED = (
    r"(?:Network is unreachable|No route to host|Temporary failure in name resolution|Name or service not known|"
    r"Failed to resolve|Connection refused|Max retries exceeded)"
)

# With the address that was asked, as far as the line has it. In a network without any way out, names are not found
# (EAI_AGAIN), addresses are unreachable (ENETUNREACH), and its own loopback refuses.
_SIGNS = tuple(
    re.compile(pattern)
    for pattern in (
        # Node
        rf"(?:ECONNREFUSED|ENETUNREACH|EHOSTUNREACH) {_HOST}:{_PORT}",
        rf"getaddrinfo (?:EAI_AGAIN|ENOTFOUND) {_HOST}(?::{_PORT})?(?=[\s'\"]|$)",
        # asyncio, aiohttp, urllib3, urllib, curl and what builds on it, Go
        rf"Connect call failed \('{_HOST}', {_PORT}",
        rf"Cannot connect to host {_HOST}:{_PORT}",
        rf"ConnectionPool\(host='{_HOST}', port={_PORT}\).{{0,600}}{_UNREACHED}",
        rf"Failed to resolve '{_HOST}'",
        rf"Could not resolve host:? '?{_HOST}'?(?=\s|$)",
        rf"dial tcp {_HOST}:{_PORT}: connect:",
        # What the C library says to all
        r"Network is unreachable|Temporary failure in name resolution|Name or service not known|EAI_AGAIN|ENETUNREACH",
    )
)


def diagnose_network(lines: Sequence[str], reach: Reach) -> Diagnosis | None:
    """What was asked in vain, because of the preview's network; None where nothing in the lines speaks of that.

    Args:
        lines: Its output, oldest first.
        reach: What its network reaches.
    """
    if reach.network is Network.HOST:
        return None
    for line in reversed(lines[-_MAX_LINES:]):
        read = _COLOURS.sub("", line[:_MAX_CHARACTERS])
        for sign in _SIGNS:
            match = sign.search(read)
            if match is None:
                continue
            host, port = _address(match.groupdict())
            if host is not None and reach.reaches(host, port):
                break
            return _blocked(reach, host, port)
    return None


def with_network(found: Diagnosis, reach: Reach, *, answers_outside: bool) -> Diagnosis:
    """A diagnosis that a server is missing, with what the preview's network has to do with that.

    Args:
        found: A server's address stands in its details, as far as it is known.
        reach: What the network reaches.
        answers_outside: Whether the server takes connections from the service itself: then it does run.
    """
    host, port = _address(found.details)
    if host is None or reach.reaches(host, port):
        return found
    details = {**found.details, "network": str(reach.network)}
    advice = reach.advise(host, port)
    if not answers_outside:
        return replace(found, message=f"{found.message} Besides, {reach.describe()}. {advice}", details=details)
    needs = found.message.partition(", and nothing answers there.")[0]
    return Diagnosis("network", f"{needs}. One runs there, but {reach.describe()}. {advice}", details)


def _blocked(reach: Reach, host: str | None, port: int | None) -> Diagnosis:
    name = "the network" if host is None else f"[{host}]" if ":" in host else host
    shown = name if port is None else f"{name}:{port}"
    message = f"It asks for {shown}, and {reach.describe()}. {reach.advise(host, port)}"
    return Diagnosis("network", message, {"host": host, "port": port, "network": str(reach.network)})


def _address(values: Mapping[str, object]) -> tuple[str | None, int | None]:
    host, port = values.get("host"), values.get("port")
    return (str(host) if host else None, int(str(port)) if port else None)
