"""Work that nobody waits for."""

import asyncio
import logging

from sqlalchemy import select

from app.database import SessionLocal
from app.models import Book, Order

logger = logging.getLogger("bookshop.tasks")
LOW_STOCK = 3


def confirm_order(order_id: int) -> None:
    """Confirm an order: runs after its answer was sent."""
    with SessionLocal() as session:
        order = session.get(Order, order_id)
        if order is None:
            logger.warning("order %d vanished before it was confirmed", order_id)
            return
        order.status = "confirmed"
        session.commit()
        logger.info("order %d confirmed, message sent to %s", order_id, order.email)


def check_stock() -> list[str]:
    """Titles of which few are left."""
    with SessionLocal() as session:
        titles = session.scalars(select(Book.title).where(Book.stock <= LOW_STOCK).order_by(Book.title))
        return list(titles)


async def watch_stock(interval: float) -> None:
    """Look at the stock now and then, for ever."""
    while True:
        low = await asyncio.to_thread(check_stock)
        if low:
            logger.warning("running low: %s", ", ".join(low))
        else:
            logger.info("stock is fine")
        await asyncio.sleep(interval)
