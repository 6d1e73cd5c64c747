"""The secret that signs this service's own tokens: the operator's, or one made on the first start."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

import structlog

from preview.core.ids import new_token
from preview.errors import ConfigurationError
from preview.settings import Settings

# RFC 7518 section 3.2: a key for HS256 is at least as long as its hash.
MIN_SECRET_BYTES = 32
SECRET_FILE = "secret"  # noqa: S105  a file's name
# Ours has 43 characters; a longer one that an operator has put there is welcome up to this.
_MAX_FILE_BYTES = 4096

_log = structlog.get_logger(__name__)


def load_or_create_secret(settings: Settings) -> str:
    """The signing secret: ``PREVIEW_JWT_SECRET``, else the data folder's, which is made (mode 0600) if there is none.

    Any number of processes may ask at the same moment, and all get the same one.

    Raises:
        ConfigurationError: The setting is too short, or the file cannot be read, made or used.
    """
    if settings.jwt_secret is not None:
        return _checked_setting(settings.jwt_secret.get_secret_value())
    path = settings.data_dir / SECRET_FILE
    try:
        try:
            return _read(path)
        except FileNotFoundError:
            _create(path)
            return _read(path)
    except OSError as error:
        raise ConfigurationError(
            f"The secret {path} cannot be read or made ({error.strerror}); "
            "make the folder writable for this user, or set PREVIEW_JWT_SECRET.",
            path=str(path),
        ) from error


def _checked_setting(secret: str) -> str:
    size = len(secret.encode("utf-8", "surrogateescape"))
    if size < MIN_SECRET_BYTES:
        raise ConfigurationError(
            f"PREVIEW_JWT_SECRET has {size} bytes, HS256 needs at least {MIN_SECRET_BYTES}; "
            "make one with `openssl rand -base64 48`.",
            min_bytes=MIN_SECRET_BYTES,
        )
    return secret


def _read(path: Path) -> str:
    # Not blocking: where somebody has put a FIFO, opening it must not wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _unusable(path, "is not a file")
        if found.st_mode & 0o077:
            os.fchmod(descriptor, 0o600)
            _log.warning("secret.mode_tightened", path=str(path), found=f"{stat.S_IMODE(found.st_mode):04o}")
        content = os.read(descriptor, _MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    try:
        secret = content.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise _unusable(path, "is not text") from None
    if len(content) > _MAX_FILE_BYTES:
        raise _unusable(path, f"is longer than {_MAX_FILE_BYTES} bytes")
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise _unusable(path, f"is empty or shorter than {MIN_SECRET_BYTES} bytes")
    return secret


def _unusable(path: Path, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"The secret {path} {what}; delete it and start again (a new one is made, and old tokens end), "
        "or set PREVIEW_JWT_SECRET.",
        path=str(path),
    )


def _create(path: Path) -> None:
    """Make the file, complete from the first moment it can be seen; whoever comes second leaves the first one's."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            # The umask may have taken our own right to read it.
            os.fchmod(descriptor, 0o600)
            os.write(descriptor, f"{new_token()}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        # A link, unlike a rename, never replaces what another process has put there meanwhile.
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink(missing_ok=True)
