from datetime import datetime, timezone
from typing import Optional

from sqlmodel import Field, SQLModel


class RecipeBase(SQLModel):
    title: str = Field(index=True, max_length=200)
    servings: int = Field(default=2, ge=1)
    instructions: Optional[str] = None
    vegetarian: bool = False


class Recipe(RecipeBase, table=True):
    id: Optional[int] = Field(default=None, primary_key=True)
    created_at: datetime = Field(default_factory=lambda: datetime.now(timezone.utc))


class RecipeCreate(RecipeBase):
    pass


class RecipeUpdate(SQLModel):
    title: Optional[str] = None
    servings: Optional[int] = None
    instructions: Optional[str] = None
    vegetarian: Optional[bool] = None


class RecipePublic(RecipeBase):
    id: int
    created_at: datetime
