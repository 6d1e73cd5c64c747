"""The data folder, closed to others, and its files with generated secrets: complete, the same for each process."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from preview.core.ids import new_token
from preview.core.portable import own_uid

# A generated secret has 43 characters; an operator's own may be longer, up to this size.
MAX_FILE_BYTES = 4096


class KeyFileUnusable(ValueError):
    """The file cannot be used. The message ends a sentence that starts with the file's path."""


def read_or_create(path: Path) -> str:
    """Return the text of a file with a secret, without spaces around it. A missing file is created (mode 0600).

    Any number of processes may call this at the same time; all get the same secret. A file that others may read is
    closed to them.

    Raises:
        KeyFileUnusable: The file is not a regular file, not text, or longer than ``MAX_FILE_BYTES``.
        OSError: The file cannot be read or created.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        _create(path)
        return _read(path)


def _read(path: Path) -> str:
    # Non-blocking, so that opening a FIFO does not wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise KeyFileUnusable("is not a file")
        if found.st_mode & 0o077:
            os.fchmod(descriptor, 0o600)
            _log().warning("secret mode tightened", path=str(path), found=f"{stat.S_IMODE(found.st_mode):04o}")
        content = os.read(descriptor, MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    try:
        secret = content.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise KeyFileUnusable("is not text") from None
    if len(content) > MAX_FILE_BYTES:
        raise KeyFileUnusable(f"is longer than {MAX_FILE_BYTES} bytes")
    return secret


def _log() -> Any:
    import structlog  # noqa: PLC0415  it takes a tenth of a second, which each command would wait

    return structlog.get_logger(__name__)


def _create(path: Path) -> None:
    """Create the file atomically with its content; if two processes create it, the first file stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            # The umask may have removed the owner's read permission.
            os.fchmod(descriptor, 0o600)
            os.write(descriptor, f"{new_token()}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        # Unlike a rename, a link never replaces a file that another process has created meanwhile.
        os.link(draft, path)
        # The name too must survive a power cut: what is encrypted with the key may survive it.
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError:
        return
    finally:
        draft.unlink(missing_ok=True)


_OTHERS = stat.S_IRWXG | stat.S_IRWXO
# Names that a service creates in its data folder, besides drafts. A folder with other names may be any folder, even
# ``/var/lib``, so its mode is not changed.
_OURS = frozenset(
    {"audit", "cache", "client", "containers", "journal", "lost+found", "preview.db", "preview.db-id",
     "preview.db-journal", "preview.db-shm", "preview.db-wal", "previews", "previews.lock", "run", "sandbox", "secret",
     "service.json", "service.lock", "storage", "templates"}
)  # fmt: skip


def make_private_folder(folder: Path) -> bool:
    """Create the folder, and missing parents, for this user alone (mode 0700).

    An existing folder that is open to others is closed, if this user owns it and it has only a service's files.

    Returns:
        True if the folder is closed to others now.

    Raises:
        OSError: The folder cannot be created, or its name belongs to another kind of file.
    """
    # ``Path.mkdir`` applies its mode to the last folder only.
    for one in (*reversed(folder.parents), folder):
        if one == folder or not one.exists():
            one.mkdir(mode=stat.S_IRWXU, exist_ok=True)
    found = folder.stat()
    if found.st_mode & _OTHERS and found.st_uid == own_uid() and _is_ours(folder):
        # Some file systems have no modes.
        with suppress(OSError):
            folder.chmod(stat.S_IRWXU)
    return not folder.stat().st_mode & _OTHERS


def _is_ours(folder: Path) -> bool:
    return all(one.name in _OURS or one.name.startswith((".secret.", ".service.json.")) for one in folder.iterdir())
