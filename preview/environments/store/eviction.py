"""Removing environments that nobody has used for long, or that are too many."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from preview.environments.folders.layout import Layout, remove_tree
from preview.environments.folders.locks import FileLock, try_lock

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
    """The old ones, and the oldest of too many."""
    found = []
    for path in refusals:
        try:
            found.append((path.stat().st_mtime, path))
        except OSError as error:
            _log.warning("refusal not looked at", path=str(path), error=str(error))
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
            place.rename(doomed)  # at once out of reach of whoever asks for it next
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
        _log.warning("half-built environment not removed", key=key, error=str(error))
    finally:
        held.release()


def _try_exclusive(layout: Layout, key: str) -> FileLock | None:
    try:
        return try_lock(layout.lock(key), exclusive=True)
    except OSError as error:
        _log.warning("environment not lockable", key=key, error=str(error))
        return None
