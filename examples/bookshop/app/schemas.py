"""What comes in and what goes out."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

Price = Annotated[Decimal, Field(gt=0, le=10_000, max_digits=8, decimal_places=2)]
Isbn = Annotated[str, Field(pattern=r"^\d{13}$", examples=["9780141439518"])]


class AuthorCreate(BaseModel):
    name: str = Field(min_length=1, max_length=120)
    born: int | None = Field(default=None, ge=-3000, le=2100)


class AuthorRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    born: int | None


class BookBase(BaseModel):
    title: str = Field(min_length=1, max_length=200)
    isbn: Isbn
    price: Price
    stock: int = Field(default=0, ge=0)

    @field_validator("isbn")
    @classmethod
    def check_digit(cls, value: str) -> str:
        total = sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(value))
        if total % 10:
            raise ValueError("the check digit of this ISBN is wrong")
        return value


class BookCreate(BookBase):
    author_id: int


class BookUpdate(BaseModel):
    title: str | None = Field(default=None, min_length=1, max_length=200)
    price: Price | None = None
    stock: int | None = Field(default=None, ge=0)


class BookRead(BookBase):
    model_config = ConfigDict(from_attributes=True)

    id: int
    author: AuthorRead


class BookPage(BaseModel):
    items: list[BookRead]
    total: int
    page: int
    pages: int


class AuthorDetail(AuthorRead):
    books: list[BookRead]


class OrderLine(BaseModel):
    book_id: int
    quantity: int = Field(ge=1, le=100)


class OrderCreate(BaseModel):
    customer: str = Field(min_length=1, max_length=120)
    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", examples=["reader@example.com"])
    items: list[OrderLine] = Field(min_length=1, max_length=50)


class OrderItemRead(OrderLine):
    model_config = ConfigDict(from_attributes=True)

    price: Decimal


class OrderRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    customer: str
    email: str
    status: str
    total: Decimal
    created_at: datetime
    items: list[OrderItemRead]
