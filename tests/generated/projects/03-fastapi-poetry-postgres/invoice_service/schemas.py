from datetime import date
from typing import Optional

from pydantic import BaseModel

from .models import InvoiceStatus


class CustomerCreate(BaseModel):
    name: str
    email: str


class CustomerRead(CustomerCreate):
    id: int

    class Config:
        from_attributes = True


class InvoiceCreate(BaseModel):
    customer_id: int
    amount: float
    currency: Optional[str] = None
    due_date: Optional[date] = None


class InvoiceStatusUpdate(BaseModel):
    status: InvoiceStatus


class InvoiceRead(BaseModel):
    id: int
    customer_id: int
    amount: float
    currency: str
    due_date: Optional[date]
    status: InvoiceStatus

    class Config:
        from_attributes = True
