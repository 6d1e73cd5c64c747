"""The service's data folder: one process has it at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from preview.core.key_file import make_private_folder
from preview.errors import ConfigurationError
from preview.settings import Settings

__all__ = ["DataFolderInUse", "private_data_folder"]

log = structlog.get_logger(__name__)


class DataFolderInUse(ConfigurationError):
    """Another process has the data folder."""


@contextmanager
def private_data_folder(settings: Settings) -> Iterator[None]:
    """Lock the data folder. Then anything in it that belongs to no preview of this process is a leftover.

    The kernel releases the lock when the process ends, even by a kill (flock(2)).
    """
    try:
        if not make_private_folder(settings.data_dir):
            log.warning(
                "data folder open to others",
                path=str(settings.data_dir),
                advice="give it to the service's user and close it (chmod 700), or set PREVIEW_DATA_DIR to another",
            )
        descriptor = os.open(settings.data_dir / "previews.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"The data folder {settings.data_dir} cannot be used ({error.strerror}); "
            "set PREVIEW_DATA_DIR to one you can write."
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataFolderInUse(
                f"The data folder {settings.data_dir} is in use by another service; stop that one, "
                "or set PREVIEW_DATA_DIR to another folder."
            ) from error
        yield
    finally:
        os.close(descriptor)
