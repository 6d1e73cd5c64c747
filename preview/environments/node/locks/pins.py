"""What a lock file of another package manager says, in the forms that npm has for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

LOCK_NAMES: Final = ("yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb")
"""The files, the first of them that there is counts."""

_NAME: Final = re.compile(r"(?:@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~_][a-z0-9._~-]*", re.IGNORECASE)
_VERSION: Final = re.compile(r"\d{1,9}\.\d{1,9}\.\d{1,9}(?:[-+][0-9A-Za-z.+-]{1,100})?")


class UnreadableLock(ValueError):
    """A lock file that says nothing that can be used; the message says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class LockFile:
    """One file as it lies in the project.

    Attributes:
        name: One of ``LOCK_NAMES``.
        data: Its bytes.
    """

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Locked:
    """What a range was resolved to.

    Attributes:
        version: ``4.17.1``, or ``npm:other@4.17.1`` for a package under another name.
        integrity: As npm writes it (``sha512-…``), or None.
    """

    version: str
    integrity: str | None = None


@dataclass(frozen=True, slots=True)
class Pins:
    """Versions by what asks for them.

    Attributes:
        ranges: ``express@^4.17.0`` to what it was resolved to, wherever it is asked for.
        direct: Folder of a ``package.json`` to name and version of what it asks for itself.
        overrides: Name to version, for packages that the lock file has in one version alone.
    """

    ranges: Mapping[str, Locked] = field(default_factory=dict)
    direct: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether it pins nothing."""
        return not (self.ranges or self.overrides or any(self.direct.values()))


def is_name(text: str) -> bool:
    """Whether it names a package, and nothing that npm would read otherwise."""
    return _NAME.fullmatch(text) is not None


def is_version(text: str) -> bool:
    """Whether it is one version, not a range, an address or a path."""
    return _VERSION.fullmatch(text) is not None


def single_versions(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The packages that occur in one version alone, name to version."""
    found: dict[str, set[str]] = {}
    for name, version in pairs:
        found.setdefault(name, set()).add(version)
    return {
        name: next(iter(versions))
        for name, versions in found.items()
        if len(versions) == 1 and is_name(name) and all(map(is_version, versions))
    }
