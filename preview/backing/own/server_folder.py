"""The command of a preview's own PostgreSQL server, and its folder: made, put aside, put back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from preview.backing.server_command import ServerCommand, make_folder
from preview.core.removal import remove_folder
from preview.core.servers import Program
from preview.runtime import Limits

# The administrator that a new server has, and the database that each has besides its templates.
ADMIN, FIRST_DATABASE = "postgres", "postgres"
_SOCKET = ".s.PGSQL.5432"
# For the sessions of the service, beside those of the preview.
_BESIDE = 8


@dataclass(frozen=True, slots=True)
class OwnLimits:
    """Limits of each server.

    Attributes:
        tree: Limits of its processes.
        connections: Connections of the preview.
        statement_s: Seconds of one statement; the preview may change this.
        size_bytes: Size of its folder; a larger one need not be measured exactly.
    """

    tree: Limits
    connections: int
    statement_s: float
    size_bytes: int


def own_command(
    program: Program, folder: Path, name: str, limits: OwnLimits, *, slot: int, kept: Path
) -> ServerCommand:
    """Return the command of one server.

    Args:
        program: The server program.
        folder: Private folder of the service, for the folder that the server may write.
        name: Names its control group.
        limits: Limits.
        slot: See ``ServerCommand``.
        kept: See ``ServerCommand``.
    """
    files = folder / "server"
    data = str(files / "data")
    # What stands here holds: ``ALTER SYSTEM`` changes everything else.
    settings = {
        "listen_addresses": "",
        # Relative to the data folder: a path of a socket may have 107 bytes at most (unix(7)).
        "unix_socket_directories": "../socket",
        "max_connections": str(limits.connections + _BESIDE),
        "shared_buffers": "16MB",
        "max_wal_size": "64MB",
        "min_wal_size": "8MB",
        # Each process of a query would take a processor from the others of the same preview.
        "max_parallel_workers_per_gather": "0",
        "jit": "off",
        # The data need not outlive a crash of the machine.
        "fsync": "off",
        "full_page_writes": "off",
        "statement_timeout": f"{int(limits.statement_s * 1000)}ms",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    return ServerCommand(
        name=name,
        shown=program.name,
        argv=(str(program.path), "-D", data, *options),
        folder=files,
        socket=_SOCKET,
        limits=limits.tree,
        slot=slot,
        # Its data is dropped with it, or is as good as after a crash of the server.
        grace_s=0,
        readable=program.readable,
        prepare=(
            str(program.beside("initdb")),
            *("-D", data, "-U", ADMIN, "-E", "UTF8", "--locale=C.UTF-8", "--auth=trust", "--no-sync"),
            # Segments of 1 MiB in place of 16: less to copy for each preview.
            "--wal-segsize=1",
        ),
        kept=kept,
        made_by=lambda: f"{program.name} {program.version().partition('.')[0]}, own",
    )


def renew(command: ServerCommand) -> None:
    """Remove all that the server has stored, and make a new folder. The server does not run. Blocks on the disk."""
    command.prepared.unlink(missing_ok=True)
    if command.folder.exists():
        remove_folder(command.folder)
    make_folder(command)


def put_aside(command: ServerCommand) -> None:
    """Put the folder aside for ``put_back``, and make a new one. The server does not run. Blocks on the disk."""
    drop_aside(command)
    command.folder.rename(_aside(command))
    try:
        if command.prepared.exists():
            command.prepared.rename(_prepared_aside(command))
        renew(command)
    except OSError:
        # The disk is full: this needs no space.
        put_back(command)
        raise


def put_back(command: ServerCommand) -> None:
    """Put the folder that is aside back in its place, if there is one. The server does not run. Blocks on the disk."""
    if _aside(command).exists():
        remove_folder(command.folder)
        _aside(command).rename(command.folder)
    if _prepared_aside(command).exists():
        _prepared_aside(command).replace(command.prepared)


def drop_aside(command: ServerCommand) -> None:
    """Remove the folder that is aside, if there is one. Blocks on the disk."""
    if _aside(command).exists():
        remove_folder(_aside(command))
    _prepared_aside(command).unlink(missing_ok=True)


def _aside(command: ServerCommand) -> Path:
    return command.folder.with_name("aside")


def _prepared_aside(command: ServerCommand) -> Path:
    """Return the file beside the folder that is aside: without it, the folder counts as unusable, and is removed."""
    return command.folder.with_name("aside-prepared")
