import uuid
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from src.models import Priority


class CommentIn(BaseModel):
    body: str = Field(min_length=1)


class CommentOut(CommentIn):
    model_config = ConfigDict(from_attributes=True)

    id: int


class TicketIn(BaseModel):
    title: str = Field(min_length=1, max_length=200)
    priority: Priority = Priority.normal
    fields: dict[str, Any] = {}


class TicketOut(TicketIn):
    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    created_at: datetime
    comments: list[CommentOut] = []
