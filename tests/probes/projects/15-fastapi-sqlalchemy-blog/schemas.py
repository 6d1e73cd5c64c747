from typing import Optional

from pydantic import BaseModel, ConfigDict, Field


class TagCreate(BaseModel):
    name: str = Field(..., min_length=1, max_length=50)


class TagOut(TagCreate):
    model_config = ConfigDict(from_attributes=True)
    id: int


class PostCreate(BaseModel):
    title: str = Field(..., min_length=1, max_length=200)
    content: str = Field(..., max_length=10000)
    summary: Optional[str] = Field(None, max_length=300)


class PostOut(PostCreate):
    model_config = ConfigDict(from_attributes=True)
    id: int
