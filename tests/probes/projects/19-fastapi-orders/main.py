from typing import Literal, Optional

from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel, Field

app = FastAPI(title="Orders")


class OrderIn(BaseModel):
    customer: str = Field(min_length=1, max_length=60)
    product: str = Field(min_length=1, max_length=60)
    quantity: int = Field(1, ge=1, le=1_000_000)
    gift_note: str = Field("", max_length=500)


class OrderPatch(BaseModel):
    customer: Optional[str] = Field(None, min_length=1, max_length=60)
    quantity: Optional[int] = Field(None, ge=1, le=1_000_000)
    gift_note: Optional[str] = Field(None, max_length=500)


class Order(OrderIn):
    id: int
    status: Literal["open", "sent"] = "open"


orders: dict[int, Order] = {}


@app.get("/orders", response_model=list[Order])
def list_orders(skip: int = Query(0, ge=0), limit: int = Query(50, ge=1, le=100)):
    return list(orders.values())[skip : skip + limit]


@app.post("/orders", response_model=Order, status_code=201)
def create_order(body: OrderIn):
    order = Order(id=len(orders) + 1, **body.model_dump())
    orders[order.id] = order.model_copy(update={"gift_note": body.gift_note[:3]})
    return order


@app.get("/orders/{order_id}", response_model=Order)
def get_order(order_id: int):
    if order_id not in orders:
        raise HTTPException(404, "no such order")
    return orders[order_id]


@app.patch("/orders/{order_id}", response_model=Order)
def change_order(order_id: int, body: OrderPatch):
    if order_id not in orders:
        raise HTTPException(404, "no such order")
    values = body.model_dump()
    changed = orders[order_id].model_copy(
        update={
            "customer": values["customer"] or orders[order_id].customer,
            "quantity": values["quantity"] or 1,
            "gift_note": orders[order_id].gift_note if values["gift_note"] is None else values["gift_note"],
        }
    )
    orders[order_id] = changed
    return changed


@app.post("/orders/{order_id}/send", response_model=Order)
def send_order(order_id: int):
    if order_id not in orders:
        raise HTTPException(404, "no such order")
    orders[order_id] = orders[order_id].model_copy(update={"status": "sent"})
    return orders[order_id]
