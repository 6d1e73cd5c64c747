"""Hosts that builds may reach: the public package indexes, the operator's indexes, and those that a setting adds.

The names of the public indexes are joined from parts. No file of the project contains the address of a package
registry, so a search for one finds only a configuration that leaked (``tests/test_house.py``).
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # missing in typeshed

from preview.environments.way_out.leading import settings_files

PYTHON_INDEX: Final = ".".join(("pypi", "org"))
PYTHON_INDEX_BEFORE: Final = ".".join(("pypi", "python", "org"))
"""The index's name until 2018, found in old lock files."""
PYTHON_FILES: Final = ".".join(("files", "python" + "hosted", "org"))
NODE_REGISTRY: Final = ".".join(("registry", "npmjs", "org"))
NODE_REGISTRIES: Final = (
    NODE_REGISTRY,
    ".".join(("registry", "yarnpkg", "com")),
    ".".join(("registry", "npmmirror", "com")),
    ".".join(("registry", "npm", "taobao", "org")),
    ".".join(("registry", "cnpmjs", "org")),
)
"""The npm registry, its alias, and its mirrors. All serve the same packages."""


Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# RFC 5737 and RFC 3849: for documentation, so no real network. A name resolves to one only if an operator set this up.
_DOCUMENTATION: Final = tuple(
    ipaddress.ip_network(one) for one in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)
# RFC 6052: an IPv4 address behind a translator. The networks below also contain IPv4 addresses (RFC 4380 Teredo,
# RFC 3056 6to4) or are special; the result for them must not depend on the version of ``ipaddress``.
_TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")
_NEVER: Final = tuple(
    ipaddress.ip_network(one)
    for one in ("192.0.0.0/24", "2001::/32", "2002::/16", "::/96", "64:ff9b:1::/48", "fec0::/10")
)
_LAST_32_BITS: Final = 0xFFFFFFFF


