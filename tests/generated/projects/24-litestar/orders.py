from dataclasses import dataclass

from litestar import Controller, delete, get, patch, post
from litestar.exceptions import NotFoundException
from models import Order
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession


@dataclass
class OrderIn:
    drink: str
    size: str = "medium"


@dataclass
class OrderPatch:
    done: bool


@dataclass
class OrderOut:
    id: int
    drink: str
    size: str
    done: bool


def to_out(order: Order) -> OrderOut:
    return OrderOut(order.id, order.drink, order.size, order.done)


async def load(session: AsyncSession, order_id: int) -> Order:
    order = await session.get(Order, order_id)
    if order is None:
        raise NotFoundException(f"Order {order_id} not found")
    return order


class OrderController(Controller):
    path = "/orders"
    tags = ["orders"]

    @get()
    async def list_orders(self, session: AsyncSession) -> list[OrderOut]:
        orders = await session.scalars(select(Order).order_by(Order.id))
        return [to_out(order) for order in orders]

    @post()
    async def create_order(self, data: OrderIn, session: AsyncSession) -> OrderOut:
        order = Order(drink=data.drink, size=data.size, done=False)
        session.add(order)
        await session.commit()
        return to_out(order)

    @get("/{order_id:int}")
    async def get_order(self, order_id: int, session: AsyncSession) -> OrderOut:
        return to_out(await load(session, order_id))

    @patch("/{order_id:int}")
    async def update_order(self, order_id: int, data: OrderPatch, session: AsyncSession) -> OrderOut:
        order = await load(session, order_id)
        order.done = data.done
        await session.commit()
        return to_out(order)

    @delete("/{order_id:int}")
    async def delete_order(self, order_id: int, session: AsyncSession) -> None:
        await session.delete(await load(session, order_id))
        await session.commit()
