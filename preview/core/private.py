"""The folder that only the service's own user may look into: users' code, their output and the secret lie in it."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
# What a service leaves in its folder, drafts aside. A folder that holds more than that may be anything, ``/var/lib``
# even, and is not ours to close.
_OURS = frozenset(
    {"cache", "client", "journal", "lost+found", "preview.db", "preview.db-journal", "preview.db-shm", "preview.db-wal",
     "previews", "previews.lock", "run", "sandbox", "secret", "service.json", "service.lock", "storage", "templates"}
)  # fmt: skip


def make_private_folder(folder: Path) -> bool:
    """Make the folder, and those above it that are missing, for this user alone (mode 0700).

    One that is there and open to others is closed to them, where it is this user's and holds nothing but what a
    service keeps.

    Returns:
        Whether it is closed to others now.

    Raises:
        OSError: It is not there and cannot be made, or something else has its name.
    """
    # ``Path.mkdir`` gives its mode to the last one only.
    for one in (*reversed(folder.parents), folder):
        if one == folder or not one.exists():
            one.mkdir(mode=stat.S_IRWXU, exist_ok=True)
    found = folder.stat()
    if found.st_mode & _OTHERS and found.st_uid == os.geteuid() and _is_ours(folder):
        # Some file systems have no modes to set.
        with suppress(OSError):
            folder.chmod(stat.S_IRWXU)
    return not folder.stat().st_mode & _OTHERS


def _is_ours(folder: Path) -> bool:
    return all(one.name in _OURS or one.name.startswith((".secret.", ".service.json.")) for one in folder.iterdir())
