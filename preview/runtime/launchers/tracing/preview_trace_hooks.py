"""Measures the libraries that a project uses: each is changed right after its import, or now if it is imported already.

A library that is missing, or of an unexpected form, is left as it is. Nothing is reported outside a request. Statements
are reported as the program wrote them, without their parameters; addresses without their query.

Runs in the child, on the project's own interpreter: standard library only.
"""

from __future__ import annotations

import functools
import re
import sys
import time
from contextlib import suppress
from typing import Any

from preview_trace import current, quiet  # type: ignore[import-not-found]

_OWN = "preview_traced"
_MOST_READ = 4000
_MOST_NAMES = 500
_VERB = re.compile(r"[\s(]*([A-Za-z]+)")
_TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE|TABLE|JOIN)\s+[\"`\[]?([\w.]+)", re.IGNORECASE)
_names: dict[str, str] = {}


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
        if not hasattr(module, _OWN):
            setattr(module, _OWN, True)
            _HOOKS[name](module)


class _Measured:
    """A piece of work in a request, as a context; without one, or within another, it does nothing."""

    __slots__ = ("_active", "_began", "_detail", "_name", "_token", "kind", "status")

    def __init__(self, kind: str, name: str, detail: str = "") -> None:
        self.status = 0
        self.kind, self._name, self._detail = kind, name, detail

    def __enter__(self) -> Any:
        self._active = None if quiet.get() else current.get()
        if self._active is not None:
            self._token = quiet.set(True)
            self._began = time.perf_counter_ns()
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: object) -> None:
        if self._active is None:
            return
        try:
            quiet.reset(self._token)
        except Exception:  # noqa: BLE001  it ends in another context than it began in
            quiet.set(False)
        with suppress(Exception):
            error = "" if kind is None else kind.__name__
            self._active.add(self.kind, self._began, self._name, self._detail, self.status, error)


def _is_idle() -> bool:
    """Return whether nothing is to be measured here."""
    return current.get() is None or quiet.get()


def _sql(statement: Any) -> _Measured:
    try:
        text = statement if isinstance(statement, str) else _text(statement)
        text = text[:_MOST_READ]
        name = _names.get(text)
        if name is None:
            verb, table = _VERB.match(text), _TABLE.search(text)
            name = f"{verb.group(1).upper() if verb else 'SQL'} {table.group(1) if table else ''}".strip()
            if len(_names) >= _MOST_NAMES:
                _names.clear()
            _names[text] = name
    except Exception:  # noqa: BLE001  it is measured without its text
        text, name = "", "SQL"
    return _Measured("sql", name, text)


def _text(statement: Any) -> str:
    """Return the text of a statement that is no string: bytes, or an object of psycopg.sql."""
    if isinstance(statement, (bytes, bytearray)):
        return bytes(statement).decode("utf-8", "replace")
    as_string = getattr(statement, "as_string", None)
    return str(as_string(None)) if callable(as_string) else f"<{type(statement).__name__}>"


def _wrap(owner: Any, name: str, measure: Any, *, is_async: bool = False) -> None:
    """Measure calls of a function; ``measure`` returns the work for its arguments."""
    original = getattr(owner, name, None)
    if original is None or hasattr(original, _OWN):
        return
    if is_async:

        @functools.wraps(original)
        async def call_async(*given: Any, **named: Any) -> Any:
            if _is_idle():
                return await original(*given, **named)
            with _work(measure, given, named) as work:
                return _note(work, await original(*given, **named))

        wrapped: Any = call_async
    else:

        @functools.wraps(original)
        def call(*given: Any, **named: Any) -> Any:
            if _is_idle():
                return original(*given, **named)
            with _work(measure, given, named) as work:
                return _note(work, original(*given, **named))

        wrapped = call
    setattr(wrapped, _OWN, True)
    setattr(owner, name, wrapped)


def _work(measure: Any, given: Any, named: Any) -> Any:
    """Return the work of a call; one without a name if it is called in a way that is not known here."""
    try:
        return measure(*given, **named)
    except Exception:  # noqa: BLE001  the library takes such calls
        return _Measured("call", "other")


def _note(work: Any, answer: Any) -> Any:
    """Note the status of an HTTP response; return the response."""
    for name in ("status_code", "status") if work.kind == "call" else ():
        status = getattr(answer, name, None)
        if type(status) is int:
            work.status = status
            break
    return answer


def _statement(_cursor: Any, statement: Any = "", *_given: Any, **named: Any) -> _Measured:
    return _sql(statement or named.get("query") or named.get("sql") or "")


