"""Detect that files of an SQLite database were removed or replaced while connections are open, and repair this.

Open files stay usable after their names are removed, so SQLite reports no error. Rows written afterwards are lost when
the process ends, because the write-ahead log (``-wal``) is no longer found.

1. The write-ahead log or its index (``-wal``, ``-shm``) is missing or replaced. A connection that has the log open
   writes all of it into the database. Then all connections are closed, and new ones create new files.
2. The database itself is missing or replaced. Its log is written into it once, so that the moved file is complete.
   Calls then fail as in an outage until the file is back.

A connection that is opened before case 1 is repaired would see a new, empty log. All connections are therefore opened
together before the first call. The files are checked before each call: three calls of stat(2).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import structlog
from sqlalchemy import Engine, event

from preview.errors import DatabaseUnavailable

_log = structlog.get_logger(__name__)

_Identity = tuple[int, int] | None
# Running calls end within the wait for a lock (10 s), unless the disk hangs.
_OTHERS_END_S = 12.0


class SqliteFiles:
    """The files of one engine. Called in the threads of database calls.

    Invariant: during a repair, no call runs or starts.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._changed = threading.Condition()
        self._calls = 0
        # Identities of the files that the connections have open, the database's first; None without a connection.
        self._known: tuple[_Identity, ...] | None = None
        self._paths: tuple[str, ...] = ()
        self._is_away = False
        event.listen(engine, "connect", self._note)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Run a call after checking, and if necessary repairing, the files.

        Raises:
            DatabaseUnavailable: The database's file is missing or replaced, or the log cannot be repaired now.
        """
        with self._changed:
            self._look()
            self._calls += 1
        try:
            yield
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    def _note(self, connection: sqlite3.Connection, _record: object) -> None:
        """Remember the files of the first connection; later connections have the same ones."""
        with self._changed:
            if self._known is None:
                # The path as SQLite resolves it, with links and URIs followed.
                path = connection.execute("PRAGMA database_list").fetchone()[2]
                self._paths = (path, f"{path}-wal", f"{path}-shm")
                self._known = self._identities()

    def _identities(self) -> tuple[_Identity, ...]:
        return tuple(map(_identity, self._paths))

    def _look(self) -> None:
        deadline = time.monotonic() + _OTHERS_END_S
        while True:
            known = self._known or self._open_all(deadline)
            now = self._identities()
            if now[0] != known[0]:
                self._leave(deadline)
                continue
            if self._is_away:
                _log.info("database file restored", path=self._paths[0])
                self._is_away = False
            if now == known:
                return
            # Another thread may have repaired the files while this one waited.
            if self._wait_for_others(deadline):
                self._renew()

    def _leave(self, deadline: float) -> None:
        """Complete the moved database, and raise. Returns only if other calls were running."""
        if not self._is_away:
            if not self._wait_for_others(deadline):
                return
            self._is_away = True
            with suppress(sqlite3.Error):
                self._empty_log()
            _log.error(
                "database file missing",
                path=self._paths[0],
                advice="put the file back, or restart the service to use the present one",
            )
        raise DatabaseUnavailable(
            f"The service's database file {Path(self._paths[0]).name} was moved, removed or replaced; "
            "put it back, or restart the service to use the present one.",
            reason="moved",
        )

    def _renew(self) -> None:
        """Switch to new files without losing data of the old ones."""
        try:
            self._empty_log()
        except sqlite3.Error as error:
            raise DatabaseUnavailable(
                "The service's database has lost its write-ahead log, and it cannot be written back yet; "
                "close other programs that use the file.",
                reason=getattr(error, "sqlite_errorname", "") or "wal",
            ) from error
        self._close_all()
        _log.warning(
            "database wal restored",
            path=self._paths[1],
            advice="leave the files beside the database alone while the service runs",
        )

    def _open_all(self, deadline: float) -> tuple[_Identity, ...]:
        """Fill the pool. Try again if a file was removed meanwhile: these connections have not written anything yet."""
        while True:
            try:
                with ExitStack() as opened:
                    for _ in range(self._engine.pool.size()):  # type: ignore[attr-defined]  # as in ``_empty_log``
                        opened.enter_context(self._engine.connect())
            except BaseException:
                self._close_all()
                raise
            known = self._known
            if known is not None and known == self._identities():
                return known
            self._close_all()
            if time.monotonic() > deadline:
                raise DatabaseUnavailable("The files of the service's database keep being removed.", reason="wal")

    def _close_all(self) -> None:
        self._known = None
        self._engine.dispose()

    def _empty_log(self) -> None:
        """Write all rows of the log into the database, through a connection that has both files open."""
        if not self._engine.pool.checkedin():  # type: ignore[attr-defined]  # of QueuePool, which make_engine uses
            return
        connection = self._engine.raw_connection()
        try:
            is_busy = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        finally:
            connection.close()
        if is_busy:
            raise sqlite3.OperationalError("another program reads the database")

    def _wait_for_others(self, deadline: float) -> bool:
        """Wait until no call runs. Returns false after a wait: the files must then be checked again.

        Raises:
            DatabaseUnavailable: The calls did not end in time.
        """
        if not self._calls:
            return True
        if not self._changed.wait(deadline - time.monotonic()):
            raise DatabaseUnavailable("The service's database files were changed; try again in a moment.", reason="wal")
        return False


def _identity(path: str) -> _Identity:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino)
