"""Addresses that a build may be connected to."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# RFC 5737, RFC 3849: for documentation. No network has them, so whoever resolves a name to one has set that up.
_DOCUMENTATION: Final = tuple(
    ipaddress.ip_network(one) for one in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)
# RFC 6052: an IPv4 address behind a translator. RFC 4380 (Teredo) and RFC 3056 (6to4) hold one too, and
# these, as the others below, are not left to what a version of ``ipaddress`` says of them.
_TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")
_NEVER: Final = tuple(
    ipaddress.ip_network(one)
    for one in ("192.0.0.0/24", "2001::/32", "2002::/16", "::/96", "64:ff9b:1::/48", "fec0::/10")
)
_LAST_32_BITS: Final = 0xFFFFFFFF


def parse_address(text: str) -> Address | None:
    """An address as ``getaddrinfo`` gives it, without its scope; IPv4 in IPv6 as IPv4. None for anything else."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped) or found


def is_public(address: Address) -> bool:
    """Whether the address belongs to no private, local or special network (IANA's registries of special addresses)."""
    if isinstance(address, ipaddress.IPv6Address) and address in _TRANSLATED:
        return is_public(ipaddress.IPv4Address(int(address) & _LAST_32_BITS))
    if any(address in network for network in _NEVER):
        return False
    if any(address in network for network in _DOCUMENTATION):
        return True
    return address.is_global and not address.is_multicast


def is_own(address: Address, port: int) -> bool:
    """Whether the address is this machine's own: the kernel then connects from the same one. Sends nothing.

    Raises:
        OSError: There is no way there, or no descriptor is left.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((str(address), port))
        return parse_address(probe.getsockname()[0]) == address
