"""Batches to rows of ``preview_logs`` and back: the SQL of this room.

Lines go in as ONE parameter per run: a JSON array that the database itself takes apart. With ``executemany``, SQLite's
driver releases and takes the interpreter's lock once per row; beside a busy event loop that drops the rate from 340,000
rows/s to under 1,000 (each return waits for a 5 ms switch interval). One statement per run keeps both at full speed,
and PostgreSQL needs one round trip.

Each array element is the mark as one character, the milliseconds since the run's first line as another, then the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from json.encoder import encode_basestring

from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    Integer,
    String,
    Text,
    bindparam,
    case,
    cast,
    column,
    delete,
    func,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import ColumnElement, Executable

from preview.logs.batch import Batch
from preview.logs.marks import LEVELS, SOURCES
from preview.storage.tables import preview_logs

__all__ = ["delete_up_to", "insert_batches"]

# First character code used: past the controls, so that nothing needs a JSON escape but two of the marks.
_BASE = 0x30
# Later lines begin a new run: keeps the character below the surrogates (0xD800).
_RUN_MS = 0xD000


def insert_batches(connection: Connection, batches: Sequence[Batch]) -> None:
    """Insert the lines of ``batches``.

    A number that is there already is left as it is, so that a transaction whose outcome is unknown can be repeated.

    Args:
        connection: In a transaction.
        batches: Of any previews; those of one preview in the order of their numbers.

    Raises:
        sqlalchemy.exc.IntegrityError: A preview has no row in ``preview_instances`` (any more).
    """
    statement = _INSERTS[connection.dialect.name]
    for run in _runs(batches):
        first = run[0]
        connection.execute(
            statement,
            {
                "run_preview": first.preview_id,
                "run_seq": first.first_seq,
                "run_timestamp": first.timestamps[0],
                "run_lines": _encode(run, first.timestamps[0]),
            },
        )


def delete_up_to(connection: Connection, preview_id: str, seq: int) -> None:
    """Delete the preview's lines up to number ``seq``."""
    logs = preview_logs.c
    connection.execute(delete(preview_logs).where(logs.preview_id == preview_id, logs.seq <= seq))


def _runs(batches: Iterable[Batch]) -> list[list[Batch]]:
    """Neighbours of one preview with dense numbers, and times that fit into one character."""
    runs: list[list[Batch]] = []
    for batch in batches:
        if runs:
            head, last = runs[-1][0], runs[-1][-1]
            since = min(batch.timestamps) - head.timestamps[0], max(batch.timestamps) - head.timestamps[0]
            dense = batch.preview_id == last.preview_id and batch.first_seq == last.last_seq + 1
            # A clock that was set back or far ahead begins a new run.
            if dense and since[0] >= 0 and since[1] < _RUN_MS:
                runs[-1].append(batch)
                continue
        runs.append([batch])
    return runs


def _encode(run: Sequence[Batch], start_ms: int) -> str:
    base = _BASE
    items = [
        encode_basestring(f"{chr(base + mark)}{chr(base + stamp - start_ms)}{message}")
        for batch in run
        for stamp, mark, message in zip(batch.timestamps, batch.marks, batch.messages, strict=True)
    ]
    return f"[{','.join(items)}]"


def _insert_statement(dialect: str) -> Executable:
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
            {position: literal(source.value, String) for position, source in enumerate(SOURCES)},
            value=mark // len(LEVELS),
        ),
        func.substr(text, 3),
    ).where(lines.c.key >= 0)  # SQLite cannot parse ON CONFLICT behind a SELECT without WHERE
    names = ["preview_id", "seq", "timestamp", "level", "source", "message"]
    return insert.from_select(names, rows).on_conflict_do_nothing()


_INSERTS = {dialect: _insert_statement(dialect) for dialect in ("sqlite", "postgresql")}
