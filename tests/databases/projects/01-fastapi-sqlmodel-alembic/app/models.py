from datetime import datetime, timezone
from decimal import Decimal
from typing import List, Optional

from sqlalchemy import Column, DateTime, Numeric, String
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel


class ProductBase(SQLModel):
    name: str = Field(max_length=120, index=True)
    price: Decimal = Field(gt=0, sa_column=Column(Numeric(10, 2), nullable=False))
    tags: List[str] = Field(default_factory=list, sa_column=Column(ARRAY(String), nullable=False))


class Product(ProductBase, table=True):
    __tablename__ = "products"

    id: Optional[int] = Field(default=None, primary_key=True)
    created_at: datetime = Field(
        default_factory=lambda: datetime.now(timezone.utc),
        sa_column=Column(DateTime(timezone=True), nullable=False),
    )


class ProductCreate(SQLModel):
    name: str = Field(max_length=120)
    price: Decimal = Field(gt=0)
    tags: List[str] = []


class ProductUpdate(SQLModel):
    name: Optional[str] = None
    price: Optional[Decimal] = None
    tags: Optional[List[str]] = None


class ProductRead(ProductCreate):
    id: int
    created_at: datetime
