"""A real MariaDB server for the tests: throw-away files in a temporary folder, a socket there, and a port with TLS."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from preview.core.servers import find_program

__all__ = ["MariaServer", "open_mariadb"]

_START_S, _STOP_S = 60, 20
_SMALL = (
    *("--innodb-buffer-pool-size=16M", "--innodb-log-file-size=16M", "--aria-log-file-size=8M"),
    *("--aria-pagecache-buffer-size=8M", "--key-buffer-size=1M", "--innodb-flush-method=nosync"),
    "--innodb-use-native-aio=0",
)


@dataclass(frozen=True)
class MariaServer:
    folder: Path
    port: int

    @property
    def socket(self) -> Path:
        return self.folder / "socket"

    def run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """One statement as root."""
        with (
            closing(pymysql.connect(unix_socket=str(self.socket), user="root", autocommit=True)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())


@contextmanager
def open_mariadb(program: Path, port: int, certificate: Path, key: Path) -> Iterator[MariaServer]:
    """Start a server; on leaving it is stopped and its files are gone.

    Args:
        program: ``mariadbd``.
        port: Port of 127.0.0.1.
        certificate: Its certificate; with its key it is copied.
        key: Its key.
    """
    # Not pytest's folder: the path of a Unix socket has 107 bytes at most.
    folder = Path(tempfile.mkdtemp(prefix="preview-maria-"))
    try:
        account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        who: dict[str, Any] = {} if account is None else {"user": account.pw_uid, "group": account.pw_gid}
        for one, name in ((certificate, "server.crt"), (key, "server.key")):
            shutil.copyfile(one, folder / name)
        if account is not None:
            for path in (folder, *folder.iterdir()):
                os.chown(path, account.pw_uid, account.pw_gid)
        data = f"--datadir={folder / 'data'}"
        install = [find_program("mariadb-install-db") or "mariadb-install-db", "--no-defaults", data, "--skip-test-db"]
        # Anyone on its socket is root: the folder is private.
        install += ["--auth-root-authentication-method=normal", "--skip-name-resolve", *_SMALL]
        subprocess.run(install, check=True, capture_output=True, timeout=_START_S, cwd=folder, **who)
        options = (
            *("--no-defaults", data, f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}", *_SMALL),
            *("--bind-address=127.0.0.1", f"--port={port}", "--skip-name-resolve", "--skip-log-bin"),
            *(f"--ssl-cert={folder / 'server.crt'}", f"--ssl-key={folder / 'server.key'}"),
        )
        setpriv = shutil.which("setpriv")
        # A test run that is killed takes its server along.
        command = [*([] if setpriv is None else [setpriv, "--pdeathsig", "KILL"]), str(program), *options]
        with (folder / "log").open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, **who
            )
        try:
            server = MariaServer(folder, port)
            _wait_ready(process, server)
            yield server
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_S)
            process.kill()
            process.wait(_STOP_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_ready(process: subprocess.Popen[bytes], server: MariaServer) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(server.socket))
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError((server.folder / "log").read_text(errors="replace")[-1000:])
        time.sleep(0.02)
