"""A PostgreSQL server that can be restarted, killed and stopped while a service uses it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import postgres
import psycopg

from preview.runtime.kernel.proctree import descendants
from preview.storage import migrate

__all__ = ["Postgres", "open_postgres"]


class Postgres:
    """A cluster of the suite's own, reached by a Unix socket in its folder, and at ``listen`` without a password."""

    def __init__(self, folder: Path, listen: str = "") -> None:
        self._folder = folder
        self._listen = listen
        self._log = folder / "log"
        self._account = postgres._account()
        if self._account is not None:
            os.chown(folder, self._account.pw_uid, self._account.pw_gid)
        self._binaries = postgres._binaries(folder, self._account)
        postgres._initdb(self._binaries, folder / "data", self._account)
        if listen:
            with (folder / "data" / "pg_hba.conf").open("a") as rules:
                rules.write("host all all samenet trust\n")
        self._server = postgres.Server(folder)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self._server.url("postgres")

    def spawn(self) -> None:
        """Start it; ``wait_ready`` says when it answers.

        Not from a thread that may end: the server goes with whoever has started it (prctl(2), PR_SET_PDEATHSIG), and
        that is the thread. Trio's end when they were idle for ten seconds.
        """
        with self._log.open("ab") as output:
            command = postgres._server_command(self._binaries, self._folder / "data", self._folder)
            self._process = subprocess.Popen(
                # What is committed must outlive the server's processes, as it does where this is not turned off.
                [*command, "-c", "synchronous_commit=on", "-c", f"listen_addresses={self._listen}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=self._folder,
                **postgres._identity(self._account),  # type: ignore[call-overload]
            )

    def wait_for_standby(self, commits: str) -> None:
        """Acknowledge no commit before the standby has it (``on``), or shows it (``remote_apply``). Blocks."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"ALTER ROLE preview SET synchronous_commit = {commits}".encode())
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            while not connection.execute("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'").fetchall():
                time.sleep(0.01)

    def wait_ready(self) -> None:
        """Wait until it answers. Blocks."""
        assert self._process is not None
        postgres._wait_ready(self._process, self._server, self._log)

    def end(self, number: signal.Signals) -> None:
        """SIGINT: fast, connections are cut. SIGQUIT: at once, recovery follows. Blocks until it is gone."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(30)

    def send(self, number: signal.Signals) -> None:
        """To every process of it: SIGSTOP makes it a server that is reached, and does not answer."""
        assert self._process is not None
        for pid in (self._process.pid, *descendants(self._process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """SIGKILL to every process of it, as of a machine that loses its power. Blocks until it is gone."""
        assert self._process is not None
        self.send(signal.SIGKILL)
        self._process.wait(30)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.send(signal.SIGCONT)
            self.end(signal.SIGQUIT)


@contextmanager
def open_postgres(listen: str = "") -> Iterator[Postgres]:
    """A server that runs, with our tables; gone at the end.

    Args:
        listen: An address of this machine, beside the Unix socket.

    Raises:
        postgres.NoPostgres: None can be had here.
    """
    # Not pytest's folder: the path of a Unix socket has 107 bytes at most.
    folder = Path(tempfile.mkdtemp(prefix="preview-fault-pg-"))
    server: Postgres | None = None
    try:
        server = Postgres(folder, listen)
        server.spawn()
        server.wait_ready()
        migrate.upgrade(server.url)
        yield server
    finally:
        if server is not None:
            server.close()
        shutil.rmtree(folder, ignore_errors=True)
