"""Places of archived logs: a folder, or a bucket of an S3-compatible store."""

from __future__ import annotations

import os
import re
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from preview.errors import ConfigurationError, DatabaseUnavailable

_ENDING = ".jsonl.zst"
_NAME = re.compile(r"preview_[a-z0-9]{1,50}\.jsonl\.zst")
# Drafts are written in minutes; an older one was left by a service that was killed.
_DRAFT_S = 24 * 3600.0
_DRAFT = re.compile(r"\.preview_[a-z0-9]{1,50}\.jsonl\.zst(\.[0-9a-f]{16})?\.new")
# The library names the status, and S3's code in the answer's text.
_NOT_IMPLEMENTED = re.compile(r"\b501 Not Implemented\b|<Code>NotImplemented</Code>")
_EXTRA = "PREVIEW_ARCHIVE needs additional packages; install preview[archive]."


def name_of(preview_id: str) -> str:
    """Return the name of a preview's file."""
    return f"{preview_id}{_ENDING}"


class Place(Protocol):
    """A place of files. Methods block; they raise ``DatabaseUnavailable`` if the place does not answer."""

    def write(self, name: str, parts: Iterable[bytes]) -> int:
        """Write a file completely, or not at all, in place of an earlier one; return its size.

        When this returns, the file survives a kill of the service, and in a folder a power cut.
        """

    def size(self, name: str) -> int:
        """Return a file's size in bytes."""

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Return a part of a file; less at its end."""

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""

    def names(self) -> Iterator[list[str]]:
        """Return the names of all archived logs, some at a time; other files are not named."""

    def create(self, name: str, data: bytes) -> None:
        """Write a small file, unless there is one of this name."""

    def peek(self, name: str, most: int) -> bytes | None:
        """Return the first ``most`` bytes of a file; None if there is none."""


def place_at(address: str) -> Place:
    """Return the place at an address: a folder's absolute path, or ``s3://BUCKET/PREFIX``.

    Raises:
        ConfigurationError: The address is wrong, or the extra ``archive`` is not installed.
    """
    try:
        import zstandard  # noqa: F401, PLC0415  an extra
    except ImportError as error:
        raise ConfigurationError(_EXTRA) from error
    if address.startswith("s3://"):
        return Bucket(address)
    if not address.startswith("/"):
        raise ConfigurationError("PREVIEW_ARCHIVE must be a folder's absolute path, or s3://BUCKET/PREFIX.")
    return Folder(Path(address))


class Folder:
    """A folder, closed to others.

    Raises:
        ConfigurationError: It cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"The archive {folder} cannot be used ({error.strerror}).") from error

    def write(self, name: str, parts: Iterable[bytes]) -> int:
        """Write a file: see ``Place.write``."""
        # Another service may write the same log: neither writes to the other's draft.
        draft = self._folder / f".{name}.{secrets.token_hex(8)}.new"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
                for part in parts:
                    file.write(part)
                size = file.tell()
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._folder / name)
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise _unavailable(error) from error
        finally:
            # Whatever failed: a row, the database or the disk. After the rename there is none.
            with suppress(OSError):
                draft.unlink(missing_ok=True)
        return size

    def size(self, name: str) -> int:
        """Return a file's size."""
        try:
            return (self._folder / name).stat().st_size
        except OSError as error:
            raise _unavailable(error) from error

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Return a part of a file."""
        try:
            with (self._folder / name).open("rb") as file:
                return os.pread(file.fileno(), size, offset)
        except OSError as error:
            raise _unavailable(error) from error

    def remove(self, name: str) -> None:
        """Remove a file."""
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise _unavailable(error) from error

    def names(self) -> Iterator[list[str]]:
        """Return the names of all archived logs, and remove drafts that a killed service has left long ago."""
        try:
            with os.scandir(self._folder) as found:
                names = [one.name for one in found]
            for name in names:
                if _DRAFT.fullmatch(name) and time.time() - (self._folder / name).lstat().st_mtime > _DRAFT_S:
                    # Its lines are in the database.
                    (self._folder / name).unlink(missing_ok=True)
            yield [name for name in names if _NAME.fullmatch(name)]
        except OSError as error:
            raise _unavailable(error) from error

    def create(self, name: str, data: bytes) -> None:
        """Write a small file: see ``Place.create``."""
        draft = self._folder / f".{name}.{secrets.token_hex(8)}"
        try:
            try:
                with os.fdopen(
                    os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb"
                ) as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                # Complete or not at all, and never in place of another service's.
                with suppress(FileExistsError):
                    os.link(draft, self._folder / name)
            finally:
                draft.unlink(missing_ok=True)
        except OSError as error:
            raise _unavailable(error) from error

    def peek(self, name: str, most: int) -> bytes | None:
        """Return the first bytes of a file: see ``Place.peek``."""
        try:
            # A pipe of this name would be opened, and read, for ever.
            with os.fdopen(os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
                is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
                return os.pread(file.fileno(), most, 0) if is_file else b""
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unavailable(error) from error


class Bucket:
    """A bucket of an S3-compatible store. Access keys, region and endpoint are the usual ``AWS_…`` variables.

    Raises:
        ConfigurationError: The address is wrong, or the extra ``archive`` is not installed.
    """

    def __init__(self, address: str) -> None:
        try:
            from obstore.exceptions import AlreadyExistsError, BaseError, NotSupportedError  # noqa: PLC0415  an extra
            from obstore.store import S3Store  # noqa: PLC0415  an extra
        except ImportError as error:
            raise ConfigurationError(_EXTRA) from error
        self._errors: type[Exception] = BaseError
        self._exists: type[Exception] = AlreadyExistsError
        self._unsupported = (NotSupportedError, NotImplementedError)
        is_plain = os.environ.get("AWS_ENDPOINT_URL", os.environ.get("AWS_ENDPOINT", "")).startswith("http://")
        try:
            self._store: Any = S3Store.from_url(
                address,
                client_options={"allow_http": is_plain, "timeout": "30s"},
                # By default a silent store is asked ten times, and the service's end waits that long.
                retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=30)},
            )
        except (BaseError, ValueError) as error:
            raise ConfigurationError("PREVIEW_ARCHIVE is not a usable s3://BUCKET/PREFIX.") from error

    def write(self, name: str, parts: Iterable[bytes]) -> int:
        """Write a file. A store shows it when it is complete."""
        size = 0

        def counted() -> Iterator[bytes]:
            nonlocal size
            for part in parts:
                size += len(part)
                yield part

        try:
            self._store.put(name, counted())
        except (self._errors, OSError) as error:
            # A bucket that is not there is a FileNotFoundError, which the library has besides its own errors.
            raise _unavailable(error) from error
        return size

    def size(self, name: str) -> int:
        """Return a file's size."""
        try:
            return int(self._store.head(name)["size"])
        except (self._errors, OSError) as error:
            raise _unavailable(error) from error

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Return a part of a file."""
        if size <= 0:
            return b""
        try:
            return bytes(self._store.get_range(name, start=offset, length=size))
        except (self._errors, OSError) as error:
            raise _unavailable(error) from error

    def remove(self, name: str) -> None:
        """Remove a file."""
        try:
            with suppress(FileNotFoundError):
                self._store.delete(name)
        except (self._errors, OSError) as error:
            raise _unavailable(error) from error

    def names(self) -> Iterator[list[str]]:
        """Return the names of all archived logs."""
        try:
            for part in self._store.list():
                found = [str(one["path"]) for one in part]
                yield [name for name in found if _NAME.fullmatch(name)]
        except (self._errors, OSError) as error:
            raise _unavailable(error) from error

    def create(self, name: str, data: bytes) -> None:
        """Write a small file: see ``Place.create``."""
        try:
            try:
                self._store.put(name, data, mode="create")
            except self._exists:
                return
            except (self._errors, NotImplementedError) as error:
                # Any other error does not tell whether there is a file, which another service may have written.
                if not self._is_unknown(error):
                    raise
                self._store.put(name, data)
        except (self._errors, OSError) as error:
            raise _unavailable(error) from error

    def _is_unknown(self, error: Exception) -> bool:
        """Return whether the store does not know the condition: S3's answer 501, or an error of the library."""
        return isinstance(error, self._unsupported) or bool(_NOT_IMPLEMENTED.search(str(error)))

    def peek(self, name: str, most: int) -> bytes | None:
        """Return the first bytes of a file: see ``Place.peek``."""
        try:
            size = int(self._store.head(name)["size"])
            return bytes(self._store.get_range(name, start=0, length=min(size, most))) if size else b""
        except FileNotFoundError:
            # A bucket that is not there says the same; but its files cannot be listed.
            next(self.names(), None)
            return None
        except (self._errors, OSError) as error:
            raise _unavailable(error) from error


def _unavailable(error: Exception) -> DatabaseUnavailable:
    # Without the cause's text, which may have addresses and keys.
    why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return DatabaseUnavailable(f"The archive of logs does not answer ({why}); try again in a moment.", reason="archive")
