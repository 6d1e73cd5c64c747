"""Diagnosis of network failures: connections that the preview's network blocks, and servers on a wrong port.

The first part is pure and reads a program's last lines. The second part reads the listening sockets of its processes,
in any network namespace, from ``/proc/PID/net/tcp`` (proc(5)), which has one line per socket of the process's
namespace.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import trio

from preview.core.isolation import Network
from preview.runtime.kernel import proctree
from preview.runtime.launchers import BRIDGE
from preview.supervisor.diagnosis.diagnosis import Diagnosis
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.preview.network import Reach, is_inside

_PORTS = {"http": 80, "https": 443}
_COLOURS = re.compile(r"\x1b\[[0-9;]{0,30}[A-Za-z]")
_MAX_LINES, _MAX_CHARACTERS = 100, 1000
_UNRESOLVED_HOST, _UNRESOLVED_PORT = r"(?P<host>[\w.:-]{1,253}?)", r"(?P<port>\d{1,5})(?!\d|:\d)"
_UNREACHED = (
    r"(?:Network is unreachable|No route to host|Temporary failure in name resolution|Name or service not known|"
    r"Failed to resolve|Connection refused|Max retries exceeded)"
)

# Signs of a blocked connection, with the address if the line has it. In a network without a way out, names do not
# resolve (EAI_AGAIN), addresses are unreachable (ENETUNREACH), and the loopback interface refuses connections.
_SIGNS = tuple(
    re.compile(pattern)
    for pattern in (
        # Node
        rf"(?:ECONNREFUSED|ENETUNREACH|EHOSTUNREACH) {_UNRESOLVED_HOST}:{_UNRESOLVED_PORT}",
        rf"getaddrinfo (?:EAI_AGAIN|ENOTFOUND) {_UNRESOLVED_HOST}(?::{_UNRESOLVED_PORT})?(?=[\s'\"]|$)",
        # asyncio, aiohttp, urllib3, urllib, curl and libraries on top of it, Go
        rf"Connect call failed \('{_UNRESOLVED_HOST}', {_UNRESOLVED_PORT}",
        rf"Cannot connect to host {_UNRESOLVED_HOST}:{_UNRESOLVED_PORT}",
        rf"ConnectionPool\(host='{_UNRESOLVED_HOST}', port={_UNRESOLVED_PORT}\).{{0,600}}{_UNREACHED}",
        rf"Failed to resolve '{_UNRESOLVED_HOST}'",
        rf"Could not resolve host:? '?{_UNRESOLVED_HOST}'?(?=\s|$)",
        rf"{_UNREACHED}.{{0,80}}?https?://{_UNRESOLVED_HOST}(?=[/'\"\s]|$)",
        rf"dial tcp {_UNRESOLVED_HOST}:{_UNRESOLVED_PORT}: connect:",
        # Messages of the C library
        r"Network is unreachable|Temporary failure in name resolution|Name or service not known|EAI_AGAIN|ENETUNREACH",
    )
)


def diagnose_network(lines: Sequence[str], reach: Reach) -> Diagnosis | None:
    """Diagnose a connection that the preview's network blocks; None if the lines show none.

    Args:
        lines: The program's output, oldest first.
        reach: Network that the preview can reach.
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
    """Extend a diagnosis of a missing backing service by the preview's network, if that blocks its address.

    Args:
        found: Diagnosis; its details may have the service's host and port.
        reach: Network that the preview can reach.
        answers_outside: True if the backing service accepts connections from this service itself, so it runs.
    """
    host, port = _address(found.details)
    if host is None or reach.reaches(host, port):
        return found
    details = {**found.details, "network": str(reach.network)}
    advice = reach.advise(host, port)
    if not answers_outside:
        return replace(found, message=f"{found.message} Besides, {reach.describe()}. {advice}", details=details)
    needs = found.message.partition(", and nothing answers there.")[0]
    return Diagnosis("network", f"{needs}. One is running there, but {reach.describe()}. {advice}", details)


def _blocked(reach: Reach, host: str | None, port: int | None) -> Diagnosis:
    name = "the network" if host is None else f"[{host}]" if ":" in host else host
    shown = name if port is None else f"{name}:{port}"
    message = f"It tries to reach {shown}, but {reach.describe()}. {reach.advise(host, port)}"
    return Diagnosis("network", message, {"host": host, "port": port, "network": str(reach.network)})


def with_source(found: Diagnosis, reach: Reach, place: str, placeholders: Mapping[str, str]) -> Diagnosis:
    """Name what asks for the address that the network blocks: a placeholder's variable, and a line of the project.

    Args:
        found: A diagnosis; one of another reason is returned as it is.
        reach: Network that the preview can reach.
        place: The project's line that asked, such as ``app/mail.py line 7``; empty if unknown.
        placeholders: Variables that nobody has set, with the values that the service made up.
    """
    host, port = _address(found.details)
    if found.reason != "network" or host is None:
        return found
    names = [name for name, value in placeholders.items() if _leads_to(value, host, port)] if is_inside(host) else []
    where = f" ({place})" if place else ""
    if not names:
        return replace(found, message=found.message.replace(", but its network", f"{where}, but its network", 1))
    message = (
        f"It sends a request to {placeholders[names[0]]}{where}, and nothing answers there: that is a placeholder, of "
        f"{' or '.join(names[:_MOST_SHOWN])}, which is not set. Set it to the real address, which its network has to "
        f"reach. {reach.advise(None, None)}"
    )
    return replace(found, message=message, details={**found.details, "setting": names[0]})


