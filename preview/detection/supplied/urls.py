"""Lead a server's URL to the preview's own server: its host becomes local, and demands of TLS are taken out."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Final

from preview.core.servers import SERVICE_HOSTS
from preview.detection.databases.services import DEFAULT_PORTS
from preview.detection.plan import ServiceKind

LOCAL: Final = "localhost"
_HOSTS: Final = frozenset((LOCAL, *SERVICE_HOSTS))
_MAX_HOST: Final = 255
_MAX_URL: Final = 4_000
# Parts that no URL has: placeholders, references, and parts that static reading cannot tell.
_UNKNOWN: Final = re.compile(r"[\s<>{}*\\|\"'`]|\$\(")
_PLACE: Final = re.compile(r"(?:\[[0-9a-fA-F:.]{1,60}\]|[^\[\]:]{0,255})(?::\d{0,5})?", re.ASCII)
_MODES: Final = frozenset(
    {"sslmode", "ssl", "ssl-mode", "ssl_mode", "sslaccept", "requiressl", "gssencmode", "channel_binding", "tls",
     "usessl", "ssl_verify_cert", "ssl_verify_identity", "ssl_check_hostname", "ssl_cert_reqs"}
)  # fmt: skip
# Files and details of TLS; some drivers start TLS because of them.
_DETAILS: Final = frozenset(
    {"sslrootcert", "sslcert", "sslkey", "sslcrl", "sslpassword", "sslidentity", "sslnegotiation", "ssl_ca",
     "ssl_capath", "ssl_cert", "ssl_key", "ssl_cipher", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}
)  # fmt: skip
_NO_DEMANDS: Final = frozenset(
    {"", "disable", "disabled", "allow", "prefer", "preferred", "false", "0", "off", "no", "none", "optional"}
)
_HOST_OPTIONS: Final = frozenset({"host", "hostaddr"})


@dataclass(frozen=True, slots=True)
class _Url:
    """A URL in parts that together are its text.

    Attributes:
        user: User and password with the ``@`` at the end; empty without one.
        hosts: Each host, with ``:`` and port if the URL has them.
        options: The query without its ``?``.
        fragment: The rest from ``#`` on.
    """

    scheme: str
    user: str
    hosts: tuple[str, ...]
    path: str
    options: tuple[str, ...] | None
    fragment: str

    def __str__(self) -> str:
        query = "" if self.options is None else f"?{'&'.join(self.options)}"
        return f"{self.scheme}://{self.user}{','.join(self.hosts)}{self.path}{query}{self.fragment}"


def local_url(text: str) -> str:
    """Return the URL with local hosts, and without demands of TLS; nothing else of it changes.

    A host that leads to the preview's own servers stays; see ``is_reached``. A text without ``://`` is returned as is.
    """
    url = _split(text)
    if url is None:
        return text
    url = _without_tls(replace(url, hosts=tuple(map(_local, url.hosts))))
    if url.options is not None:
        url = replace(url, options=tuple(map(_local_option, url.options)))
    return str(url)


def demands_tls(text: str) -> bool:
    """Return true if the URL demands an encrypted connection."""
    url = _split(text)
    return url is not None and _without_tls(url) != url


def hosts_of(text: str) -> tuple[str, ...]:
    """Return the hosts that a URL names, those of its query too; empty for other texts."""
    url = _split(text)
    if url is None:
        return ()
    options = [one.partition("=") for one in url.options or ()]
    named = [host for key, _, value in options if key.lower() in _HOST_OPTIONS for host in value.split(",")]
    return tuple(map(_host, (*url.hosts, *named)))


def is_reached(host: str) -> bool:
    """Return true if the name or address leads to the preview's own servers."""
    name = host.strip("[]").lower()
    if name in _HOSTS:
        return True
    # Reading an address takes long, and a hostile text may have a million of them.
    if len(name) > _MAX_HOST or not (name.startswith("127.") or "::" in name):
        return False
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_usable(text: str) -> bool:
    """Return true if a program can use the URL: no placeholder, a valid port, and not too long for a variable."""
    if len(text) > _MAX_URL or not text.isprintable() or _UNKNOWN.search(text):
        return False
    url = _split(text)
    return url is not None and all(_PLACE.fullmatch(place) and _has_valid_port(place) for place in url.hosts)


