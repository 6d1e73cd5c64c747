"""Measures the libraries that a project uses: each is changed right after its import, or now if it is imported already.

A library that is missing, or of an unexpected form, is left as it is. Nothing is reported outside a request. Statements
are reported as the program wrote them, without their parameters; addresses without their query.

Runs in the child, on the project's own interpreter: standard library only.
"""

from __future__ import annotations

import functools
import sys
import time
from contextlib import suppress
from typing import Any

from preview_trace import current, quiet  # type: ignore[import-not-found]
from preview_trace_calls import CALLS  # type: ignore[import-not-found]
from preview_trace_work import OWN, Measured, is_idle, sql_work, statement_of, wrap  # type: ignore[import-not-found]

# Commands to MongoDB without an answer, in all threads.
_MOST_WAITING = 1000
_MOST_KEYS = 20


def install() -> None:
    """Change the libraries; a second call changes nothing."""
    if not any(isinstance(one, _Finder) for one in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    for name in _HOOKS:
        if name in sys.modules:
            _change(name, sys.modules[name])


class _Finder:
    """Changes modules right after their import."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in _HOOKS:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = None if finder is self or find is None else find(name, path, target)
            if spec is not None:
                break
        else:
            return None
        loader = spec.loader
        execute = getattr(loader, "exec_module", None)
        if execute is None:
            return spec

        def execute_and_change(module: Any) -> None:
            execute(module)
            _change(name, module)

        with suppress(Exception):
            loader.exec_module = execute_and_change
        return spec


def _change(name: str, module: Any) -> None:
    with suppress(Exception):
        if not hasattr(module, OWN):
            setattr(module, OWN, True)
            _HOOKS[name](module)


# Databases


def _sqlalchemy(module: Any) -> None:
    engine = module.engine.Engine

    def before(_connection: Any, _cursor: Any, statement: Any, _parameters: Any, context: Any, _many: Any) -> None:
        with suppress(Exception):
            work = sql_work(statement)
            work.__enter__()
            context.preview_work = work

    def after(_connection: Any, _cursor: Any, _statement: Any, _parameters: Any, context: Any, _many: Any) -> None:
        with suppress(Exception):
            work, context.preview_work = context.preview_work, None
            if work is not None:
                work.__exit__(None, None, None)

    def failed(given: Any) -> None:
        with suppress(Exception):
            context = given.execution_context
            work = getattr(context, "preview_work", None)
            if work is not None:
                context.preview_work = None
                work.__exit__(type(given.original_exception), None, None)

    module.event.listen(engine, "before_cursor_execute", before)
    module.event.listen(engine, "after_cursor_execute", after)
    module.event.listen(engine, "handle_error", failed)


def _django(module: Any) -> None:
    def measured(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        if is_idle():
            return execute(sql, params, many, context)
        with sql_work(sql):
            return execute(sql, params, many, context)

    def add(connection: Any = None, **_named: Any) -> None:
        with suppress(Exception):
            if measured not in connection.execute_wrappers:
                connection.execute_wrappers.append(measured)

    module.connection_created.connect(add, weak=False, dispatch_uid=OWN)
    database = sys.modules.get("django.db")
    if database is not None:
        for connection in database.connections.all(initialized_only=True):
            add(connection)


def _django_sqlite(module: Any) -> None:
    """Leave out what Django executes after each statement for its own list of them, if DEBUG is on."""
    original = module.DatabaseOperations.last_executed_query

    @functools.wraps(original)
    def call(*given: Any, **named: Any) -> Any:
        token = quiet.set(True)
        try:
            return original(*given, **named)
        finally:
            quiet.reset(token)

    module.DatabaseOperations.last_executed_query = call


def _sqlite3(module: Any) -> None:
    """Measure connections of the usual class: it cannot be changed, so ``connect`` makes one of a subclass."""
    connect: Any = module.connect
    plain: Any = module.Connection
    plain_cursor: Any = module.Cursor

    class Cursor(plain_cursor):  # type: ignore[misc]  # the project's own
        """A cursor whose statements are measured."""

    class Connection(plain):  # type: ignore[misc]  # as above
        """A connection whose statements are measured."""

        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

    for owner in (Cursor, Connection):
        owner.__qualname__, owner.__module__ = owner.__name__, "sqlite3"
        for name in ("execute", "executemany", "executescript"):
            # A function of its own, because the base class's cannot be replaced.
            setattr(owner, name, _inherited(owner, name))
            wrap(owner, name, statement_of)

    @functools.wraps(connect)
    def connect_measured(*given: Any, **named: Any) -> Any:
        # ``factory`` is the sixth argument.
        if len(given) < 6 and "factory" not in named:
            named["factory"] = Connection
        return connect(*given, **named)

    module.connect = connect_measured
    dbapi2: Any = sys.modules.get("sqlite3.dbapi2")
    if dbapi2 is not None:
        dbapi2.connect = connect_measured


def _inherited(owner: Any, name: str) -> Any:
    original = getattr(owner, name)

    @functools.wraps(original)
    def call(*given: Any, **named: Any) -> Any:
        return original(*given, **named)

    return call


def _psycopg2(module: Any) -> None:
    connect: Any = module.connect
    plain: Any = module.extensions.cursor

    class Cursor(plain):  # type: ignore[misc]  # the project's own
        """A cursor whose statements are measured."""

    for name in ("execute", "executemany"):
        setattr(Cursor, name, _inherited(Cursor, name))
        wrap(Cursor, name, statement_of)

    @functools.wraps(connect)
    def connect_measured(*given: Any, **named: Any) -> Any:
        if len(given) < 2 and named.get("cursor_factory") is None and named.get("connection_factory") is None:
            named["cursor_factory"] = Cursor
        return connect(*given, **named)

    module.connect = connect_measured


def _cursors(*classes: str, is_async: bool = False) -> Any:
    """Return the hook for a module with cursor classes written in Python."""

    def change(module: Any) -> None:
        for name in classes:
            owner = getattr(module, name, None)
            if owner is not None:
                for method in ("execute", "executemany"):
                    wrap(owner, method, statement_of, is_async=is_async)

    return change


def _aiosqlite(module: Any) -> None:
    """Measure the one function through which connections and cursors run sqlite3's, in a thread of their own."""
    original = module.Connection._execute  # noqa: SLF001  its methods return objects that are awaited later

    @functools.wraps(original)
    async def execute(connection: Any, function: Any, *given: Any, **named: Any) -> Any:
        is_statement = "execute" in getattr(function, "__name__", "") and given and isinstance(given[0], str)
        if is_idle() or not is_statement:
            return await original(connection, function, *given, **named)
        with sql_work(given[0]):
            return await original(connection, function, *given, **named)

    module.Connection._execute = execute  # noqa: SLF001  as above


def _asyncpg(module: Any) -> None:
    for name in ("execute", "executemany", "fetch", "fetchrow", "fetchval", "fetchmany"):
        wrap(module.Connection, name, statement_of, is_async=True)


def _mongo(module: Any) -> None:
    """Report commands by the driver's own listeners: they know the time on the wire, and whether a command failed."""

    class Listener(module.CommandListener):  # type: ignore[misc]  # the project's own
        """Reports commands of the current request."""

        def started(self, event: Any) -> None:
            with suppress(Exception):
                if not is_idle():
                    if len(waiting) >= _MOST_WAITING:
                        waiting.clear()
                    waiting[event.request_id] = (
                        time.perf_counter_ns(),
                        *_command_of(event.command_name, event.command),
                    )

        def succeeded(self, event: Any) -> None:
            self._end(event, "")

        def failed(self, event: Any) -> None:
            self._end(event, "OperationFailure")

        def _end(self, event: Any, error: str) -> None:
            with suppress(Exception):
                began, name, detail = waiting.pop(event.request_id)
                active = current.get()
                if active is not None:
                    active.add("sql", began, name, detail, 0, error)

    waiting: dict[int, Any] = {}
    module.register(Listener())


def _command_of(name: str, command: Any) -> tuple[str, str]:
    """Return name and text of a command to MongoDB: its collection and the keys of its filter, without values."""
    collection = command.get(name)
    shown = f"{name} {collection}" if isinstance(collection, str) else name
    asked = command.get("filter") or command.get("query") or {}
    keys = ", ".join(f"{key}: ?" for key in list(asked)[:_MOST_KEYS])
    return shown, f"{shown} {{{keys}}}"


# Caches


def _command(_client: Any, *words: Any, **_named: Any) -> Measured:
    word = words[0] if words else ""
    name = word.decode("ascii", "replace") if isinstance(word, bytes) else str(word)
    return Measured("cache", name[:40].upper())


def _pipeline(*_given: Any, **_named: Any) -> Measured:
    return Measured("cache", "PIPELINE")


def _redis(module: Any) -> None:
    wrap(module.Redis, "execute_command", _command)
    wrap(module.Pipeline, "execute", _pipeline)


def _redis_async(module: Any) -> None:
    wrap(module.Redis, "execute_command", _command, is_async=True)
    wrap(module.Pipeline, "execute", _pipeline, is_async=True)


_HOOKS: dict[str, Any] = {
    **CALLS,
    "MySQLdb.cursors": _cursors("BaseCursor"),
    "aiomysql.cursors": _cursors("Cursor", is_async=True),
    "aiosqlite.core": _aiosqlite,
    "asyncpg.connection": _asyncpg,
    "django.db.backends.signals": _django,
    "django.db.backends.sqlite3.operations": _django_sqlite,
    "pymongo.monitoring": _mongo,
    "psycopg.cursor": _cursors("Cursor"),
    "psycopg.cursor_async": _cursors("AsyncCursor", is_async=True),
    "psycopg2": _psycopg2,
    "pymysql.cursors": _cursors("Cursor"),
    "redis.asyncio.client": _redis_async,
    "redis.client": _redis,
    "sqlalchemy": _sqlalchemy,
    "sqlite3": _sqlite3,
}
