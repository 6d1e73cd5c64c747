"""MariaDB's command: arguments, limits and the command that fills its data folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from preview.backing.interface import RESERVED_CONNECTIONS
from preview.backing.server_command import ServerCommand
from preview.core.servers import Program, find_program
from preview.runtime import Limits

_SOCKET = "mysql.sock"
_MIB = 1024 * 1024
_BUFFERS = {
    "innodb-flush-method": "nosync",
    "innodb-use-native-aio": "0",
    "innodb-buffer-pool-size": "64M",
    "innodb-log-file-size": "64M",
    "aria-pagecache-buffer-size": "8M",
    "aria-log-file-size": "8M",
    "key-buffer-size": "1M",
}


@dataclass(frozen=True, slots=True)
class MysqlLimits:
    """Limits of MariaDB.

    Attributes:
        memory_mb: Memory of the whole server, in MiB.
        connections: Connections of one preview.
        statement_s: Seconds of one statement; a preview may change this for itself.
    """

    memory_mb: int
    connections: int
    statement_s: float

    @property
    def of_user(self) -> int:
        """Connections of a preview's user, with those of the service."""
        return self.connections + RESERVED_CONNECTIONS


def mysql_command(program: Program, folder: Path, limits: MysqlLimits, kept: Path | None) -> ServerCommand:
    """Return how to run MariaDB.

    Args:
        program: The server program.
        folder: Private folder of the service. The server's files are in ``server``; what it is given is in ``given``:
            ``setup.sql``, which makes the administrator, and the empty folder ``none``.
        limits: Limits.
        kept: See ``ServerCommand``.
    """
    files = folder / "server"
    data = str(files / "data")
    settings = {
        "datadir": data,
        # Relative to the data folder: a path of a socket may have 107 bytes at most (unix(7)).
        "socket": f"../socket/{_SOCKET}",
        "pid-file": f"{data}/pid",
        "init-file": str(folder / "given" / "setup.sql"),
        "skip-networking": "1",
        "skip-name-resolve": "1",
        # No user may read or write files; if one could, only in an empty folder that the server cannot write.
        "secure-file-priv": str(folder / "given" / "none"),
        "local-infile": "0",
        "symbolic-links": "0",
        "event-scheduler": "OFF",
        "performance-schema": "0",
        # As in MySQL 8. A saved value takes twice its bytes in the statement that loads it.
        "max-allowed-packet": "64M",
        "skip-log-bin": "1",
        "max-connections": "500",
        # All previews share this number.
        "max-prepared-stmt-count": "1000000",
        "character-set-server": "utf8mb4",
        "collation-server": "utf8mb4_general_ci",
        # Previews' data need not outlive a crash of the machine; after one, the data folder is made again.
        "innodb-flush-log-at-trx-commit": "0",
        "innodb-doublewrite": "0",
        "innodb-fast-shutdown": "2",
        "innodb-buffer-pool-dump-at-shutdown": "0",
        "innodb-buffer-pool-load-at-startup": "0",
        "innodb-temp-data-file-path": "ibtmp1:12M:autoextend:max:1G",
        "innodb-data-file-path": "ibdata1:12M:autoextend:max:4G",
        "tmp-disk-table-size": "1G",
        "log-warnings": "1",
        # What one session can take; `maximum-…` bounds what it can set for itself.
        "max-session-mem-used": "128M",
        "maximum-max-session-mem-used": "128M",
        "maximum-sort-buffer-size": "16M",
        "maximum-join-buffer-size": "16M",
        "maximum-read-buffer-size": "4M",
        "maximum-read-rnd-buffer-size": "4M",
        "maximum-max-heap-table-size": "32M",
        "maximum-tmp-memory-table-size": "32M",
        "maximum-bulk-insert-buffer-size": "16M",
        "maximum-myisam-sort-buffer-size": "16M",
    } | _BUFFERS
    install = find_program("mariadb-install-db") or "mariadb-install-db"
    return ServerCommand(
        name="mysql",
        shown=program.name,
        argv=(str(program.path), "--no-defaults", *_options(settings)),
        folder=files,
        socket=_SOCKET,
        limits=Limits(
            memory_bytes=limits.memory_mb * _MIB,
            open_files=8192,
            processes=1024,
            file_bytes=64 * 1024 * _MIB,
            cpu_cores=2.0,
            temp_bytes=256 * _MIB,
        ),
        slot=3,
        readable=(*program.readable, folder / "given"),
        prepare=(
            install,
            *("--no-defaults", f"--datadir={data}", "--skip-test-db", "--skip-name-resolve", "--force"),
            *_options(_BUFFERS),
        ),
        kept=kept,
        made_by=lambda: f"{program.name} {'.'.join(program.version().split('.')[:2])}",
    )


def _options(settings: dict[str, str]) -> list[str]:
    return [f"--{name}={value}" for name, value in settings.items()]
