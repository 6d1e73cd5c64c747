"""Distinguish database outages from invalid statements and values."""

from __future__ import annotations

import sqlite3

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from preview.errors import DatabaseUnavailable

# Primary result codes (https://www.sqlite.org/rescode.html) caused by the values or the caller. 0: by the driver.
_SQLITE_REFUSALS = frozenset(
    {
        0,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_RANGE,
    }
)
# SQLITE_ERROR means an invalid statement. Statements match the expected schema: these messages mean another schema.
_SQLITE_TABLES = ("no such table", "no such column", "no such index", "has no column named")
# Classes of SQLSTATE (PostgreSQL, appendix A) caused by the values: cardinality, data, integrity, views, limits.
_REFUSED_CLASSES = frozenset({"21", "22", "23", "44", "54"})
# Class 42 means an invalid statement, except for revoked privileges and a different schema.
_STATEMENT_CLASS = "42"
_STATEMENT_OUTAGES = frozenset({"42501", "42P01", "42703", "42704", "42883", "42P10"})

# Messages for errors that a retry cannot fix, by the prefix of SQLite's error name, or by the SQLSTATE.
_SENTENCES = {
    "SQLITE_FULL": "The service's database cannot grow: its disk is full; make room in the data folder.",
    "SQLITE_READONLY": "The service's database is read-only; give the service's user the right to write it.",
    "SQLITE_CANTOPEN": "The service's database file cannot be opened; check that it and its folder exist.",
    "SQLITE_NOTADB": "The service's database file is not an SQLite database; move it away, or put its backup back.",
    "SQLITE_CORRUPT": "The service's database file is damaged; move it away, or put its backup back.",
    "SQLITE_IOERR": "The service's database cannot be read or written: its disk fails; see the machine's own log.",
    "SQLITE_ERROR": "The service's database lacks tables that this version needs; put its backup back.",
    "42501": "The service's database refuses access to a table; grant the service's role its rights again.",
    "42P01": "The service's database lacks a table that this version needs; put its backup back.",
    "42703": "The service's database lacks a column that this version needs; run `preview db upgrade`.",
    "53100": "The service's database cannot grow: the disk of its server is full; make room there.",
    "25006": "The service's database does not accept writes at the moment; check whether its server is a standby.",
}


def is_outage(error: DBAPIError) -> bool:
    """Return true if the database's state caused the error: the values are valid, and a retry may help.

    Unlisted kinds of errors count as outages, because values and statements are known to be valid.
    """
    orig = error.orig
    if isinstance(orig, sqlite3.Error):
        # The extended code's low byte is the primary code.
        code = getattr(orig, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_ERROR:
            return any(words in str(orig) for words in _SQLITE_TABLES)
        return code not in _SQLITE_REFUSALS
    if error.connection_invalidated:
        return True
    state = orig.sqlstate if isinstance(orig, psycopg.Error) else None
    if state is None:
        return isinstance(orig, psycopg.OperationalError | psycopg.InterfaceError)
    if state[:2] == _STATEMENT_CLASS:
        return state in _STATEMENT_OUTAGES
    return state[:2] not in _REFUSED_CLASSES


def translate(error: DBAPIError | PoolTimeout) -> Exception:
    """Return the error to raise instead: ``DatabaseUnavailable`` for an outage, else the error itself.

    An invalid statement is a bug of this service, and stays unchanged. The message never contains the URL or values.
    """
    if isinstance(error, PoolTimeout):
        return DatabaseUnavailable("The service's database has no connection left; try again in a moment.")
    if not is_outage(error):
        return error
    reason = _reason(error.orig)
    said = next((text for name, text in _SENTENCES.items() if reason.startswith(name)), None)
    return DatabaseUnavailable(
        said or f"The service's database did not answer ({type(error.orig).__name__}); try again in a moment.",
        reason=reason,
    )


def _reason(orig: BaseException | None) -> str:
    """Return the error's code for programs and for the service's log."""
    if isinstance(orig, sqlite3.Error):
        return getattr(orig, "sqlite_errorname", "") or "sqlite"
    return (orig.sqlstate if isinstance(orig, psycopg.Error) else None) or "connection"
