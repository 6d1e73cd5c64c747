"""The bookshop's application."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from sqlalchemy import text

from app.config import API_PREFIX, config
from app.database import Base, SessionDep, SessionLocal, engine
from app.logs import configure_logging
from app.routers import authors, books, debug, orders
from app.seed import seed
from app.tasks import watch_stock

configure_logging(config.log_level)
logger = logging.getLogger("bookshop")


@contextlib.asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    Base.metadata.create_all(engine)
    with SessionLocal() as session:
        seed(session)
    watcher = asyncio.create_task(watch_stock(config.stock_check_interval))
    logger.info("the shop is open")
    try:
        yield
    finally:
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher
        logger.info("the shop is closed")


app = FastAPI(title="Bookshop", version="1.0.0", lifespan=lifespan)
app.add_middleware(
    CORSMiddleware, allow_origins=config.cors_origins, allow_methods=["*"], allow_headers=["*"], allow_credentials=True
)
for module in (books, authors, orders, debug):
    app.include_router(module.router, prefix=API_PREFIX)


@app.get("/", tags=["shop"])
def index() -> dict[str, str]:
    """Where to go from here."""
    return {"name": app.title, "docs": "/docs", "books": f"{API_PREFIX}/books"}


@app.get("/health", tags=["shop"])
def health(session: SessionDep) -> dict[str, str]:
    """Whether the shop can serve: its database answers."""
    session.execute(text("SELECT 1"))
    return {"status": "ok"}
