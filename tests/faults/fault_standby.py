"""A standby of a PostgreSQL server, which can take over from it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import postgres
import psycopg
from fault_postgres import Postgres

__all__ = ["Standby", "open_standby", "url_of_both"]


class Standby(Postgres):
    """A streaming copy of a server, in a folder of its own."""

    def __init__(self, folder: Path, primary: Postgres) -> None:
        self._folder, self._listen, self._log = folder, "", folder / "log"
        self._account, self._binaries = primary._account, primary._binaries
        if self._account is not None:
            os.chown(folder, self._account.pw_uid, self._account.pw_gid)
        command = ["pg_basebackup", "-h", primary._folder, "-U", "preview", "-D", folder / "data", "-R", "-c", "fast"]
        subprocess.run(
            [self._binaries / str(command[0]), *command[1:]],
            check=True,
            capture_output=True,
            cwd=folder,
            **postgres._identity(self._account),  # type: ignore[call-overload]
        )
        self._server, self._process = postgres.Server(folder), None

    def stop_following(self) -> None:
        """Get nothing of the other server any more. Blocks."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
            connection.execute("SELECT pg_reload_conf()")
            self._wait(connection, "SELECT NOT EXISTS (SELECT 1 FROM pg_stat_wal_receiver)")

    def wait_same(self, primary: Postgres) -> None:
        """Wait until it has all that the other server has committed. Blocks."""
        with psycopg.connect(primary.url, autocommit=True) as connection:
            at = connection.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
        assert at is not None
        with psycopg.connect(self.url, autocommit=True) as connection:
            self._wait(connection, f"SELECT pg_last_wal_replay_lsn() >= '{at[0]}'")

    def promote(self) -> None:
        """Take over. Blocks until it accepts writes."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")

    @staticmethod
    def _wait(connection: psycopg.Connection[object], query: str) -> None:
        until = time.monotonic() + 30
        while connection.execute(query.encode()).fetchone() != (True,):
            assert time.monotonic() < until, query
            time.sleep(0.01)


@contextmanager
def open_standby(primary: Postgres) -> Iterator[Standby]:
    """A standby that follows the server; gone at the end."""
    # Not pytest's folder: the path of a Unix socket has 107 bytes at most.
    folder = Path(tempfile.mkdtemp(prefix="preview-fault-pg-"))
    standby: Standby | None = None
    try:
        standby = Standby(folder, primary)
        standby.spawn()
        standby.wait_ready()
        yield standby
    finally:
        if standby is not None:
            standby.close()
        shutil.rmtree(folder, ignore_errors=True)


def url_of_both(primary: Postgres, standby: Postgres) -> str:
    """Return the URL that finds whichever of them accepts writes."""
    hosts = f"{primary._folder},{standby._folder}"
    return f"postgresql://preview@/postgres?host={hosts}&port=5432,5432&target_session_attrs=read-write"