def parse_address(text: str) -> Address | None:
    """Return an address without its scope, and IPv4-mapped IPv6 as IPv4; None if invalid."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped) or found


def is_public(address: Address) -> bool:
    """Return whether the address is in no private, local or special network (IANA's registries)."""
    if isinstance(address, ipaddress.IPv6Address) and address in _TRANSLATED:
        return is_public(ipaddress.IPv4Address(int(address) & _LAST_32_BITS))
    if any(address in network for network in _NEVER):
        return False
    if any(address in network for network in _DOCUMENTATION):
        return True
    return address.is_global and not address.is_multicast


def is_own(address: Address, port: int) -> bool:
    """Return whether the address is this machine's: a socket connected to it has the same local address. Sends nothing.

    Raises:
        OSError: There is no route to the address, or no file descriptor is free.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((str(address), port))
        return parse_address(probe.getsockname()[0]) == address


DEFAULT_HOSTS: Final = (
    (PYTHON_INDEX, 443),
    (PYTHON_FILES, 443),
    (NODE_REGISTRY, 443),
    # Hosts from which well-known packages download files during their installation.
    ("binaries.prisma.sh", 443),
    ("nodejs.org", 443),
)
"""Hosts and ports that builds reach without any setting; documented in ``docs/settings.md``."""

_ANY: Final = "*"
_ANY_PORTS: Final = frozenset({80, 443})
_PORTS: Final = {"http": 80, "https": 443}
_URL: Final = re.compile(r"(?:git\+)?(https?://[^\s,\"'<>]+)")
# Names of settings whose URLs are not indexes: proxies, publishing and the like.
_NO_INDEX: Final = re.compile(r"proxy|publish|user.agent|node.options|init.author|noproxy|auth", re.IGNORECASE)
_VARIABLES: Final = re.compile(r"UV_|NPM_CONFIG_|PRISMA_ENGINES_", re.IGNORECASE)
_REFERENCE: Final = re.compile(r"\$\{([^${}]+)\}")
_MOST_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """Hosts that builds may connect to.

    Attributes:
        indexes: Hosts and ports of the operator's own indexes, allowed on any IP address.
        others: Further hosts and ports, allowed if their IP address is public or is given here itself.
        any_public: Whether any host on a public IP address may be reached on ports 80 and 443.
        proxies: The operator's own proxies by scheme (``http``, ``https``); ``no`` lists hosts reached directly.
        urls: URLs of the operator's own indexes.
    """

    indexes: frozenset[tuple[str, int]]
    others: frozenset[tuple[str, int]]
    any_public: bool
    proxies: Mapping[str, str]
    urls: frozenset[str] = frozenset()

    def allows(self, host: str, port: int) -> bool:
        """Return whether a build may connect to this host, a lower-case name or an IP address."""
        there = (host, port)
        return there in self.indexes or there in self.others or (self.any_public and port in _ANY_PORTS)

    def allows_address(self, host: str, address: Address, port: int) -> bool:
        """Return whether a build may connect to ``address``, to which the host name currently resolves.

        Raises:
            OSError: There is no route to the address.
        """
        if (host, port) in self.indexes or (str(address), port) in self.others:
            return True
        return is_public(address) and not is_own(address, port)

    def proxy_for(self, scheme: str, host: str) -> SplitResult | None:
        """Return the operator's proxy for the host; None if there is none."""
        found = self.proxies.get(scheme)
        if not found or proxy_bypass_environment(host, dict(self.proxies)):
            return None
        return urlsplit(found if "://" in found else f"http://{found}")


def read_allowed(environment: Mapping[str, str], added: Sequence[str]) -> AllowedHosts:
    """Read the operator's configuration as an installer would. Blocks on the disk.

    Args:
        environment: The installer's variables, with indexes, proxies and the home folder.
        added: Value of ``Settings.build_hosts``: ``HOST:PORT`` or ``*``.
    """
    named = [value for name, value in environment.items() if _VARIABLES.match(name) and _NO_INDEX.search(name) is None]
    written = [text for path in settings_files(environment) for text in _values(path, environment)]
    hosts = [(host, int(port)) for host, _, port in (one.rpartition(":") for one in added if one != _ANY)]
    urls = frozenset(match[1] for text in (*named, *written) for match in _URL.finditer(text))
    return AllowedHosts(
        indexes=frozenset(there for url in urls if (there := host_of(url)) is not None),
        others=frozenset([*DEFAULT_HOSTS, *hosts]),
        any_public=_ANY in added,
        proxies=_proxies(environment),
        urls=urls,
    )


def host_of(url: str) -> tuple[str, int] | None:
    """Return host and port of an ``http`` or ``https`` URL, as ``AllowedHosts`` has them; None for anything else."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        return None
    host = (parts.hostname or "").rstrip(".")
    address = parse_address(host)
    return (str(address) if address is not None else host, port) if host else None


def _proxies(environment: Mapping[str, str]) -> dict[str, str]:
    lower = {name.lower(): value for name, value in environment.items() if value}
    found = {scheme: lower.get(f"{scheme}_proxy") or lower.get("all_proxy") for scheme in ("http", "https")}
    found["no"] = lower.get("no_proxy")
    return {scheme: value for scheme, value in found.items() if value}


def _values(path: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the values in one settings file that may be URLs of indexes."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:  # the file is missing or unreadable; the installer ignores it too
        return
    if path.suffix == ".toml":
        try:
            yield from _strings(tomllib.loads(text))
        except (tomllib.TOMLDecodeError, RecursionError):
            return
        return
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not key.lstrip().startswith((";", "#")) and not _NO_INDEX.search(key.rpartition("/:")[2]):
            yield _REFERENCE.sub(lambda match: environment.get(match[1], os.environ.get(match[1], "")), value)


def _strings(value: object, key: str = "") -> Iterator[str]:
    if isinstance(value, str) and not _NO_INDEX.search(key):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _strings(item, str(name))
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, key)
