"""``yarn.lock``, of Yarn 1 and of Yarn 2 and later.

Both name the ranges that are asked for, so npm gets them as it would read them itself: a ``yarn.lock`` of Yarn 1.
Source: https://classic.yarnpkg.com/lang/en/docs/yarn-lock/ and npm's arborist, ``lib/yarn-lock.js``
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from preview.environments.node.locks.pins import Locked, Pins, UnreadableLock, is_name, is_version
from preview.environments.node.locks.yaml_text import read_yaml

_LATER: Final = re.compile(rb"^__metadata:", re.MULTILINE)
_QUOTED_OR_PLAIN: Final = re.compile(r"\"([^\"]*)\"|([^\s,\"][^,\"]*)")
_VERSION: Final = re.compile(r"  version \"?([^\"\s]+)\"?")
_RESOLVED: Final = re.compile(r"  resolved \"?([^\"\s]+)\"?")
_INTEGRITY: Final = re.compile(r"  integrity \"?(sha(?:256|384|512)-[A-Za-z0-9+/]{40,100}={0,2})\"?")
# The package that lies at an address: `…/@babel/core/-/core-7.1.0.tgz`.
_PACKED: Final = re.compile(r"/((?:@[^/]{1,214}(?:/|%2f))?[^/]{1,214})/-/", re.IGNORECASE)
_PATCHED: Final = re.compile(r"(?P<name>(?:@[^/@]+/)?[^/@]+)@npm:(?P<version>[^#@]+)")


def read_yarn_lock(data: bytes) -> Pins:
    """What it pins.

    Raises:
        UnreadableLock: It says nothing that can be used.
    """
    entries = _later(read_yaml(data)) if _LATER.search(data) else _classic(data)
    # npm takes the key apart at commas and quotes.
    return Pins({key: locked for key, locked in entries if not re.search(r"[\",\\\x00-\x1f\x7f]", key)})


def _classic(data: bytes) -> Iterator[tuple[str, Locked]]:
    try:
        text = data.decode("utf-8-sig")
    except ValueError as error:
        raise UnreadableLock("it is no text in UTF-8") from error
    keys: list[str] = []
    facts: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if not line.startswith(" "):
            yield from _of_entry(keys, facts)
            if not line.endswith(":"):
                raise UnreadableLock(f"line {number} is neither an entry nor a part of one")
            keys = [quoted or plain.strip() for quoted, plain in _QUOTED_OR_PLAIN.findall(line[:-1])]
            facts = {}
        for name, pattern in (("version", _VERSION), ("resolved", _RESOLVED), ("integrity", _INTEGRITY)):
            if match := pattern.fullmatch(line.rstrip()):
                facts[name] = match[1]
    yield from _of_entry(keys, facts)


def _of_entry(keys: list[str], facts: Mapping[str, str]) -> Iterator[tuple[str, Locked]]:
    version = facts.get("version", "")
    packed = _PACKED.search(facts.get("resolved", ""))
    for key in keys:
        name, wanted = _split(key)
        if not is_name(name) or not is_version(version) or not _is_range(wanted):
            continue
        real = packed[1].replace("%2f", "/").replace("%2F", "/") if packed else name
        yield key, Locked(_under_name(name, real, version), facts.get("integrity"))


def _later(content: object) -> Iterator[tuple[str, Locked]]:
    for keys, facts in content.items() if isinstance(content, Mapping) else ():
        resolution = facts.get("resolution") if isinstance(facts, Mapping) else None
        match = _PATCHED.match(resolution) if isinstance(resolution, str) else None
        if match is None or not is_version(match["version"]) or not is_name(match["name"]):
            continue
        for key in str(keys).split(", "):
            name, wanted = _split(key)
            # `npm:^4.0.0` is written without its protocol in package.json, `npm:other@^4.0.0` with it.
            plain = wanted.removeprefix("npm:")
            wanted = wanted if is_name(_split(plain)[0]) and "@" in plain[1:] else plain
            if is_name(name) and _is_range(wanted):
                yield f"{name}@{wanted}", Locked(_under_name(name, match["name"], match["version"]))


def _split(key: str) -> tuple[str, str]:
    name, _, wanted = key[1:].partition("@")
    return key[:1] + name, wanted


def _is_range(wanted: str) -> bool:
    """Not an address, a path or a patch: these are installed from where they say."""
    return wanted.startswith("npm:") or not re.search(r"[:/\\]", wanted)


def _under_name(name: str, real: str, version: str) -> str:
    return version if real == name or not is_name(real) else f"npm:{real}@{version}"
