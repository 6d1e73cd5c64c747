"""Eviction of unused environments, memory of read requirements, and checks of where packages come from.

A package of the same name in another index may be a stranger's (dependency confusion). So a project's own index must be
configured in the service, and a path, URL or repository must exist; otherwise the build fails.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import structlog

from preview.core.bounded_dict import BoundedDict
from preview.core.descriptors import raise_want
from preview.environments.folders.environment import EnvironmentRequest
from preview.environments.folders.layout import Layout, remove_tree
from preview.environments.folders.locks import FileLock, try_lock
from preview.environments.manifests.stated import STATED_IN, Asked
from preview.environments.python.reading import read_request
from preview.environments.requirements.requirements import OwnIndex, Unfollowed, invalid
from preview.environments.way_out.allowed import (
    NODE_REGISTRIES,
    PYTHON_INDEX,
    PYTHON_INDEX_BEFORE,
    AllowedHosts,
    host_of,
)
from preview.errors import EnvironmentFailed
from preview.sources import Sources

# After this time, a package may have a wheel for the newer Python.
_REFUSED_S = 7 * 24 * 3600.0
_MOST_REFUSED = 1000

_log = structlog.get_logger(__name__)


def evict(layout: Layout, *, max_age_s: float, max_bytes: int) -> int:
    """Remove old environments, then the least recently used ones until the rest fits; none that a process uses.

    Also removes leftovers of killed builds, and week-old notes about failures with a newer Python. Blocks on the disk:
    call it in a thread.

    Args:
        layout: The folder of all environments.
        max_age_s: Seconds since the last use.
        max_bytes: Size limit in bytes for all environments together.

    Returns:
        Number of removed environments.
    """
    for key, path in layout.leftovers():
        _remove_leftover(layout, key, path)
    now = time.time()
    _forget_old(layout.refusals(), now)
    by_age = sorted((last_use(layout, key), key) for key in layout.all_keys())
    total = sum(layout.size_bytes(key) for _, key in by_age)
    removed = 0
    for used_at, key in by_age:
        if now - used_at <= max_age_s and total <= max_bytes:
            continue
        size = layout.size_bytes(key)
        if evict_one(layout, key, used_at):
            removed += 1
            total -= size
            _log.info("environment evicted", key=key, size_bytes=size, unused_s=round(now - used_at))
    return removed


def _forget_old(refusals: Sequence[Path], now: float) -> None:
    """Remove old refusals, and the oldest ones if there are too many."""
    found = []
    for path in refusals:
        try:
            found.append((path.stat().st_mtime, path))
        except OSError as error:
            _log.warning("refusal not read", path=str(path), error=str(error))
    for count, (written_at, path) in enumerate(sorted(found, reverse=True), start=1):
        if count > _MOST_REFUSED or now - written_at > _REFUSED_S:
            try:
                path.unlink()
            except OSError as error:
                _log.warning("refusal not removed", path=str(path), error=str(error))


def last_use(layout: Layout, key: str) -> float:
    """Return the time of the last use, in seconds since the epoch; 0 if unknown."""
    for path in (layout.lock(key), layout.directory(key)):
        try:
            return path.stat().st_mtime
        except FileNotFoundError:
            continue
    return 0.0


def evict_one(layout: Layout, key: str, used_at: float) -> bool:
    """Remove an environment unless it is in use, or was used after ``used_at``; return whether it was removed."""
    existed = layout.lock(key).exists()  # if not, locking creates the file with the current time
    held = try_exclusive(layout, key)
    if held is None:
        return False
    try:
        if existed and last_use(layout, key) > used_at:  # used since the age was read
            return False
        place, doomed = layout.directory(key), layout.temporary(key, "removing")
        try:
            place.rename(doomed)  # no launch finds the environment from now on
            remove_tree(doomed)
        except OSError as error:
            _log.warning("environment not removed", key=key, error=str(error))
            return False
        held.remove()
        return True
    finally:
        held.release()


def _remove_leftover(layout: Layout, key: str, path: Path) -> None:
    held = try_exclusive(layout, key)
    if held is None:
        return
    try:
        remove_tree(path)
        if not layout.directory(key).exists():
            held.remove()
    except OSError as error:
        _log.warning("unfinished environment not removed", key=key, error=str(error))
    finally:
        held.release()


def try_exclusive(layout: Layout, key: str) -> FileLock | None:
    """Return the environment's lock; None while somebody uses the environment."""
    try:
        return try_lock(layout.lock(key), exclusive=True)
    except OSError as error:
        _log.warning("environment not lockable", key=key, error=str(error))
        return None


