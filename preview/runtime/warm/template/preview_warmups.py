"""Uses packages once as an application would, so that whatever they load on first use is loaded before the fork.

No warm-up may leave a trace that an application could see, or start a thread. Failures are left to the project.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Annotated, Any

PREFIX = "use of "


def warm_up() -> Iterator[str]:
    """Use each loaded package that is known here; yield its name afterwards."""
    for name, use in _USES.items():
        if name in sys.modules:
            # Another version may have another API; the project then loads the rest itself.
            with suppress(Exception):
                use()
            yield name


def use_all() -> None:
    """Run all warm-ups."""
    for _ in warm_up():
        pass


def _fastapi() -> None:
    from fastapi import APIRouter, Depends, FastAPI  # noqa: PLC0415
    from fastapi.middleware.cors import CORSMiddleware  # noqa: PLC0415
    from pydantic import BaseModel, Field  # noqa: PLC0415

    class Thing(BaseModel):
        name: str = Field(default="a", min_length=1)
        count: int = 1

    async def made() -> AsyncIterator[int]:
        # Asynchronous, because FastAPI runs a plain function in a thread.
        yield 1

    async def answer(thing: Any, made: int, number: int = 1) -> Any:
        return Thing(name=thing.name, count=number + made)

    # Set here, because FastAPI evaluates annotations in the module's globals, where local classes are missing.
    answer.__annotations__ = {"thing": Thing, "made": Annotated[int, Depends(made)], "number": int, "return": Thing}
    router = APIRouter(prefix="/some", tags=["some"])
    router.post("/thing", response_model=Thing)(answer)
    application = FastAPI()
    application.add_middleware(CORSMiddleware, allow_origins=["*"])
    application.include_router(router, prefix="/all")
    body = b'{"name": "b"}'
    asyncio.run(_ask(application, "POST", "/all/some/thing", body))
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


def _sqlalchemy_orm() -> None:
    from sqlalchemy import ForeignKey, String, create_engine, func, select  # noqa: PLC0415
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship  # noqa: PLC0415

    class Base(DeclarativeBase):
        pass

    def table(name: str, kinds: dict[str, Any], columns: dict[str, Any]) -> Any:
        # In a class body, annotations would be strings, looked up in the module's globals.
        told = {"__tablename__": name, "__module__": __name__, "__annotations__": kinds}
        return type(name, (Base,), {**told, **columns})

    shelf = table(
        "shelf",
        {"id": Mapped[int], "name": Mapped[str]},
        {"id": mapped_column(primary_key=True), "name": mapped_column(String(20), unique=True)},
    )
    book = table(
        "book",
        {"id": Mapped[int], "shelf_id": Mapped[int], "shelf": Mapped[Any]},
        {
            "id": mapped_column(primary_key=True),
            "shelf_id": mapped_column(ForeignKey("shelf.id"), index=True),
            "shelf": relationship(shelf, backref="books"),
        },
    )
    engine = create_engine("sqlite://")
    try:
        Base.metadata.create_all(engine)
        with Session(engine) as session:
            session.scalar(select(func.count()).select_from(shelf))
            session.add(shelf(name="a", books=[book(), book()]))
            session.commit()
            session.scalars(select(shelf).where(shelf.name <= "b").order_by(shelf.name)).all()
    finally:
        engine.dispose()
        Base.registry.dispose()


_USES: dict[str, Callable[[], None]] = {
    "sqlalchemy": _sqlalchemy,
    "sqlalchemy.orm": _sqlalchemy_orm,
    "fastapi": _fastapi,
    "flask": _flask,
    "jinja2": _jinja2,
}
