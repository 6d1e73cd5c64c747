"""A piece of work that is measured, and what wraps a library's functions to measure them.

Nothing is reported outside a request. Statements are reported as the program wrote them, without their parameters.

Runs in the child, on the project's own interpreter: standard library only.
"""

from __future__ import annotations

import functools
import os
import re
import time
from contextlib import suppress
from typing import Any

from preview_trace import current, quiet  # type: ignore[import-not-found]

OWN = "preview_traced"
_MOST_READ = 4000
_MOST_NAMES = 500
_VERB = re.compile(r"[\s(]*([A-Za-z]+)")
_TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE|TABLE|JOIN)\s+[\"`\[]?([\w.]+)(?:[\"`\]]\.[\"`\[](\w+))?", re.IGNORECASE)
_PSYCOPG = frozenset({"SQL", "Identifier", "Placeholder"})
_names: dict[str, str] = {}


class Measured:
    """A piece of work in a request, as a context; without one, or within another, it does nothing."""

    __slots__ = ("_active", "_began", "_detail", "_name", "_span_id", "_token", "_undo", "kind", "status")

    def __init__(self, kind: str, name: str, detail: str = "") -> None:
        self.status = 0
        self._span_id, self._undo = "", None
        self.kind, self._name, self._detail = kind, name, detail

    def __enter__(self) -> Any:
        self._active: Any = None if quiet.get() else current.get()
        if self._active is not None:
            self._token = quiet.set(True)
            self._began = time.perf_counter_ns()
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: object) -> None:
        if self._active is None:
            return
        if self._undo is not None:
            with suppress(Exception):
                self._undo()
        try:
            quiet.reset(self._token)
        except Exception:  # noqa: BLE001  it ends in another context than it began in
            quiet.set(False)
        with suppress(Exception):
            error = "" if kind is None else kind.__name__
            self._active.add(self.kind, self._began, self._name, self._detail, self.status, error, self._span_id)

    def inject(self, inject: Any, given: Any, named: Any) -> Any:
        """Add a ``traceparent`` (W3C Trace Context) to the request, until the end; return the changed arguments."""
        changed = list(given)
        try:
            self._span_id = os.urandom(8).hex()
            self._undo = inject(f"00-{self._active.trace_id}-{self._span_id}-01", changed, named)
        except Exception:  # noqa: BLE001  it is sent without
            return given
        return changed


def is_idle() -> bool:
    """Return whether nothing is to be measured here."""
    return current.get() is None or quiet.get()


def sql_work(statement: Any) -> Measured:
    """Return the work of a statement."""
    try:
        text = statement if isinstance(statement, str) else _text(statement)
        text = text[:_MOST_READ]
        name = _names.get(text)
        if name is None:
            verb, found = _VERB.match(text), _TABLE.search(text)
            table = (found.group(2) or found.group(1)) if found else ""
            name = f"{verb.group(1).upper() if verb else 'SQL'} {table}".strip()
            if len(_names) >= _MOST_NAMES:
                _names.clear()
            _names[text] = name
    except Exception:  # noqa: BLE001  it is measured without its text
        text, name = "", "SQL"
    return Measured("sql", name, text)


def _text(statement: Any) -> str:
    """Return the text of a statement that is no string: bytes, or an object of psycopg.sql without its values."""
    if isinstance(statement, (bytes, bytearray)):
        return bytes(statement).decode("utf-8", "replace")
    kind = type(statement).__name__
    if kind == "Composed":
        return "".join(_text(part) for part in statement)
    if kind == "Literal":
        return "%s"
    # Other objects may have values, too.
    return str(statement.as_string(None)) if kind in _PSYCOPG else f"<{kind}>"


def wrap(owner: Any, name: str, measure: Any, *, is_async: bool = False, inject: Any = None) -> None:
    """Measure calls of a function.

    Args:
        owner: Its class or module.
        name: Its name.
        measure: Returns the work for its arguments.
        is_async: It is asynchronous.
        inject: Adds a ``traceparent`` of this value to the request, unless it has one. It may change the arguments, and
            returns a function that takes the field out again, or None.
    """
    original = getattr(owner, name, None)
    if original is None or hasattr(original, OWN):
        return
    if is_async:

        @functools.wraps(original)
        async def call_async(*given: Any, **named: Any) -> Any:
            if is_idle():
                return await original(*given, **named)
            with _work(measure, given, named) as work:
                if inject is not None:
                    given = work.inject(inject, given, named)
                return _note(work, await original(*given, **named))

        wrapped: Any = call_async
    else:

        @functools.wraps(original)
        def call(*given: Any, **named: Any) -> Any:
            if is_idle():
                return original(*given, **named)
            with _work(measure, given, named) as work:
                if inject is not None:
                    given = work.inject(inject, given, named)
                return _note(work, original(*given, **named))

        wrapped = call
    setattr(wrapped, OWN, True)
    setattr(owner, name, wrapped)


def _work(measure: Any, given: Any, named: Any) -> Any:
    """Return the work of a call; one without a name if it is called in a way that is not known here."""
    try:
        return measure(*given, **named)
    except Exception:  # noqa: BLE001  the library takes such calls
        return Measured("call", "other")


def _note(work: Any, answer: Any) -> Any:
    """Note the status of an HTTP response; return the response."""
    for name in ("status_code", "status") if work.kind == "call" else ():
        status = getattr(answer, name, None)
        if type(status) is int:
            work.status = status
            break
    return answer


def statement_of(_cursor: Any, statement: Any = "", *_given: Any, **named: Any) -> Measured:
    """Return the work of a cursor's method, for its arguments."""
    return sql_work(statement or named.get("query") or named.get("sql") or "")
