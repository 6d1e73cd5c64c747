"""Uses packages once as an application will, so that what they load only then is there before the fork.

Nothing here may leave a trace that an application could see; no thread is started. What fails is left to the project.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

__all__ = ["PREFIX", "warm_up"]

PREFIX = "use of "


def warm_up() -> Iterator[str]:
    """Use each package that is loaded and known here; yields its name after that."""
    for name, use in _USES.items():
        if name in sys.modules:
            # Another version, another shape: the project loads it by itself.
            with suppress(Exception):
                use()
            yield name


def _fastapi() -> None:
    from fastapi import FastAPI  # noqa: PLC0415
    from pydantic import BaseModel  # noqa: PLC0415

    class Thing(BaseModel):
        name: str = "a"
        count: int = 1

    application = FastAPI()

    async def answer(thing: Thing, number: int = 1) -> Thing:
        return Thing(name=thing.name, count=number)

    # Evaluated by FastAPI in the module's own names, where a local class is not found.
    answer.__annotations__ = {"thing": Thing, "number": int, "return": Thing}
    application.post("/thing", response_model=Thing)(answer)
    body = b'{"name": "b"}'
    asyncio.run(_ask(application, "POST", "/thing", body))
    asyncio.run(_ask(application, "GET", "/openapi.json", b""))


async def _ask(application: Any, method: str, path: str, body: bytes) -> None:
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": method,
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "state": {},
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(_message: dict[str, Any]) -> None:
        return None

    await application(scope, receive, send)


def _flask() -> None:
    from flask import Flask, jsonify  # noqa: PLC0415

    application = Flask("preview_warmup")
    application.add_url_rule("/", "index", lambda: jsonify(ready=True))
    application.test_client().get("/")


def _jinja2() -> None:
    from jinja2 import Environment  # noqa: PLC0415

    Environment(autoescape=True).from_string("{% for one in many %}{{ one }}{% endfor %}").render(many=[1])


def _sqlalchemy() -> None:
    from sqlalchemy import Column, Integer, MetaData, Table, create_engine, select  # noqa: PLC0415

    table = Table("a", MetaData(), Column("id", Integer, primary_key=True))
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        table.metadata.create_all(connection)
        connection.execute(select(table)).all()
    engine.dispose()


_USES: dict[str, Callable[[], None]] = {
    "sqlalchemy": _sqlalchemy,
    "fastapi": _fastapi,
    "flask": _flask,
    "jinja2": _jinja2,
}
