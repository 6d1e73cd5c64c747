"""Conversion between batches and rows of ``preview_logs``: the inserts of this package.

A run of lines is inserted with ONE parameter: a JSON array that the database takes apart. With ``executemany``,
SQLite's driver releases and takes the GIL once per row. Next to a busy event loop this reduces the rate from 340,000
rows/s to under 1,000: each return waits for a switch interval of 5 ms. One statement per run keeps both at full
speed, and PostgreSQL needs one round trip.

Each array element is one character for the mark, one for the milliseconds since the run's first line, then the text. In
a run with requests a third character is the length of the request id, which precedes the text.

The array is encoded in the caller's task, not in the database thread. Two threads that run Python code exchange the GIL
only every 5 ms. The event loop releases it at every system call, so each call would wait for an encoding thread.
The threads here therefore only wait for the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring

import trio
from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    Integer,
    Null,
    String,
    Text,
    bindparam,
    case,
    cast,
    column,
    delete,
    func,
    literal,
    null,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import ColumnElement, Executable

from preview.logs.model.batch import Batch
from preview.logs.model.events import LEVELS, STORED_SOURCES, Requests
from preview.storage.tables import preview_logs

# First character code: after the control characters, so that only two marks need a JSON escape.
_BASE = 0x30
# Lines later than this start a new run, so that the time's character stays below the surrogates (0xD800).
_RUN_MS = 0xD000
# Lines encoded at once, in a millisecond or two; then other tasks get a turn.
_TURN_LINES = 2000


@dataclass(frozen=True, slots=True)
class Rows:
    """The lines of one run.

    Attributes:
        parameters: Parameters of the insert.
        has_requests: True if the elements contain request ids.
    """

    parameters: Mapping[str, str | int]
    has_requests: bool

    @property
    def preview_id(self) -> str:
        """The preview."""
        return str(self.parameters["run_preview"])


async def encode_batches(batches: Sequence[Batch]) -> list[Rows]:
    """Encode batches for ``insert_rows``, one result per run of lines. Yields to other tasks.

    Args:
        batches: Batches of any previews; those of one preview in order.

    Cancellation: nothing changes.
    """
    runs: list[Rows] = []
    lines = 0
    await trio.lowlevel.checkpoint()
    for run in _runs(batches):
        first = run[0]
        has_requests = any(batch.requests for batch in run)
        parts = []
        for batch in run:
            parts.append(_encode(batch, first.timestamps[0], has_requests=has_requests))
            lines += len(batch)
            if lines >= _TURN_LINES:
                lines = 0
                await trio.lowlevel.checkpoint()
        parameters: dict[str, str | int] = {
            "run_preview": first.preview_id,
            "run_seq": first.first_seq,
            "run_timestamp": first.timestamps[0],
            "run_lines": f"[{','.join(parts)}]",
        }
        runs.append(Rows(parameters, has_requests))
    return runs


def insert_rows(connection: Connection, runs: Iterable[Rows]) -> None:
    """Insert lines; existing numbers are ignored, so that a transaction with an unknown outcome can be repeated.

    Args:
        connection: A connection with an open transaction.
        runs: Result of ``encode_batches``.

    Raises:
        sqlalchemy.exc.IntegrityError: A preview has no row in ``preview_instances``.
    """
    for run in runs:
        connection.execute(_INSERTS[connection.dialect.name, run.has_requests], run.parameters)


def delete_up_to(connection: Connection, preview_id: str, seq: int) -> None:
    """Delete the preview's lines up to ``seq``."""
    logs = preview_logs.c
    connection.execute(delete(preview_logs).where(logs.preview_id == preview_id, logs.seq <= seq))


def _runs(batches: Iterable[Batch]) -> list[list[Batch]]:
    """Group adjacent batches of one preview with dense numbers, and with times that fit into one character."""
    runs: list[list[Batch]] = []
    for batch in batches:
        if runs:
            head, last = runs[-1][0], runs[-1][-1]
            since = min(batch.timestamps) - head.timestamps[0], max(batch.timestamps) - head.timestamps[0]
            dense = batch.preview_id == last.preview_id and batch.first_seq == last.last_seq + 1
            # A clock that was set back, or far forward, starts a new run.
            if dense and since[0] >= 0 and since[1] < _RUN_MS:
                runs[-1].append(batch)
                continue
        runs.append([batch])
    return runs


def _encode(batch: Batch, start_ms: int, *, has_requests: bool) -> str:
    """Return the array elements of one batch; its run starts at ``start_ms``."""
    base, since = _BASE, _BASE - start_ms
    if has_requests:
        requests = batch.requests or {}
        columns = zip(batch.timestamps, batch.marks, batch.messages, _padded(requests, len(batch)), strict=True)
        return ",".join(
            [
                encode_basestring(f"{chr(base + mark)}{chr(since + stamp)}{chr(base + len(request))}{request}{message}")
                for stamp, mark, message, request in columns
            ]
        )
    return ",".join(
        [
            encode_basestring(f"{chr(base + mark)}{chr(since + stamp)}{message}")
            for stamp, mark, message in zip(batch.timestamps, batch.marks, batch.messages, strict=True)
        ]
    )


def _padded(requests: Requests, count: int) -> Iterator[str]:
    return (requests.get(position, "") for position in range(count))


def _insert_statement(dialect: str, *, has_requests: bool) -> Executable:
    parameter = bindparam("run_lines", type_=Text)
    if dialect == "sqlite":
        lines = func.json_each(parameter).table_valued(column("key", BigInteger), column("value", Text), name="lines")
        index: ColumnElement[int] = lines.c.key
        code = func.unicode
        insert = sqlite.insert(preview_logs)
    else:
        lines = (
            func.json_array_elements_text(cast(parameter, JSON))
            .table_valued(column("value", Text), with_ordinality="key", name="lines")
            .render_derived()
        )
        index, code = lines.c.key - 1, func.ascii
        insert = postgresql.insert(preview_logs)  # type: ignore[assignment]  # same methods, no common base
    text = lines.c.value
    mark = code(text, type_=Integer) - _BASE
    rows = select(
        bindparam("run_preview", type_=String),
        bindparam("run_seq", type_=BigInteger) + index,
        bindparam("run_timestamp", type_=BigInteger) + code(func.substr(text, 2, 1), type_=Integer) - _BASE,
        case({position: int(level) for position, level in enumerate(LEVELS)}, value=mark % len(LEVELS)),
        case(
            {position: literal(source, String) for position, source in enumerate(STORED_SOURCES)},
            value=mark // len(LEVELS),
        ),
        *_request_and_message(text, code(func.substr(text, 3, 1), type_=Integer) - _BASE, has_requests=has_requests),
    ).where(lines.c.key >= 0)  # SQLite cannot parse ON CONFLICT after a SELECT without WHERE
    names = ["preview_id", "seq", "timestamp", "level", "source", "request_id", "message"]
    return insert.from_select(names, rows).on_conflict_do_nothing()


def _request_and_message(
    text: ColumnElement[str], length: ColumnElement[int], *, has_requests: bool
) -> tuple[ColumnElement[str] | Null, ColumnElement[str]]:
    if not has_requests:
        return null(), func.substr(text, 3)
    return func.nullif(func.substr(text, 4, length), ""), func.substr(text, 4 + length)


_INSERTS = {
    (dialect, has_requests): _insert_statement(dialect, has_requests=has_requests)
    for dialect in ("sqlite", "postgresql")
    for has_requests in (False, True)
}
