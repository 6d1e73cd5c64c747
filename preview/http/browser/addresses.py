"""Addresses of previews, and the preview of a request. Pure.

A preview has three forms of address:

- ``preview-….localhost``: browsers resolve every name below ``localhost`` to this machine, without DNS.
- ``preview-….DOMAIN``, if the operator has a wildcard domain (``PREVIEW_DOMAIN``).
- ``/p/preview_…/`` on the service's own host, or on a host for previews only (``PREVIEW_PATH_HOST``).

A sandbox's port has one form, ``PORT-SANDBOX`` below the same domains: see ``SandboxPort``.

A host name has a hyphen for an id's underscore, which RFC 952 and certificates do not allow. Both are accepted.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from preview.settings import Settings

# Paths below this one on a preview's address belong to the service: links, and the waiting page's query.
RESERVED = b"/.preview/"

_LOCAL = ".localhost"
_KEPT_HOSTS = 256
_LABEL = re.compile(r"preview[-_]([a-z0-9]{1,48})")
# Matches anything like an id, so that no other route is tried below this path.
# A sandbox's name is all that protects its ports, so it is long. Digits beyond a port's are refused by the range.
_SANDBOX = re.compile(r"([0-9]{1,6})-(i[0-9a-f]{19})")
_PATH = re.compile(rb"/p/(preview[-_][a-z0-9]{1,48})(?=[/?]|$)", re.IGNORECASE)


class PreviewTarget(NamedTuple):
    """Target of a request.

    Attributes:
        preview_id: The requested preview, whether it exists or not; None if the host cannot belong to a preview.
        target: Target on the preview, without the prefix; it begins with a slash.
        prefix: Path before the target: ``/p/preview_…``, or empty.
        cut: Number of leading bytes of the request's target that are not part of ``target``.
        shares_origin: Whether the target has the service's own origin, including its page and API.
        redirect: Correct path with query, if the request must be redirected; None if its path is correct.
    """

    preview_id: str | None
    target: bytes
    prefix: str = ""
    cut: int = 0
    shares_origin: bool = False
    redirect: bytes | None = None


class SandboxPort(NamedTuple):
    """A port of a sandbox that a host name asks for; neither needs to exist.

    Attributes:
        sandbox_id: Name of the sandbox.
        port: Any number of up to six digits.
    """

    sandbox_id: str
    port: int


class PreviewAddresses:
    """Finds previews by address, and addresses of previews.

    Args:
        settings: Domain, host of the path form, and the service's own public address.
    """

    def __init__(self, settings: Settings) -> None:
        self._suffixes = (_LOCAL,) if settings.domain is None else (f".{settings.domain}", _LOCAL)
        self._domain = settings.domain
        self._path_host = settings.path_host
        self._public = None if settings.public_url is None else urlsplit(settings.public_url)
        # Cached, because browsers repeat the same host.
        self._read = lru_cache(maxsize=_KEPT_HOSTS)(self._read_host)

    def find(self, host: str, target: bytes, mount: str = "") -> PreviewTarget | None:
        """Find the preview's place by host or path; None if the request is for the service itself.

        Args:
            host: With or without a port, in any case.
            target: In origin form, byte for byte, as the client sent it.
            mount: The path at which a host application has mounted this one.
        """
        name, is_for_previews, preview_id = self._read(host)
        if is_for_previews is None:
            return None
        if is_for_previews:
            return PreviewTarget(preview_id, target)
        return self._by_path(name, target, mount)

    def sandbox_port(self, host: str) -> SandboxPort | None:
        """Return the sandbox's port that a host names; None for every other host."""
        found = self._sandbox_label(_name_of(host))
        return None if found is None else SandboxPort(found[2], int(found[1]))

    def _sandbox_label(self, name: str) -> re.Match[str] | None:
        suffix = next((one for one in self._suffixes if name.endswith(one)), None)
        return None if suffix is None else _SANDBOX.fullmatch(name.removesuffix(suffix))

    def sandbox_domain(self, host: str, mount: str = "") -> str | None:
        """Return the domain, with its port, below which ports of sandboxes have names; None if there is none.

        Args:
            host: Host of the current request, with its port.
            mount: As in ``find``.
        """
        if self._public is not None and self._public.netloc:
            host = self._public.netloc
        if mount or not (self._domain is not None or _is_this_machine(_name_of(host))):
            return None
        return f"{self._domain or _LOCAL[1:]}{_port_of(host)}"

    def _read_host(self, host: str) -> tuple[str, bool | None, str | None]:
        """Return the host's name, whether it is only for previews, and the preview that it names.

        A host for a sandbox's port has None instead: the application passes all of its paths on.
        """
        name = _name_of(host)
        suffix = next((one for one in self._suffixes if name.endswith(one)), None)
        if suffix is not None:
            found = _LABEL.fullmatch(name.removesuffix(suffix))
            if found is not None:
                return name, True, f"preview_{found[1]}"
            if self._sandbox_label(name) is not None:
                return name, None, None
            if suffix != _LOCAL or name.removesuffix(suffix).rpartition(".")[2].startswith(("preview-", "preview_")):
                # A wildcard domain is only for previews, and so is every name below a preview's name.
                return name, True, None
        return name, False, None

    def _by_path(self, name: str, target: bytes, mount: str) -> PreviewTarget | None:
        is_own_host = self._path_host is not None and name == self._path_host
        below = target.removeprefix(mount.encode()) if mount else target
        found = _PATH.match(below)
        if found is None:
            return PreviewTarget(None, target) if is_own_host else None
        written = found[1].lower().decode()
        preview_id = f"preview_{written[len('preview_') :]}"
        prefix, rest = f"{mount}/p/{preview_id}", below[found.end() :]
        redirect = None
        if found[1] != preview_id.encode() or not rest.startswith(b"/"):
            # A page's relative links need the folder's slash, and cookies belong to one spelling of a path.
            redirect = prefix.encode() + (rest if rest.startswith(b"/") else b"/" + rest)
        return PreviewTarget(preview_id, rest or b"/", prefix, len(target) - len(rest), not is_own_host, redirect)

    def address(self, preview_id: str, scheme: str, host: str, mount: str = "") -> str:
        """Return the preview's address for a browser, without a trailing slash.

        Args:
            preview_id: ``preview_…``.
            scheme: Scheme of the current request to the service.
            host: Host of the current request, with its port.
            mount: As in ``find``; a mounted application cannot use the host application's other hosts.
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
    """Return a ``Host`` in lower case, without its port and without a trailing dot."""
    name = host.lower()
    if not name.endswith("]"):
        before, colon, port = name.rpartition(":")
        name = before if colon and (port.isdigit() or not port) else name
    return name.rstrip(".")


def _port_of(host: str) -> str:
    """Return ``:PORT``, or an empty text."""
    port = host.rpartition("]")[2].rpartition(":")[2]
    return f":{port}" if port.isdigit() and host.endswith(f":{port}") else ""


def _is_this_machine(name: str) -> bool:
    """Return whether this host name shows that the browser runs on this machine."""
    if name == "localhost" or name.endswith(_LOCAL):
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
