"""Addresses of packages in npm's lock file that only the registry of its author understands."""

from __future__ import annotations

import re
from typing import Final

from preview.environments.way_out.allowed import NODE_REGISTRIES

# npm takes its own one for the registry that it is set to.
_REGISTRY: Final = f"https://{NODE_REGISTRIES[0]}"
_HASH: Final = rb"sha(?:1|256|384|512)-[A-Za-z0-9+/]{27,86}={0,2}"
_HASHES: Final = _HASH + rb"(?: " + _HASH + rb"){0,3}"
# npm writes a package's address and hash one after the other.
_LOCKED: Final = re.compile(
    rb'(?P<before>"resolved"\s{0,9}:\s{0,9}")(?P<url>https?://[^"\\]{1,600})'
    rb'(?="\s{0,40},\s{0,40}"integrity"\s{0,9}:\s{0,9}"' + _HASHES + rb'")'
)
_NAME: Final = re.compile(r"(?:@[\w~-][\w.~-]{0,200}/)?[\w~-][\w.~-]{0,200}")


def is_whole_hash(integrity: object) -> bool:
    """Return whether npm checks a package by this: it ignores what is no hash, and takes any package."""
    return isinstance(integrity, str) and re.fullmatch(_HASHES, integrity.encode("utf-8", "replace")) is not None


def with_usual_addresses(lock: bytes) -> bytes:
    """Return the lock file with the registry's usual address for each package with a hash.

    A mirror has the packages below a path (``/repository/npm/ms/-/ms-2.1.3.tgz``) or at another one
    (``/ms/download/ms-2.1.3.tgz``). npm only replaces the host. The hash tells whether it is the same package.
    """
    return _LOCKED.sub(lambda match: match["before"] + _usual(match["url"].decode("utf-8", "replace")).encode(), lock)


def _usual(url: str) -> str:
    """Return the usual address of a package; the same one if it has that, or is in another form."""
    _, *path = re.split(r"[?#]", url, maxsplit=1)[0].partition("://")[2].split("/")
    if len(path) < 3:
        return url
    *above, last, mark, file = path
    name = re.sub("%2f", "/", last, flags=re.IGNORECASE)
    if above and above[-1].startswith("@"):
        name = f"{above[-1]}/{name}"
    base = name.rpartition("/")[2]
    if not _NAME.fullmatch(name) or not (file.startswith(f"{base}-") and file.endswith(".tgz")):
        return url
    usual = f"{name}/-/{file}"
    is_known = mark in {"-", "download"} or file == f"{base}-{mark}.tgz"
    return f"{_REGISTRY}/{usual}" if is_known and "/".join(path) != usual else url
