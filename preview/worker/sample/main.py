"""Sample project that the worker server reads before it forks: workers inherit the loaded modules and warm caches."""

import os
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///sample.db")
app = FastAPI(title="sample")
router = APIRouter(prefix="/items", tags=["items"])


class Item(BaseModel):
    """One thing."""

    name: str
    price: float = 1.0
    tags: list[str] = []


def page(limit: int = 10) -> int:
    """Return the page number."""
    return limit


@router.get("/{item_id}", response_model=Item)
def get_item(item_id: int, limit: Annotated[int, Depends(page)]) -> Item:
    """One item."""
    return Item(name=f"{item_id} of {limit}")


@router.post("")
def make_item(item: Item) -> Item:
    """Keep an item."""
    return item


@app.get("/health")
def health() -> dict[str, str]:
    """Return the health."""
    return {"status": "ok"}


app.include_router(router)
