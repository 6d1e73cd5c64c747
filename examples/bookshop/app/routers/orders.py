import logging
from decimal import Decimal

from fastapi import APIRouter, BackgroundTasks, HTTPException, status
from sqlalchemy import select

from app.database import SessionDep
from app.models import Book, Order, OrderItem
from app.schemas import OrderCreate, OrderRead
from app.tasks import confirm_order

logger = logging.getLogger("bookshop.orders")
router = APIRouter(prefix="/orders", tags=["orders"])


@router.get("", response_model=list[OrderRead])
def list_orders(session: SessionDep, limit: int = 20) -> list[Order]:
    """The newest orders."""
    return list(session.scalars(select(Order).order_by(Order.id.desc()).limit(max(1, min(limit, 100)))))


@router.post("", response_model=OrderRead, status_code=status.HTTP_201_CREATED)
def place_order(session: SessionDep, new: OrderCreate, background: BackgroundTasks) -> Order:
    """Order books.

    They are taken from stock at once; the confirmation is sent after the answer.
    """
    order = Order(customer=new.customer, email=new.email, total=Decimal(0))
    for line in new.items:
        book = session.get(Book, line.book_id)
        if book is None:
            raise HTTPException(status.HTTP_404_NOT_FOUND, f"no book {line.book_id}")
        if book.stock < line.quantity:
            logger.warning("%s: %d wanted, %d in stock", book.title, line.quantity, book.stock)
            raise HTTPException(status.HTTP_409_CONFLICT, f"only {book.stock} of {book.title!r} in stock")
        book.stock -= line.quantity
        order.items.append(OrderItem(book_id=book.id, quantity=line.quantity, price=book.price))
        order.total += book.price * line.quantity
    session.add(order)
    session.commit()
    logger.info("order %d over %s placed by %s", order.id, order.total, order.customer)
    background.add_task(confirm_order, order.id)
    return order


@router.get("/{order_id}", response_model=OrderRead)
def read_order(session: SessionDep, order_id: int) -> Order:
    """One order with its lines."""
    order = session.get(Order, order_id)
    if order is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"no order {order_id}")
    return order
