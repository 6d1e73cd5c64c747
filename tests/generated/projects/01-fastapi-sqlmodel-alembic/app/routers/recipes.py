from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, status
from sqlmodel import Session, select

from app.database import get_session
from app.models import Recipe, RecipeCreate, RecipePublic, RecipeUpdate

router = APIRouter(prefix="/recipes", tags=["recipes"])
SessionDep = Annotated[Session, Depends(get_session)]


@router.get("/", response_model=list[RecipePublic])
def list_recipes(session: SessionDep, skip: int = 0, limit: int = Query(default=50, le=100)):
    return session.exec(select(Recipe).offset(skip).limit(limit)).all()


@router.post("/", response_model=RecipePublic, status_code=status.HTTP_201_CREATED)
def create_recipe(recipe_in: RecipeCreate, session: SessionDep):
    recipe = Recipe.model_validate(recipe_in)
    session.add(recipe)
    session.commit()
    session.refresh(recipe)
    return recipe


@router.get("/{recipe_id}", response_model=RecipePublic)
def get_recipe(recipe_id: int, session: SessionDep):
    recipe = session.get(Recipe, recipe_id)
    if not recipe:
        raise HTTPException(status_code=404, detail="Recipe not found")
    return recipe


@router.patch("/{recipe_id}", response_model=RecipePublic)
def update_recipe(recipe_id: int, recipe_in: RecipeUpdate, session: SessionDep):
    recipe = session.get(Recipe, recipe_id)
    if not recipe:
        raise HTTPException(status_code=404, detail="Recipe not found")
    recipe.sqlmodel_update(recipe_in.model_dump(exclude_unset=True))
    session.add(recipe)
    session.commit()
    session.refresh(recipe)
    return recipe


@router.delete("/{recipe_id}", status_code=status.HTTP_204_NO_CONTENT)
def delete_recipe(recipe_id: int, session: SessionDep):
    recipe = session.get(Recipe, recipe_id)
    if not recipe:
        raise HTTPException(status_code=404, detail="Recipe not found")
    session.delete(recipe)
    session.commit()
