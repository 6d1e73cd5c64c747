"""One service on one data folder, and how the other commands find it: a lock, and a note beside it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from preview.cli.exits import CommandFailed
from preview.core.descriptors import make_private_folder
from preview.errors import ConfigurationError

_LOCK = "service.lock"
_NOTE = "service.json"
# Nobody starts so many runs by hand; a bound, so that a machine full of stale locks ends with a sentence.
_MAX_SLOTS = 100


class DataFolderInUse(CommandFailed):
    """Another service holds the folder."""

    code = "data_folder_in_use"


@dataclass(frozen=True, slots=True)
class ServiceNote:
    """The address and process of the service that uses a data folder.

    Attributes:
        url: Its address, ``http://HOST:PORT`` without a trailing slash.
        created: Start time of the process as psutil gives it (seconds since the epoch): a pid alone is used again.
    """

    url: str
    pid: int
    created: float

    @classmethod
    def of_this_process(cls, url: str) -> ServiceNote:
        """Return the note this process would leave."""
        return cls(url=url, pid=os.getpid(), created=psutil.Process().create_time())

    @property
    def is_alive(self) -> bool:
        """True if that very process still runs."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.created) < 1.0
        except psutil.Error:
            return False


@contextmanager
def hold_data_folder(data_dir: Path) -> Iterator[None]:
    """Hold the folder (made if needed, mode 0700) for this process alone; the kernel releases it even after kill -9.

    Raises:
        DataFolderInUse: Another process holds it; the sentence names it.
        ConfigurationError: The folder cannot be made or written.
    """
    try:
        make_private_folder(data_dir)
        descriptor = os.open(data_dir / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"The data folder {data_dir} cannot be used ({error.strerror}); set PREVIEW_DATA_DIR to one you can write."
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
    """Hold the first of ``parent/0``, ``parent/1``, … that nobody holds.

    A slot that a killed run left behind is taken again before a new one is made, so that its leftovers are found.

    Raises:
        CommandFailed: No slot can be held.
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
    raise CommandFailed(f"{_MAX_SLOTS} previews run from {parent} already; stop one of them.")


@contextmanager
def publish_note(data_dir: Path, note: ServiceNote) -> Iterator[None]:
    """Leave the note for the client commands while the body runs (mode 0600, atomic)."""
    path = data_dir / _NOTE
    write_private(path, json.dumps(asdict(note)))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def read_note(data_dir: Path) -> ServiceNote | None:
    """Return the note of a service that is alive, else None."""
    try:
        note = ServiceNote(**json.loads((data_dir / _NOTE).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return note if note.is_alive else None


def write_private(path: Path, text: str) -> None:
    """Write the file whole or not at all, readable by its owner alone (mode 0600)."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)
