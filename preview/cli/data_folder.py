"""Lock that allows one service per data folder, and a note by which other commands find the service."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from preview.cli.exits import CommandFailed
from preview.core.key_file import make_private_folder
from preview.core.portable import lock_file
from preview.errors import ConfigurationError

# Below the data folder: the slots of ``preview run``.
RUNS = "run"
# What each ``preview run`` has, whatever the operator's settings say: a database, a secret and one user of its own.
RUN_SETTINGS: Mapping[str, object] = {
    "database_url": None,
    "cluster": False,
    "cluster_secret": None,
    "jwt_secret": None,
    "jwt_algorithm": "HS256",
    "jwt_issuer": None,
    "public_url": None,
}
_LOCK = "service.lock"
_NOTE = "service.json"
# More runs than anyone starts by hand; with this many slots in use, the search ends with an error.
_MAX_SLOTS = 100


class DataFolderInUse(CommandFailed):
    """Another service uses the folder."""

    code = "data_folder_in_use"


@dataclass(frozen=True, slots=True)
class ServiceNote:
    """The address and process of the service that uses a data folder.

    Attributes:
        url: The service's address, ``http://HOST:PORT`` without a trailing slash.
        created: The process's start time from psutil (seconds since the epoch), because pids are reused.
    """

    url: str
    pid: int
    created: float

    @classmethod
    def of_this_process(cls, url: str) -> ServiceNote:
        """Return the note for this process."""
        return cls(url=url, pid=os.getpid(), created=psutil.Process().create_time())

    @property
    def is_alive(self) -> bool:
        """True if the same process still runs."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.created) < 1.0
        except psutil.Error:
            return False


@contextmanager
def hold_data_folder(data_dir: Path) -> Iterator[None]:
    """Lock the folder for this process (created if needed, mode 0700); the kernel releases the lock even after kill -9.

    Raises:
        DataFolderInUse: Another process has the lock; the message names it.
        ConfigurationError: The folder cannot be created or written.
    """
    try:
        make_private_folder(data_dir)
        descriptor = os.open(data_dir / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"The data folder {data_dir} cannot be used ({error.strerror}); set PREVIEW_DATA_DIR to one you can write."
        ) from error
    try:
        try:
            lock_file(descriptor, waits=False)
        except BlockingIOError as error:
            raise _in_use(data_dir) from error
        yield
    finally:
        os.close(descriptor)


def _in_use(data_dir: Path) -> DataFolderInUse:
    note = read_note(data_dir)
    who = f"process {note.pid} at {note.url}" if note else "another process that is just starting or ending"
    return DataFolderInUse(
        f"The data folder {data_dir} is in use by {who}; stop it, or set PREVIEW_DATA_DIR to another folder.",
        pid=note.pid if note else None,
    )


@contextmanager
def hold_first_free_slot(parent: Path) -> Iterator[Path]:
    """Lock the first free folder of ``parent/0``, ``parent/1``, ….

    The slot of a killed run is reused before a new one is created, so that its leftovers are found.

    Raises:
        CommandFailed: No slot is free.
    """
    with ExitStack() as held:
        for number in range(_MAX_SLOTS):
            slot = parent / str(number)
            try:
                held.enter_context(hold_data_folder(slot))
            except DataFolderInUse:
                continue
            yield slot
            return
    raise CommandFailed(f"{_MAX_SLOTS} `preview` processes already use {parent}; stop one of them.")


@contextmanager
def publish_note(data_dir: Path, note: ServiceNote) -> Iterator[None]:
    """Write the note for the client commands, and remove it after the body (mode 0600, atomic)."""
    path = data_dir / _NOTE
    write_private(path, json.dumps(asdict(note)))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def read_note(data_dir: Path) -> ServiceNote | None:
    """Return the note of a running service, else None."""
    try:
        note = ServiceNote(**json.loads((data_dir / _NOTE).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return note if note.is_alive else None


def read_run_notes(data_dir: Path) -> Iterator[tuple[Path, ServiceNote]]:
    """Yield the slot and the note of each ``preview run`` on this data folder that serves now."""
    for number in range(_MAX_SLOTS):
        slot = data_dir / RUNS / str(number)
        if not slot.is_dir():
            return
        if (note := read_note(slot)) is not None:
            yield slot, note


def write_private(path: Path, text: str) -> None:
    """Write the file atomically, readable only by its owner (mode 0600)."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)