def _leads_to(value: str, host: str, port: int | None) -> bool:
    try:
        url = urlsplit(value)
        return url.hostname == host and port in {url.port, None if url.port else _PORTS.get(url.scheme)}
    except ValueError:
        return False


def _address(values: Mapping[str, object]) -> tuple[str | None, int | None]:
    host, port = values.get("host"), values.get("port")
    return (str(host) if host else None, int(str(port)) if port else None)


_LISTEN = "0A"
# Maximum bytes of the socket table to read: more than any preview's sockets need.
_MOST_BYTES = 4 * 1024 * 1024


_MOST_SHOWN = 5


def has_own_network(preview: LivePreview) -> bool:
    """Return True if connections are forwarded to any port of the preview's own network (see ``bridge``)."""
    return preview.reach is not None and preview.reach.network is not Network.HOST


async def find_wrong_port(preview: LivePreview) -> Diagnosis | None:
    """Diagnose a program that listens only on other ports; None if it listens on its port, or on none.

    In a network of its own, connections are forwarded to whichever port answers HTTP: so none does.

    Cancellation: nothing changes; the thread continues for some milliseconds.
    """
    pid, port = preview.record.pid, preview.record.port
    if pid is None or port is None:
        return None
    listener = preview.inner or preview.listener
    own = os.fstat(listener.fileno()).st_ino if listener.fileno() >= 0 else None
    ports = await trio.to_thread.run_sync(_ports, pid, own, abandon_on_cancel=True)
    if preview.reach is not None:
        # The service itself listens on these ports inside the preview's network.
        ports -= preview.reach.ports
    if not ports or port in ports:
        return None
    shown = ", ".join(map(str, sorted(ports)[:_MOST_SHOWN])) + (" …" if len(ports) > _MOST_SHOWN else "")
    if has_own_network(preview):
        sentence = f"It listens on port {shown}, but gave no HTTP response there."
        return Diagnosis("port_in_use", sentence, {"port": min(ports)})
    return Diagnosis(
        "port_in_use",
        f"It listens on port {shown}, but requests are sent to {port}. Make it listen on the port in the "
        "environment variable PORT.",
        {"port": min(ports)},
    )


async def tell_other_port(preview: LivePreview) -> None:
    """Log once, when the preview runs, that its program listens on another port than PORT. Cancellation: no change."""
    await preview.settled.wait()
    if preview.outcome is None and has_own_network(preview) and (found := await find_wrong_port(preview)) is not None:
        port = found.details["port"]
        preview.log.say(f"listens on port {port} instead of PORT: requests are forwarded to that port")


def _ports(leader: int, own: int | None) -> set[int]:
    """Return TCP ports that the processes listen on; empty if one may serve on the socket ``own`` (its inode)."""
    found: set[int] = set()
    here = _network_of("self")
    # For each read the kernel walks all sockets of the machine, so read the table once per namespace.
    read: dict[str, dict[int, int]] = {}
    for pid in (leader, *proctree.descendants(leader)):
        network = _network_of(pid)
        if network is None:
            continue
        held = _sockets_of(pid)
        # Another namespace does not list the service's socket: a process that has it may well serve on it.
        if network != here and own in held and not _is_bridge(pid):
            return set()
        if network == here and not held - {own}:
            continue  # a process that sets up the sandbox: it has only the preview's own socket
        if network not in read:
            read[network] = dict(_listening_in(pid))
        listening = read[network]
        # A separate namespace belongs to the preview alone; on the host, only sockets that its process has open count.
        found |= {port for inode, port in listening.items() if network != here or inode in held}
    return found


def _network_of(pid: int | str) -> str | None:
    """Return the name of the network namespace; None if the process is gone or belongs to another user."""
    try:
        return Path(f"/proc/{pid}/ns/net").readlink().name
    except OSError:
        return None


def _sockets_of(pid: int) -> set[int]:
    """Return the inodes of the process's open sockets."""
    found: set[int] = set()
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            name = _target(entry)
            if name.startswith("socket:["):
                found.add(int(name[len("socket:[") : -1]))
    except OSError:
        return found
    return found


def _target(entry: Path) -> str:
    try:
        return str(entry.readlink())
    except OSError:  # closed meanwhile
        return ""


def _is_bridge(pid: int) -> bool:
    """Return True if the process forwards connections to a program that opens its own listening socket."""
    try:
        return os.fsencode(BRIDGE) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def _listening_in(pid: int) -> Iterator[tuple[int, int]]:
    for name in ("tcp", "tcp6"):
        try:
            with Path(f"/proc/{pid}/net/{name}").open(encoding="ascii", errors="replace") as file:
                yield from listening_sockets(file.read(_MOST_BYTES).splitlines())
        except OSError:  # the process is gone, or there is no IPv6
            continue


def listening_sockets(lines: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield inode and port of each listening socket.

    Args:
        lines: Lines of ``/proc/net/tcp`` or ``/proc/net/tcp6``; other lines are skipped.
    """
    for line in lines:
        fields = line.split()
        if len(fields) < 10 or fields[3] != _LISTEN:
            continue
        try:
            yield int(fields[9]), int(fields[1].rpartition(":")[2], 16)
        except ValueError:
            continue
