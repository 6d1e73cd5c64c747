"""Which hosts builds may reach: those of the indexes that the operator has set up, and those that a setting adds."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed leaves it out

from preview.environments.way_out.addresses import Address, is_own, is_public, parse_address
from preview.environments.way_out.leading import settings_files
from preview.environments.way_out.public_indexes import NODE_REGISTRY, PYTHON_FILES, PYTHON_INDEX

DEFAULT_HOSTS: Final = (
    (PYTHON_INDEX, 443),
    (PYTHON_FILES, 443),
    (NODE_REGISTRY, 443),
    # What well-known packages of these indexes fetch while they are installed.
    ("binaries.prisma.sh", 443),
    ("nodejs.org", 443),
)
"""Hosts and ports that builds reach without any setting; documented in ``docs/settings.md``."""

_ANY: Final = "*"
_ANY_PORTS: Final = frozenset({80, 443})
_PORTS: Final = {"http": 80, "https": 443}
_URL: Final = re.compile(r"(?:git\+)?(https?://[^\s,\"'<>]+)")
# Addresses that are no package's: proxies, and what nobody asks while packages are installed.
_NO_INDEX: Final = re.compile(r"proxy|publish|user.agent|node.options|init.author|noproxy|auth", re.IGNORECASE)
_VARIABLES: Final = re.compile(r"UV_|NPM_CONFIG_|PRISMA_ENGINES_", re.IGNORECASE)
_REFERENCE: Final = re.compile(r"\$\{([^${}]+)\}")
_MOST_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """Where builds may connect to.

    Attributes:
        indexes: Hosts and ports of the operator's own indexes: whatever their addresses are.
        others: Further hosts and ports: on public addresses, or on one that stands here itself.
        any_public: Each host is allowed, on a public address, on the ports of HTTP.
        proxies: The operator's own proxies by scheme (``http``, ``https``), and ``no``: hosts reached without.
        urls: Addresses of the operator's own indexes.
    """

    indexes: frozenset[tuple[str, int]]
    others: frozenset[tuple[str, int]]
    any_public: bool
    proxies: Mapping[str, str]
    urls: frozenset[str] = frozenset()

    def allows(self, host: str, port: int) -> bool:
        """Whether a build may ask for this host, a name in lower case or an address."""
        there = (host, port)
        return there in self.indexes or there in self.others or (self.any_public and port in _ANY_PORTS)

    def allows_address(self, host: str, address: Address, port: int) -> bool:
        """Whether ``address``, which the name leads to just now, may be connected to.

        Raises:
            OSError: There is no way to the address.
        """
        if (host, port) in self.indexes or (str(address), port) in self.others:
            return True
        return is_public(address) and not is_own(address, port)

    def proxy_for(self, scheme: str, host: str) -> SplitResult | None:
        """The operator's proxy on the way to the host; None where there is none."""
        found = self.proxies.get(scheme)
        if not found or proxy_bypass_environment(host, dict(self.proxies)):
            return None
        return urlsplit(found if "://" in found else f"http://{found}")


def read_allowed(environment: Mapping[str, str], added: Sequence[str]) -> AllowedHosts:
    """What the operator has set up, as an installer would read it. Blocks on the disk.

    Args:
        environment: The installer's variables: indexes, proxies, the home folder.
        added: ``Settings.build_hosts``: ``HOST:PORT`` or ``*``.
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
    """Host and port of an ``http`` or ``https`` address, as ``AllowedHosts`` has them; None for anything else."""
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
    """What one settings file sets, without what is no index."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:  # it is not there, or not for this user: the installer does without it too
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
