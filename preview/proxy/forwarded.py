"""The client's address and scheme behind proxies, as reported by trusted proxies."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from preview.proxy.headers import NODE_FIELD
from preview.settings import Settings

# Key in an ASGI scope for ``Believed.via``.
VIA = "preview.via"
# Key in an ASGI scope: another node has checked the host, and passed the request on.
FROM_NODE = "preview.from_node"
# Key in an ASGI scope: another node asks for itself, not for a client.
BY_NODE_ITSELF = "preview.by_node_itself"

Headers = Iterable[tuple[bytes, bytes]]

# Removed, so that no later code can trust them.
HIDDEN = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port",
     b"x-forwarded-prefix", b"x-forwarded-server", b"x-real-ip", NODE_FIELD}
)  # fmt: skip
# No real chain of proxies is longer.
_MAX_HOPS = 32

# RFC 7239 section 4: pairs of a token and a token or quoted string; the two loops match disjoint characters.
_PAIR = re.compile(r'\s*([A-Za-z0-9!#$%&\'*+.^_`|~-]+)=("(?:[^"\\]|\\.)*"|[^",;\s]*)\s*(;|,|$)')
_ADDRESS = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?|([0-9.]+)(?::\d{1,5})?|([0-9A-Fa-f:.]+)")


@dataclass(frozen=True, slots=True)
class _Hop:
    """A proxy's statement about its client; empty texts if it said nothing readable."""

    address: str
    scheme: str


@dataclass(frozen=True, slots=True)
class Believed:
    """Trusted facts about a client.

    Attributes:
        client: The client's address; None on a unix socket if its proxy reports none.
        scheme: ``http``, ``https``, ``ws`` or ``wss``.
        via: Addresses on the request's way, from the client to the peer; empty without a trusted proxy.
    """

    client: str | None
    scheme: str
    via: tuple[str, ...] = ()


class TrustedProxies:
    """Reads what trusted proxies report about the client.

    ``Host`` is never taken from such a header, because proxies forward a client's own ``X-Forwarded-Host``.

    Args:
        settings: Which proxies are trusted, and which header they use.
    """

    def __init__(self, settings: Settings) -> None:
        self._unix = "unix" in settings.trusted_proxies
        self._networks = [ipaddress.ip_network(one) for one in settings.trusted_proxies if one != "unix"]
        self._standard = settings.forwarded_header == "forwarded"

    def trusts(self, address: str | None) -> bool:
        """Return whether the address belongs to a trusted proxy. None means a peer on a unix socket."""
        if address is None:
            return self._unix
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        # An IPv4 peer on a dual-stack socket appears as ``::ffff:a.b.c.d``.
        known = getattr(found, "ipv4_mapped", None) or found
        return any(known in network for network in self._networks)

    def believed(self, peer: str | None, scheme: str, headers: Headers) -> Believed:
        """Determine the client of a request with these fields.

        Args:
            peer: The address at the other end of the connection; None for a unix socket.
            scheme: Scheme of the connection.
            headers: Header fields; names in any case.
        """
        if not (self._unix or self._networks) or not self.trusts(peer):
            return Believed(peer, scheme)
        client, via = peer, [peer] if peer else []
        hops = list(_standard_hops(headers) if self._standard else _usual_hops(headers))
        # Nearest hop first; a hop is trusted while the address that reported it is trusted.
        for hop in hops[:_MAX_HOPS]:
            scheme = _scheme_like(hop.scheme, scheme)
            if not hop.address:
                break
            client = hop.address
            via.append(client)
            if not self.trusts(client):
                break
        return Believed(client, scheme, tuple(reversed(via)))

    def applied(self, scope: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of the ASGI scope with the trusted client and scheme, without forwarding headers.

        The copy lists the addresses on the request's way under ``VIA``.
        """
        client = scope.get("client")
        peer = _peer(client)
        found = self.believed(peer, scope.get("scheme", "http"), scope["headers"])
        if found.client != peer:
            client = (found.client, 0)
        return _with(scope, found, client)


def by_node(scope: Mapping[str, Any], said: Believed, *, itself: bool) -> dict[str, Any]:
    """Return a copy like ``TrustedProxies.applied``, of a scope that another node has passed on.

    Args:
        scope: An ASGI scope.
        said: What that node says about the client.
        itself: The node asks for itself.
    """
    scheme = _scheme_like(said.scheme, str(scope.get("scheme", "http")))
    client = None if said.client is None else (said.client, 0)
    return _with(scope, Believed(said.client, scheme, said.via), client) | {FROM_NODE: True, BY_NODE_ITSELF: itself}


def _with(scope: Mapping[str, Any], found: Believed, client: Any) -> dict[str, Any]:
    headers = [(name, value) for name, value in scope["headers"] if name.lower() not in HIDDEN]
    return {
        **scope, "client": client, "scheme": found.scheme, "headers": headers, VIA: found.via,
        FROM_NODE: False, BY_NODE_ITSELF: False,
    }  # fmt: skip


def _peer(client: Any) -> str | None:
    """Return the address of an ASGI client; None for a unix socket."""
    address = client[0] if client else None
    return str(address) if address else None


def _usual_hops(headers: Headers) -> Iterator[_Hop]:
    """Yield the hops of ``X-Forwarded-For``, nearest first, with the last scheme of ``X-Forwarded-Proto``."""
    addresses = _values(headers, b"x-forwarded-for")
    schemes = _values(headers, b"x-forwarded-proto")
    scheme = schemes[0] if schemes else ""
    for value in addresses or ([""] if scheme else []):
        yield _Hop(_address(value), scheme)


def _standard_hops(headers: Headers) -> Iterator[_Hop]:
    """Yield the hops of ``Forwarded`` (RFC 7239), nearest first; none if any is unreadable."""
    text = ",".join(value.decode("latin-1") for name, value in headers if name.lower() == b"forwarded")
    hops: list[_Hop] = []
    fields: dict[str, str] = {}
    position = 0
    while position < len(text):
        found = _PAIR.match(text, position)
        if found is None:
            return
        name, value, end = found.groups()
        fields[name.lower()] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        if end != ";":
            hops.append(_Hop(_address(fields.get("for", "")), fields.get("proto", "").lower()))
            fields = {}
        position = found.end()
    yield from reversed(hops)


def _values(headers: Headers, wanted: bytes) -> list[str]:
    """Return the comma-separated values of all fields with this name, the last first."""
    text = ",".join(value.decode("latin-1") for name, value in headers if name.lower() == wanted)
    return [part.strip().lower() for part in reversed(text.split(","))] if text else []


def _address(text: str) -> str:
    """Return the address in ``ADDRESS``, ``ADDRESS:PORT`` or ``[IPV6]:PORT``; empty if there is none."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return ""
    try:
        return str(ipaddress.ip_address(next(group for group in found.groups() if group)))
    except ValueError:
        return ""


def _scheme_like(said: str, known: str) -> str:
    """Return the stated scheme in the known scheme's form (HTTP or WebSocket)."""
    if said not in {"http", "https"}:
        return known
    return said.replace("http", "ws") if known in {"ws", "wss"} else said
