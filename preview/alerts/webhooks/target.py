"""The URL of a webhook, checked and in parts."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

import httpx2

from preview.core.quoting import quoted
from preview.errors import InvalidRequest

MOST_URL_CHARACTERS: Final = 2000
_PORTS: Final = {"http": 80, "https": 443}
_LAST_PORT: Final = 65535
_VISIBLE: Final = re.compile(r"[!-~]+")
_MOST_HOST_CHARACTERS: Final = 253
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
# ``127.1``, ``0x7f.1`` and ``2130706433`` are addresses for the resolver (inet_aton(3)).
_NUMBER: Final = re.compile(r"(0x[0-9a-f]*|\d+)")


@dataclass(frozen=True, slots=True)
class Target:
    """Parts of a webhook's URL.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Name in ASCII and lower case, or an address without brackets.
        port: Port to connect to.
        path: Path and query, visible ASCII.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Value of the ``Host`` field."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def parse_target(url: str) -> Target:
    """Return the parts of a webhook's URL.

    Raises:
        InvalidRequest: It is not a URL that can be called: wrong scheme, a password in it, an odd spelling of an
            address.
    """
    if len(url) > MOST_URL_CHARACTERS or not _VISIBLE.fullmatch(url):
        raise InvalidRequest(
            f"The webhook's URL must have 1 to {MOST_URL_CHARACTERS} visible ASCII characters, without spaces."
        )
    try:
        parts = httpx2.URL(url)
        host = parts.raw_host.decode("ascii").strip("[]").lower().rstrip(".")
        port = parts.port if parts.port is not None else _PORTS[parts.scheme]
    except (httpx2.InvalidURL, UnicodeError, KeyError, ValueError) as error:
        raise InvalidRequest(f"{quoted(url)} is not a webhook's URL; write https://HOST/PATH.") from error
    if parts.scheme not in _PORTS or not host or not 0 < port <= _LAST_PORT:
        raise InvalidRequest(f"{quoted(url)} is not a webhook's URL; write https://HOST/PATH.")
    if parts.userinfo or parts.fragment:
        raise InvalidRequest(
            "A webhook's URL must not have a user name, password or fragment; the receiver should check the "
            "signature instead."
        )
    _check_host(host)
    return Target(parts.scheme, host, port, parts.raw_path.decode("ascii") or "/")


def _check_host(host: str) -> None:
    """Refuse hosts that are neither names (RFC 1123) nor addresses in their usual form."""
    labels = host.split(".")
    if len(host) <= _MOST_HOST_CHARACTERS and all(map(_LABEL.fullmatch, labels)) and not _NUMBER.fullmatch(labels[-1]):
        return
    try:
        # Without a scope, which names an interface of this machine.
        ipaddress.ip_address(host.replace("%", " "))
    except ValueError:
        raise InvalidRequest(
            f"{quoted(host)} is neither a host's name nor an address; write 192.0.2.7 or [2001:db8::7]."
        ) from None
