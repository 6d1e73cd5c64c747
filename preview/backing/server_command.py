"""The command of a server, and the folder that it is prepared in once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from preview.core.removal import remove_folder
from preview.runtime import Limits, ProcessSpec, boot_id

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ServerCommand:
    """Command, folder and limits of one server.

    Attributes:
        name: Names its control group and its log lines: ``postgresql``.
        shown: Name for people.
        argv: Program and arguments.
        folder: Its private folder, which the program may write. ``socket`` in it is made before the program runs.
        socket: File name of its socket, in ``socket`` in the folder.
        limits: Limits of its process tree.
        slot: See ``ProcessSpec.slot``; a port that no preview has.
        readable: Folders that it needs besides the system's.
        prepare: Command that fills a new folder; run once, before ``argv``.
        made_by: Returns the program and main version that ``prepare`` belongs to; another one fills a new folder. It
            may block.
        grace_s: Seconds that it has to end by itself.
        kept: Folder in the cache for a copy of what ``prepare`` has made, with the file ``secret`` beside the server's
            folder, if there is one. A new folder is filled from it, which is ten times faster. None: no copy is kept.
        environment: Variables of both commands.
    """

    name: str
    shown: str
    argv: Sequence[str]
    folder: Path
    socket: str
    limits: Limits
    slot: int
    readable: Sequence[Path] = ()
    prepare: Sequence[str] | None = None
    made_by: Callable[[], str] = str
    grace_s: float = 1.0
    kept: Path | None = None
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def prepared(self) -> Path:
        """File that exists once ``prepare`` has succeeded: ``made_by``, and the machine's boot while the server runs.

        Servers do not wait for the disk. After a crash of the machine their files may be damaged, and are made again.
        """
        return self.folder.with_name("prepared")

    def spec(self, argv: Sequence[str]) -> ProcessSpec:
        """Return the specification of a process that runs ``argv`` in the server's sandbox."""
        return ProcessSpec(
            preview_id=self.name,
            argv=argv,
            directory=self.folder,
            environment={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": str(self.folder)}
            | dict(self.environment),
            listener=None,
            limits=self.limits,
            readable=self.readable,
            writable=(self.folder,),
            slot=self.slot,
        )


def make_folder(command: ServerCommand) -> None:
    """Make the folder and its folder of sockets; files that the server cannot use are removed.

    A server without ``prepare`` starts empty: what it wrote before it was killed would fill the disk.
    """
    if command.prepare is None or not _is_usable(command):
        command.prepared.unlink(missing_ok=True)
        if command.folder.exists():
            remove_folder(command.folder)
    command.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not command.folder.exists():
        if command.kept is not None and _fill_from(command, command.kept):
            note_use(command, "")
        (command.folder / "socket").mkdir(parents=True, exist_ok=True, mode=0o700)


def discard_left(command: ServerCommand) -> None:
    """Remove the files of a server that an earlier service has not ended: it was killed, and its previews are gone.

    The server need neither recover nor drop their databases, which took fifty of them over half a minute.
    """
    try:
        boot = command.prepared.read_text("utf-8").partition("\n")[2]
    except FileNotFoundError:
        return
    if boot:
        command.prepared.unlink()
        remove_folder(command.folder)


def keep_copy(command: ServerCommand, kept: Path) -> None:
    """Copy what ``prepare`` has made. No stranger's code has run in it. A failure only costs time at the next start."""
    made = kept.with_name(f".{kept.name}-{os.getpid()}")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        made.mkdir(mode=0o700)
        shutil.copytree(command.folder, made / "files", symlinks=True)
        with suppress(FileNotFoundError):
            shutil.copy2(command.folder.parent / "secret", made / "secret")
        (made / "made_by").write_text(command.made_by(), "utf-8")
        if kept.exists():
            remove_folder(kept)
        made.rename(kept)
    except OSError as error:
        log.warning("prepared server not kept", server=command.name, why=str(error))
        shutil.rmtree(made, ignore_errors=True)


def is_kept(command: ServerCommand) -> bool:
    """Return whether there is a copy of what ``prepare`` makes, of this version. Blocks on the disk."""
    try:
        return command.kept is not None and (command.kept / "made_by").read_text("utf-8") == command.made_by()
    except OSError:
        return False


def _fill_from(command: ServerCommand, kept: Path) -> bool:
    """Fill the folder from the copy, with its secret; return false if there is none of this version."""
    if not is_kept(command):
        return False
    try:
        shutil.copytree(kept / "files", command.folder, symlinks=True)
        with suppress(FileNotFoundError):
            shutil.copy2(kept / "secret", command.folder.parent / "secret")
    except OSError:
        if command.folder.exists():
            remove_folder(command.folder)
        return False
    return True


def _is_usable(command: ServerCommand) -> bool:
    try:
        made_by, _, boot = command.prepared.read_text("utf-8").partition("\n")
    except OSError:
        return False
    return made_by == command.made_by() and boot in ("", boot_id())


def note_use(command: ServerCommand, boot: str) -> None:
    """Note who made the files, and during which boot of the machine they are in use."""
    command.prepared.write_text(f"{command.made_by()}\n{boot}", "utf-8")