# An entry takes a few kilobytes.
_MAX_ANSWERS: Final = 256
# Names and suffixes of manifests; requirements may also be included from any text file.
_READ: Final = (".py", ".txt", ".toml", ".lock", ".cfg", ".in", ".yml", ".yaml", "Pipfile", *STATED_IN)


class RequestMemory:
    """Requirements of projects, by the hash of their files. Thread-safe."""

    def __init__(self) -> None:
        self._answers: BoundedDict[bytes, Asked] = BoundedDict(_MAX_ANSWERS)
        self._lock = threading.Lock()

    def read(self, request: EnvironmentRequest, sources: Sources | None = None) -> Asked:
        """Return the project's requirements without running its code. Call it in a thread.

        Args:
            request: The request for the environment.
            sources: The project's files if they were read before.

        Raises:
            EnvironmentFailed: A manifest cannot be read.
        """
        sources = sources or Sources(request.project)
        key = _digest(sources, request)
        with self._lock:
            if (known := self._answers.use(key)) is not None:
                return known
        asked = read_request(request, sources)
        if is_shareable(asked):
            with self._lock:
                self._answers[key] = asked
        return asked


def is_shareable(asked: Asked) -> bool:
    """Return whether copies of the project have the same requirements.

    A requirement for a package in the project contains the package's current path and a hash of its content.
    """
    return not any("file:" in item.text or item.text.startswith("/") for item in asked.required.requirements)


def _digest(sources: Sources, request: EnvironmentRequest) -> bytes:
    digest = hashlib.sha256(repr((request.folder, request.extra, request.server, request.entry)).encode())
    for name in sources.all_names:
        last = name.rpartition("/")[2]
        if name.endswith(_READ) or last.startswith(".env") or last.upper().startswith("README"):
            text = sources.text(name) or _large(sources, name)
            digest.update(f"\0{name}\0{len(text)}\0".encode("utf-8", "surrogateescape"))
            digest.update(text)
    return digest.digest()


def _large(sources: Sources, name: str) -> bytes:
    """Return the hash of a file that is too large for ``Sources``, such as a lock file."""
    path = sources.root / name
    if path.is_symlink() or not path.is_file():
        return b""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise_want(error)
        return b""


# Public indexes: a project that names one can use the service's own index instead.
_PUBLIC: Final = (
    f"https://{PYTHON_INDEX}/simple", f"https://{PYTHON_INDEX_BEFORE}/simple", f"https://{PYTHON_INDEX}/pypi",
    f"https://{PYTHON_INDEX}", *(f"https://{one}" for one in NODE_REGISTRIES[:2]),
)  # fmt: skip
# PyTorch's indexes offer other builds of packages that the public index has from the same publishers.
_OTHER_BUILDS: Final = re.compile(r"https://download\.pytorch\.org/whl(?:/[\w.+-]+)*/?")
_SHOWN: Final = 200


def check_names(indexes: Iterable[OwnIndex], unfollowed: Sequence[Unfollowed], allowed: AllowedHosts) -> None:
    """Check that a project's packages can be installed from the sources that the project names.

    Raises:
        EnvironmentFailed: A source is missing, or an index is not configured.
    """
    if unfollowed:
        first = unfollowed[0]
        raise invalid(first.sentence, requirement=first.text, origin=first.origin)
    for index in indexes:
        if not _is_configured(index.url, allowed):
            raise EnvironmentFailed(
                f"{index.origin} takes packages from an index that this service does not use "
                f"({_shown(index.url)}). A package of the same name in another index may be someone else's. Leave the "
                f"index out, or ask the operator to add it ({index.setting})",
                reason="index",
                requirement=_shown(index.url),
                origin=index.origin,
            )


def _is_configured(url: str, allowed: AllowedHosts) -> bool:
    meant = _plain(url)
    is_known = _OTHER_BUILDS.fullmatch(url.strip()) or meant in {_plain(one) for one in (*_PUBLIC, *allowed.urls)}
    return meant is not None and bool(is_known)


def _plain(url: str) -> tuple[str, tuple[str, int], str] | None:
    """Return the parts of an index's URL, without credentials and trailing slash; None if it is not a URL."""
    url = url.strip().strip("\"'")
    there = host_of(url)
    if there is None:
        return None
    parts = urlsplit(url)
    return parts.scheme, there, parts.path.rstrip("/")


def _shown(url: str) -> str:
    """Return the URL without credentials."""
    plain = _plain(url)
    if plain is None:
        # Even a text that is not a URL may contain a password.
        return url.strip().rpartition("@")[2][:_SHOWN]
    return f"{plain[0]}://{plain[1][0]}{plain[2]}"[:_SHOWN]
