"""Addresses that webhooks may reach: public ones, and networks that the operator allows."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

from preview.environments.way_out.allowed import is_own

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Networks that ``ipaddress`` calls global in some version, or that contain IPv4 addresses: a router may deliver them to
# a private host. RFC 6598 (CGNAT), 6890, 5737, 7526 (6to4 relays), 2544; RFC 6052 (NAT64), 3056 (6to4), 4380 (Teredo).
_NEVER: Final = tuple(
    ipaddress.ip_network(one)
    for one in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
    )
)
# IANA has given out no other unicast addresses (RFC 4291 section 2.4). NAT64, IPv4-mapped, link-local and site-local
# addresses are outside.
_IPV6: Final = ipaddress.ip_network("2000::/3")


class AddressPolicy:
    """Decides which addresses webhooks may reach.

    Args:
        networks: Networks that are allowed although they are not public, as in ``Settings.webhook_networks``.
        own_port: Port of the service itself, which is refused on each address of this machine; None without one.
    """

    def __init__(self, networks: Sequence[str] = (), own_port: int | None = None) -> None:
        self._networks = tuple(ipaddress.ip_network(one) for one in networks if one != "unix")
        self._own_port = own_port

    def problem(self, address: str, port: int) -> str | None:
        """Return why the address is refused, as a part of a sentence; None if it is allowed.

        Args:
            address: Numeric, as the resolver returned it.
            port: Port to connect to.
        """
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            # With a scope, as in fe80::1%eth0, it is link-local.
            return "is not a public address"
        is_allowed = any(found in network for network in self._networks)
        if not is_allowed and not is_public(found):
            return "is not a public address"
        try:
            is_here = found.is_loopback or found.is_unspecified or is_own(found, port)
        except OSError:
            return "cannot be reached from here"
        if is_here and (not is_allowed or port == self._own_port):
            return "belongs to this service"
        return None


def is_public(address: Address) -> bool:
    """Return True for a unicast address of the public internet."""
    if address.is_multicast or not address.is_global or any(address in network for network in _NEVER):
        return False
    return address.version == 4 or address in _IPV6
