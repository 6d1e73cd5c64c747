"""Removing environments that nobody has used for long, or that are too many.

Requirements that cannot be followed to where they come from: they fail, and nobody looks their names up elsewhere.

A package of the same name in another index may be a stranger's (dependency confusion). So an index of the project's own
is one that the service is set up with, or the build fails; likewise a path, an address or a repository that is not
there.
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
from preview.environments.python.recipe import read_request
from preview.environments.requirements.requirements import OwnIndex, Unfollowed, invalid
from preview.environments.way_out import AllowedHosts, host_of
from preview.environments.way_out.allowed import NODE_REGISTRIES, PYTHON_INDEX, PYTHON_INDEX_BEFORE
from preview.errors import EnvironmentFailed
from preview.sources import Sources

# What had no wheel for a newer Python then may have one now.
_REFUSED_S = 7 * 24 * 3600.0
_MOST_REFUSED = 1000

_log = structlog.get_logger(__name__)


def evict(layout: Layout, *, max_age_s: float, max_bytes: int) -> int:
    """Remove what is too old, then the longest unused until the rest fits; never one that any process uses.

    Also removes what killed builds have left, and forgets what could not be had for a newer Python a week ago. It
    blocks on the disk: call it in a thread.

    Args:
        layout: Which environments.
        max_age_s: Seconds since the last use.
        max_bytes: For all environments together.

    Returns:
        How many environments were removed.
    """
    for key, path in layout.leftovers():
        _remove_leftover(layout, key, path)
    now = time.time()
    _forget_old(layout.refusals(), now)
    by_age = sorted((_last_use(layout, key), key) for key in layout.all_keys())
    total = sum(layout.size_bytes(key) for _, key in by_age)
    removed = 0
    for last_use, key in by_age:
        if now - last_use <= max_age_s and total <= max_bytes:
            continue
        size = layout.size_bytes(key)
        if _evict_one(layout, key, last_use):
            removed += 1
            total -= size
            _log.info("environment evicted", key=key, size_bytes=size, unused_s=round(now - last_use))
    return removed


def _forget_old(refusals: Sequence[Path], now: float) -> None:
    """Remove old entries, and the oldest of too many."""
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


def _last_use(layout: Layout, key: str) -> float:
    for path in (layout.lock(key), layout.directory(key)):
        try:
            return path.stat().st_mtime
        except FileNotFoundError:
            continue
    return 0.0


def _evict_one(layout: Layout, key: str, last_use: float) -> bool:
    existed = layout.lock(key).exists()  # else locking makes it, with the time of now
    held = _try_exclusive(layout, key)
    if held is None:
        return False
    try:
        if existed and _last_use(layout, key) > last_use:  # used since it was looked at
            return False
        place, doomed = layout.directory(key), layout.temporary(key, "removing")
        try:
            place.rename(doomed)  # at once out of reach of the next launch
            remove_tree(doomed)
        except OSError as error:
            _log.warning("environment not removed", key=key, error=str(error))
            return False
        held.remove()
        return True
    finally:
        held.release()


def _remove_leftover(layout: Layout, key: str, path: Path) -> None:
    held = _try_exclusive(layout, key)
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


def _try_exclusive(layout: Layout, key: str) -> FileLock | None:
    try:
        return try_lock(layout.lock(key), exclusive=True)
    except OSError as error:
        _log.warning("environment not lockable", key=key, error=str(error))
        return None


# Each takes a few kilobytes.
_MAX_ANSWERS: Final = 256
# What manifests are called. Requirements may be included from any text file.
_READ: Final = (".py", ".txt", ".toml", ".lock", ".cfg", ".in", ".yml", ".yaml", "Pipfile", *STATED_IN)


class RequestMemory:
    """Answers by the hash of a project's files; may be asked from several threads."""

    def __init__(self) -> None:
        self._answers: BoundedDict[bytes, Asked] = BoundedDict(_MAX_ANSWERS)
        self._lock = threading.Lock()

    def read(self, request: EnvironmentRequest, sources: Sources | None = None) -> Asked:
        """Read the project's requirements. Runs nothing; call it in a thread.

        Args:
            request: What is asked for.
            sources: The project's files, where somebody has read them already.

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
    """Return whether another copy of the project asks for the same.

    A package in the project is named by where it lies now, and by all that is in it.
    """
    return not any("file:" in item.text or item.text.startswith("/") for item in asked.required.requirements)


def _digest(sources: Sources, request: EnvironmentRequest) -> bytes:
    digest = hashlib.sha256(repr((request.folder, request.extra, request.server, request.entry)).encode())
    for name in sources.all_names:
        last = name.rpartition("/")[2]
        if name.endswith(_READ) or last.startswith(".env"):
            text = sources.text(name) or _large(sources, name)
            digest.update(f"\0{name}\0{len(text)}\0".encode("utf-8", "surrogateescape"))
            digest.update(text)
    return digest.digest()


def _large(sources: Sources, name: str) -> bytes:
    """Return the hash of a file that is too large to be kept as source: a lock file."""
    path = sources.root / name
    if path.is_symlink() or not path.is_file():
        return b""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise_want(error)
        return b""


# The public indexes: a project that names them means what the service's own index stands for.
_PUBLIC: Final = (
    f"https://{PYTHON_INDEX}/simple", f"https://{PYTHON_INDEX_BEFORE}/simple", f"https://{PYTHON_INDEX}/pypi",
    f"https://{PYTHON_INDEX}", *(f"https://{one}" for one in NODE_REGISTRIES[:2]),
)  # fmt: skip
# The public index has the packages of these under the same names, from the same publishers: other builds of them.
_OTHER_BUILDS: Final = re.compile(r"https://download\.pytorch\.org/whl(?:/[\w.+-]+)*/?")
_SHOWN: Final = 200


def check_names(indexes: Iterable[OwnIndex], unfollowed: Sequence[Unfollowed], allowed: AllowedHosts) -> None:
    """See that a project's requirements can be taken from where they come from.

    Raises:
        EnvironmentFailed: One cannot.
    """
    if unfollowed:
        first = unfollowed[0]
        raise invalid(first.sentence, requirement=first.text, origin=first.origin)
    for index in indexes:
        if not _is_configured(index.url, allowed):
            raise EnvironmentFailed(
                f"{index.origin} takes packages from an index that this service is not set up with "
                f"({_shown(index.url)}), and a package of the same name from another one may be a stranger's; leave "
                f"the index out, or have the service's operator add it ({index.setting})",
                reason="index",
                requirement=_shown(index.url),
                origin=index.origin,
            )


def _is_configured(url: str, allowed: AllowedHosts) -> bool:
    meant = _plain(url)
    is_known = _OTHER_BUILDS.fullmatch(url.strip()) or meant in {_plain(one) for one in (*_PUBLIC, *allowed.urls)}
    return meant is not None and bool(is_known)


def _plain(url: str) -> tuple[str, tuple[str, int], str] | None:
    """Normalise an index's address: without credentials and a slash at its end."""
    url = url.strip().strip("\"'")
    there = host_of(url)
    if there is None:
        return None
    parts = urlsplit(url)
    return parts.scheme, there, parts.path.rstrip("/")


def _shown(url: str) -> str:
    """Without credentials."""
    plain = _plain(url)
    if plain is None:
        # What is no address may hold a password all the same.
        return url.strip().rpartition("@")[2][:_SHOWN]
    return f"{plain[0]}://{plain[1][0]}{plain[2]}"[:_SHOWN]