def _address(method: Any, url: Any) -> _Measured:
    """Return the work of an outgoing request; its address is shown without user, password, query and fragment."""
    try:
        verb = method.decode("ascii") if isinstance(method, bytes) else str(method or "GET")
        scheme, _, rest = str(url).partition("://")
        rest = rest.partition("?")[0].partition("#")[0]
        host, slash, path = rest.partition("/")
        shown = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
        return _Measured("call", f"{verb.upper()} {host.rpartition('@')[2]}{slash}{path}", shown)
    except Exception:  # noqa: BLE001  it is measured without its address
        return _Measured("call", "request")


# Databases


def _sqlalchemy(module: Any) -> None:
    engine = module.engine.Engine

    def before(_connection: Any, _cursor: Any, statement: Any, _parameters: Any, context: Any, _many: Any) -> None:
        with suppress(Exception):
            work = _sql(statement)
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
        if _is_idle():
            return execute(sql, params, many, context)
        with _sql(sql):
            return execute(sql, params, many, context)

    def add(connection: Any = None, **_named: Any) -> None:
        with suppress(Exception):
            if measured not in connection.execute_wrappers:
                connection.execute_wrappers.append(measured)

    module.connection_created.connect(add, weak=False, dispatch_uid=_OWN)
    database = sys.modules.get("django.db")
    if database is not None:
        for connection in database.connections.all(initialized_only=True):
            add(connection)


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
            _wrap(owner, name, _statement)

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
        _wrap(Cursor, name, _statement)

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
                    _wrap(owner, method, _statement, is_async=is_async)

    return change


def _asyncpg(module: Any) -> None:
    for name in ("execute", "executemany", "fetch", "fetchrow", "fetchval", "fetchmany"):
        _wrap(module.Connection, name, _statement, is_async=True)


# Outgoing requests


def _httpx(module: Any) -> None:
    def measure(_transport: Any, request: Any) -> _Measured:
        return _address(request.method, request.url)

    _wrap(module.HTTPTransport, "handle_request", measure)
    _wrap(module.AsyncHTTPTransport, "handle_async_request", measure, is_async=True)


def _requests(module: Any) -> None:
    _wrap(module.Session, "send", lambda _session, request, **_: _address(request.method, request.url))


def _urllib(module: Any) -> None:
    def measure(_opener: Any, request: Any, *_given: Any, **_named: Any) -> _Measured:
        if isinstance(request, str):
            return _address("GET", request)
        return _address(request.get_method(), request.full_url)

    _wrap(module.OpenerDirector, "open", measure)


def _aiohttp(module: Any) -> None:
    def measure(_session: Any, method: Any, url: Any, **_named: Any) -> _Measured:
        return _address(method, url)

    _wrap(module.ClientSession, "_request", measure, is_async=True)


# Caches


def _command(_client: Any, *words: Any, **_named: Any) -> _Measured:
    word = words[0] if words else ""
    name = word.decode("ascii", "replace") if isinstance(word, bytes) else str(word)
    return _Measured("cache", name[:40].upper())


def _pipeline(*_given: Any, **_named: Any) -> _Measured:
    return _Measured("cache", "PIPELINE")


def _redis(module: Any) -> None:
    _wrap(module.Redis, "execute_command", _command)
    _wrap(module.Pipeline, "execute", _pipeline)


def _redis_async(module: Any) -> None:
    _wrap(module.Redis, "execute_command", _command, is_async=True)
    _wrap(module.Pipeline, "execute", _pipeline, is_async=True)


_HOOKS: dict[str, Any] = {
    "MySQLdb.cursors": _cursors("BaseCursor"),
    "aiohttp.client": _aiohttp,
    "aiomysql.cursors": _cursors("Cursor", is_async=True),
    "aiosqlite.cursor": _cursors("Cursor", is_async=True),
    "asyncpg.connection": _asyncpg,
    "django.db.backends.signals": _django,
    "httpx": _httpx,
    "psycopg.cursor": _cursors("Cursor"),
    "psycopg.cursor_async": _cursors("AsyncCursor", is_async=True),
    "psycopg2": _psycopg2,
    "pymysql.cursors": _cursors("Cursor"),
    "redis.asyncio.client": _redis_async,
    "redis.client": _redis,
    "requests.sessions": _requests,
    "sqlalchemy": _sqlalchemy,
    "sqlite3": _sqlite3,
    "urllib.request": _urllib,
}
