from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from litestar import Litestar, get
from litestar.datastructures import State
from litestar.di import Provide
from models import Base
from orders import OrderController
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

engine = create_async_engine("sqlite+aiosqlite:///orders.db")
session_factory = async_sessionmaker(engine, expire_on_commit=False)


@dataclass
class Health:
    status: str


@get("/health")
async def health() -> Health:
    return Health("ok")


async def provide_session(state: State) -> AsyncGenerator[AsyncSession, None]:
    async with session_factory() as session:
        yield session


@asynccontextmanager
async def database(app: Litestar) -> AsyncGenerator[None, None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


app = Litestar(
    route_handlers=[health, OrderController],
    dependencies={"session": Provide(provide_session)},
    lifespan=[database],
)