def own_address(kind: ServiceKind, scheme: str) -> str:
    """Return the URL of the preview's own server for a project that names none, with this scheme."""
    port = DEFAULT_PORTS[kind]
    if kind is ServiceKind.REDIS:
        return f"{scheme}://{LOCAL}:{port}/0"
    return f"{scheme}://preview:preview@{LOCAL}:{port}/preview"


def address_from(text: str, kind: ServiceKind) -> str:
    """Return the local form of a URL of that kind; of an unusable one, the preview's own address in its scheme."""
    if is_usable(text):
        return local_url(text)
    scheme = text.partition("://")[0].strip()
    return own_address(kind, scheme if re.fullmatch(r"[a-zA-Z0-9+]{1,40}", scheme) else SCHEMES[kind])


SCHEMES: Final = {
    ServiceKind.POSTGRESQL: "postgresql",
    ServiceKind.MYSQL: "mysql",
    ServiceKind.REDIS: "redis",
}
"""The kinds that a preview's own server can have, each with its plain scheme."""


def _split(text: str) -> _Url | None:
    scheme, found, rest = text.partition("://")
    if not found:
        return None
    end = _end(rest, 0)
    at = rest.rfind("@", 0, end)
    if at < 0 and "@" in rest and _has_password(rest[:end]):
        # A password with `/`, `?` or `#` as it is: SQLAlchemy and others read it up to the first `@`.
        at = rest.index("@")
        end = _end(rest, at)
    before, mark, fragment = rest[end:].partition("#")
    path, query, options = before.partition("?")
    return _Url(
        scheme,
        rest[: at + 1],
        tuple(rest[at + 1 : end].split(",")),
        path,
        tuple(options.split("&")) if query else None,
        mark + fragment,
    )


def _end(text: str, start: int) -> int:
    return min((found for sign in "/?#" if (found := text.find(sign, start)) >= 0), default=len(text))


def _has_password(authority: str) -> bool:
    """Return true if the part after the first colon is no port."""
    _, colon, port = authority.partition(":")
    return bool(colon) and not authority.startswith("[") and not (port.isascii() and port.isdigit())


def _host(place: str) -> str:
    end = place.find("]") + 1 if place.startswith("[") else 0
    # Only a port may follow the brackets.
    return place[:end] if end and place[end : end + 1] in {"", ":"} else place.partition(":")[0]


def _local(place: str) -> str:
    host = _host(place)
    if is_reached(host):
        return place
    rest = place[len(host) :]
    # Without the brackets before it, what is no port could read as a password.
    return LOCAL + (rest if not place.startswith("[") or rest[1:].isdecimal() else "")


def _local_option(option: str) -> str:
    key, sign, value = option.partition("=")
    if key.lower() not in _HOST_OPTIONS:
        return option
    hosts = (one if is_reached(_host(one)) else LOCAL + one[len(_host(one)) :] for one in value.split(","))
    return f"{key}{sign}{','.join(hosts) if not value.startswith(('/', '%2F', '%2f')) else LOCAL}"


def _has_valid_port(place: str) -> bool:
    rest = place[len(_host(place)) :]
    if not rest.startswith(":"):
        return not rest
    port = rest[1:]
    return not port or (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536)


def _without_tls(url: _Url) -> _Url:
    """Take out options that demand TLS; of a scheme that means TLS (``rediss``), all options of TLS."""
    encrypted = url.scheme.lower() == "rediss"
    scheme = url.scheme[:-1] if encrypted else url.scheme
    if url.options is None:
        return replace(url, scheme=scheme)
    kept = tuple(option for option in url.options if not _demands(option, everything=encrypted))
    return replace(url, scheme=scheme, options=kept or None if kept != url.options else kept)


def _demands(option: str, *, everything: bool) -> bool:
    name, _, value = option.partition("=")
    key = name.lower()
    return key in _DETAILS or (key in _MODES and (everything or value.lower() not in _NO_DEMANDS))
