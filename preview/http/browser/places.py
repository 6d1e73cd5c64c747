"""Addresses of previews, and the preview of a request. Pure.

Three forms of address, the same preview behind each:

- ``preview-….localhost``: browsers take every name below ``localhost`` for this machine, without any DNS.
- ``preview-….DOMAIN``, where an operator has a wildcard domain (``PREVIEW_DOMAIN``).
- ``/p/preview_…/`` on the service's own host, or on one that is for nothing else (``PREVIEW_PATH_HOST``).

The underscore of an id is a hyphen in a host name: RFC 952 knows no other, and neither do certificates. Both are taken.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from preview.settings import Settings

# Below it a preview's own address is the service's: links, and what the waiting page asks.
RESERVED = b"/.preview/"

_LOCAL = ".localhost"
_KEPT_HOSTS = 256
_LABEL = re.compile(r"preview[-_]([a-z0-9]{1,48})")
# Any id-like thing behind it, so that nothing else of ours is ever looked for there.
_PATH = re.compile(rb"/p/(preview[-_][a-z0-9]{1,48})(?=[/?]|$)", re.IGNORECASE)


class Place(NamedTuple):
    """Target of a request.

    Attributes:
        preview_id: The preview that is meant, whether there is one or not; None where the host could be nobody's.
        target: What the preview is asked for, without the prefix: it begins with a slash.
        prefix: Path before it: ``/p/preview_…``, or empty.
        cut: Bytes at the beginning of the request's target that are not the preview's.
        shares_origin: Its origin is the service's own, page and API included.
        redirect: Where the request should have gone, as a path with its query; None where it is right.
    """

    preview_id: str | None
    target: bytes
    prefix: str = ""
    cut: int = 0
    shares_origin: bool = False
    redirect: bytes | None = None


class Places:
    """Knows previews' addresses.

    Args:
        settings: Domain, host of the path form, and the service's own public address.
    """

    def __init__(self, settings: Settings) -> None:
        self._suffixes = (_LOCAL,) if settings.domain is None else (f".{settings.domain}", _LOCAL)
        self._domain = settings.domain
        self._path_host = settings.path_host
        self._public = None if settings.public_url is None else urlsplit(settings.public_url)
        # A browser names the same host many times.
        self._read = lru_cache(maxsize=_KEPT_HOSTS)(self._read_host)

    def find(self, host: str, target: bytes, mount: str = "") -> Place | None:
        """Return the preview's place that a request is for, by host or by path; None if it is for the service itself.

        Args:
            host: With or without a port, in any case.
            target: In origin form, byte for byte, as the client sent it.
            mount: The path at which a host application has mounted us.
        """
        name, is_for_previews, preview_id = self._read(host)
        if is_for_previews:
            return Place(preview_id, target)
        return self._by_path(name, target, mount)

    def _read_host(self, host: str) -> tuple[str, bool, str | None]:
        """Return the host's name, whether it is for previews under any path, and the preview that it names."""
        name = _name_of(host)
        suffix = next((one for one in self._suffixes if name.endswith(one)), None)
        if suffix is not None:
            found = _LABEL.fullmatch(name.removesuffix(suffix))
            if found is not None:
                return name, True, f"preview_{found[1]}"
            if suffix != _LOCAL or name.removesuffix(suffix).rpartition(".")[2].startswith(("preview-", "preview_")):
                # A wildcard domain is for previews alone, and so is whatever lies below one of them.
                return name, True, None
        return name, False, None

    def _by_path(self, name: str, target: bytes, mount: str) -> Place | None:
        is_own_host = self._path_host is not None and name == self._path_host
        below = target.removeprefix(mount.encode()) if mount else target
        found = _PATH.match(below)
        if found is None:
            return Place(None, target) if is_own_host else None
        written = found[1].lower().decode()
        preview_id = f"preview_{written[len('preview_') :]}"
        prefix, rest = f"{mount}/p/{preview_id}", below[found.end() :]
        redirect = None
        if found[1] != preview_id.encode() or not rest.startswith(b"/"):
            # Links of a page are relative to its folder, and cookies belong to one spelling of a path.
            redirect = prefix.encode() + (rest if rest.startswith(b"/") else b"/" + rest)
        return Place(preview_id, rest or b"/", prefix, len(target) - len(rest), not is_own_host, redirect)

    def address(self, preview_id: str, scheme: str, host: str, mount: str = "") -> str:
        """Return the preview's address for a browser, without a slash at the end.

        Args:
            preview_id: ``preview_…``.
            scheme: By which the service was just asked.
            host: By which it was asked, with its port.
            mount: As in ``find``; the other hosts of the application that mounted us are not ours.
        """
        path = f"{mount}/p/{preview_id}"
        if self._public is not None and self._public.netloc:
            scheme, host = self._public.scheme, self._public.netloc
        name, port = _name_of(host), _port_of(host)
        if self._domain is not None and not mount:
            return f"{scheme}://{host_label(preview_id)}.{self._domain}{port}"
        if _is_this_machine(name) and not mount:
            return f"{scheme}://{host_label(preview_id)}{_LOCAL}{port}"
        if self._path_host is not None:
            return f"{scheme}://{self._path_host}{port}{path}"
        return f"{scheme}://{host}{path}"


def host_label(preview_id: str) -> str:
    """Return the id as part of a host name."""
    return preview_id.replace("_", "-")


def _name_of(host: str) -> str:
    """Return a ``Host`` without its port, in lower case, without the dot of a full name."""
    name = host.lower()
    if not name.endswith("]"):
        before, colon, port = name.rpartition(":")
        name = before if colon and (port.isdigit() or not port) else name
    return name.rstrip(".")


def _port_of(host: str) -> str:
    """``:PORT``, or empty."""
    port = host.rpartition("]")[2].rpartition(":")[2]
    return f":{port}" if port.isdigit() and host.endswith(f":{port}") else ""


def _is_this_machine(name: str) -> bool:
    """Return whether a browser with this host name runs on this machine."""
    if name == "localhost" or name.endswith(_LOCAL):
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
