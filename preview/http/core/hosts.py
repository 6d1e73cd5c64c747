"""The names under which the service may be reached (``Host``, RFC 9110 section 7.2).

A page in somebody's browser can let its own name point to 127.0.0.1 (DNS rebinding): its requests then come from this
machine, and only ``Host`` tells them apart. An address instead of a name cannot be rebound, so all addresses pass.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from preview.errors import HostNotAllowed, InvalidRequest
from preview.settings import Settings

_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?")
_SHOWN_CHARS = 100


class HostCheck:
    """Compares the ``Host`` of requests with the names that are allowed.

    Args:
        names: ``example.com``, ``.example.com`` for a domain with all below it, or ``*``.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {"localhost", ".localhost", *names}

    def allow(self, names: Iterable[str]) -> None:
        """Allow further names."""
        self._names |= set(names)

    def check(self, host: str) -> None:
        """Nothing, where ``host`` (``NAME``, ``NAME:PORT``, ``[IPV6]:PORT``) is one of ours; the port is not compared.

        Raises:
            InvalidRequest: It is no host.
            HostNotAllowed: It is another's.
        """
        found = _HOST.fullmatch(host)
        if found is None:
            raise InvalidRequest("The Host header is not a host name with an optional port; send one.", field="host")
        name = found.group(1).lower().rstrip(".")
        if "*" in self._names or name in self._names or _is_address(name):
            return
        if any(known.startswith(".") and f".{name}".endswith(known) for known in self._names):
            return
        raise HostNotAllowed(
            f"This service is not to be reached as {name[:_SHOWN_CHARS]!r}; use its own address, or add the name to "
            "PREVIEW_ALLOWED_HOSTS.",
            host=name[:_SHOWN_CHARS],
        )


def host_names(settings: Settings, binds: Iterable[str] = ()) -> set[str]:
    """The names that the settings, and the addresses that are listened on, speak of."""
    names = set(settings.allowed_hosts)
    if settings.public_url is not None:
        names.add((urlsplit(settings.public_url).hostname or "").lower())
    for bind in (settings.bind, *binds):
        if not bind.startswith(("unix:", "fd://")):
            host, _, port = bind.rpartition(":")
            names.add((host if port.isdigit() else bind).lower())
    return {name for name in names if name}


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
